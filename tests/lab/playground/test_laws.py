"""Initialization laws of the playground have the scale of `gainstage.init`, and draws that depend on nothing else."""

from collections.abc import Callable
from math import sqrt
from typing import Any

import pytest
import torch

from gainstage import init

from .twin import ACTIVATIONS

Engine = Callable[..., Any]
FAN_IN, FAN_OUT = 48, 32

LAWS = {
    "he_normal": init.he_normal(),
    "he_uniform": init.he_uniform(),
    "xavier_normal": init.xavier_normal(),
    "xavier_uniform": init.xavier_uniform(),
    "lecun_normal": init.lecun_normal(),
    "exact_normal": init.lecun_normal(init.gain("gelu")),
    "orthogonal": init.orthogonal(),
    "exact_orthogonal": init.orthogonal(init.gain("gelu")),
    "torch_default": init.torch_default(),
    "small_normal": init.normal(0.0, 0.01),
    "large_normal": init.normal(0.0, 1.0),
    "constant": init.constant(0.1),
    "zeros": init.constant(0.0),
}
FILL = """(modules, { law, fanIn, fanOut, seed, name, activation, scale }) => {
  const { Linear } = modules["engine/layers.js"];
  const layer = new Linear(name, fanIn, fanOut);
  modules["engine/laws.js"].fill(layer, law, { seed, name, activation, scale });
  return { weight: Array.from(layer.weight.value), bias: Array.from(layer.bias.value) };
}"""


def filled(engine: Engine, law: str, **changed: Any) -> tuple[torch.Tensor, torch.Tensor]:
    given = {"fanIn": FAN_IN, "fanOut": FAN_OUT, "seed": 0, "name": "layer2", "activation": "gelu", "scale": 1}
    found = engine(FILL, given | {"law": law} | changed)
    shape = (given | changed)["fanOut"], (given | changed)["fanIn"]
    return torch.tensor(found["weight"], dtype=torch.float32).reshape(shape), torch.tensor(
        found["bias"], dtype=torch.float32
    )


def exact_level(law: init.Law) -> float:
    """Root mean square of an entry, by the library's own numbers."""
    found = law.concrete((FAN_OUT, FAN_IN))
    if hasattr(found, "std"):
        return float(found.std)
    if hasattr(found, "b"):
        return float(found.b / sqrt(3))
    return init.fill_(torch.empty(FAN_OUT, FAN_IN), law, seed=1, name="w").square().mean().sqrt().item()


def test_the_menu_has_these_laws(engine: Engine) -> None:
    assert engine('(modules) => Object.keys(modules["engine/laws.js"].LAWS)') == list(LAWS)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_gains_are_those_of_the_library(engine: Engine, name: str) -> None:
    assert engine('(m, name) => m["engine/activations.js"].gain(name)', name) == pytest.approx(
        init.gain(name), rel=1e-5
    )


@pytest.mark.parametrize("law", LAWS)
def test_a_law_has_the_mean_the_level_and_the_extremes_of_the_library(engine: Engine, law: str) -> None:
    weight, bias = filled(engine, law)
    right = init.fill_(torch.empty(FAN_OUT, FAN_IN), LAWS[law], seed=1, name="w")
    level = exact_level(LAWS[law])
    code = """(m, [law, n, k]) => m["engine/laws.js"].LAWS[law].std(n, k, m["engine/activations.js"].gain("gelu"))"""
    if law not in ("constant", "zeros"):
        assert engine(code, [law, FAN_IN, FAN_OUT]) == pytest.approx(level, rel=1e-5)
    assert weight.square().mean().sqrt().item() == pytest.approx(level, rel=0.07)  # 1536 entries: 1.8 %
    assert weight.mean().item() == pytest.approx(right.mean().item(), abs=0.12 * level)
    if "uniform" in law or law == "torch_default":
        assert weight.abs().max().item() == pytest.approx(right.abs().max().item(), rel=0.01)
    limit = 1 / sqrt(FAN_IN) if law == "torch_default" else 0.0
    assert bias.abs().max() <= limit
    assert bias.abs().max() >= 0.8 * limit


@pytest.mark.parametrize(("fan_in", "fan_out"), [(48, 32), (16, 16), (2, 16), (16, 2)])
def test_orthogonal_weights_are_orthonormal_on_their_shorter_side(engine: Engine, fan_in: int, fan_out: int) -> None:
    weight, _ = filled(engine, "orthogonal", fanIn=fan_in, fanOut=fan_out)
    short = weight @ weight.T if fan_out <= fan_in else weight.T @ weight
    assert torch.allclose(short, torch.eye(len(short)), atol=1e-6)
    scaled, _ = filled(engine, "exact_orthogonal", fanIn=fan_in, fanOut=fan_out)
    assert torch.allclose(scaled, weight * init.gain("gelu"), atol=1e-5)


def test_the_first_layer_has_no_activation_before_it(engine: Engine) -> None:
    first, _ = filled(engine, "exact_normal", activation=None)
    later, _ = filled(engine, "exact_normal")
    assert torch.allclose(later, first * init.gain("gelu"), rtol=1e-5)


def test_the_slider_multiplies(engine: Engine) -> None:
    assert torch.allclose(filled(engine, "he_normal", scale=3)[0], 3 * filled(engine, "he_normal")[0])


def test_a_draw_depends_on_seed_and_name_alone(engine: Engine) -> None:
    code = """(modules, { depth, norm, seed, layer }) => {
      const { Network } = modules["engine/network.js"];
      const network = new Network({ inputs: 2, classes: 2, depth, width: 16, activation: "relu", norm, seed });
      network.start("he_normal", { seed });
      return Array.from(network.linears[layer].weight.value);
    }"""
    given = {"depth": 3, "norm": "none", "seed": 0, "layer": 1}
    same = engine(code, given)
    assert engine(code, given | {"depth": 30, "norm": "batch"}) == same
    assert engine(code, given | {"seed": 1}) != same
    assert engine(code, given | {"layer": 2}) != same


def test_normal_numbers_are_normal_and_uniform_ones_uniform(engine: Engine) -> None:
    code = """(modules) => {
      const stream = new modules["engine/random.js"].Stream(5, "test");
      const draw = (f) => Array.from({ length: 20000 }, f);
      return [draw(() => stream.normal()), draw(() => stream.uniform()), stream.permutation(100)];
    }"""
    normal, uniform, order = engine(code)
    z, u = torch.tensor(normal).sort().values, torch.tensor(uniform).sort().values
    steps = (torch.arange(20000) + 0.5) / 20000
    # Kolmogorov and Smirnov: beyond 1.95 / sqrt(20000) = 0.0138 once in 1,000 seeds
    assert (torch.special.ndtr(z) - steps).abs().max() < 0.0138
    assert (u - steps).abs().max() < 0.0138
    assert sorted(order) == list(range(100)) != order
