"""The engine in the browser computes what torch computes: every activation, norm, residual and optimizer."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from .twin import ACTIVATIONS, NORMS, PASS, Case

Engine = Callable[..., Any]

NETWORKS = (
    [{"activation": name} for name in ACTIVATIONS]
    + [{"norm": name} for name in NORMS]
    + [{"residual": "plain"}, {"residual": "scaled"}, {"dropout": 0.3}]
    + [{"activation": "gelu", "norm": "batch", "residual": "scaled", "dropout": 0.3}]
    + [{"activation": "relu", "norm": "group", "residual": "plain", "dropout": 0.5}]
)


def close(found: Any, right: Any, tolerance: float, where: str = "") -> None:
    """Equal up to `tolerance` of the largest entry of the tensor; below 1e-3 an entry counts as rounding of others."""
    if isinstance(right, dict):
        for name, value in right.items():
            close(found[name], value, tolerance, f"{where} {name}")
    elif right and isinstance(right, list) and isinstance(right[0], list):
        assert len(found) == len(right), where
        for k, value in enumerate(right):
            close(found[k], value, tolerance, f"{where} {k}")
    else:
        a, b = (torch.tensor(values, dtype=torch.float64) for values in (found, right))
        size = max([1e-3, *b.abs().tolist()] if b.ndim else [abs(right)])
        assert torch.allclose(a, b, rtol=0, atol=tolerance * size), f"{where}: {(a - b).abs().max().item() / size:.2g}"


@pytest.mark.parametrize("settings", NETWORKS, ids=lambda s: "-".join(str(value) for value in s.values()))
def test_signals_gradients_and_running_statistics_are_those_of_torch(engine: Engine, settings: dict[str, Any]) -> None:
    case = Case(**settings)
    found = engine(PASS, case.given())
    close(found, case.by_torch(), 1e-8)  # softplus: torch drops 2e-9 beyond 20
    close(found, Case(torch.float32, **settings).by_torch(), 1e-4)


DECAY = 0.1
OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, 0.05, weight_decay=DECAY),
    "momentum": lambda p: torch.optim.SGD(p, 0.05, momentum=0.9, weight_decay=DECAY),
    "adam": lambda p: torch.optim.Adam(p, 0.05, weight_decay=DECAY),
    "adamw": lambda p: torch.optim.AdamW(p, 0.05, weight_decay=DECAY),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_three_steps_of_an_optimizer_are_those_of_torch(engine: Engine, name: str) -> None:
    settings = {"norm": "layer", "dropout": 0.3}
    found = engine(PASS, Case(**settings).given({"name": name, "rate": 0.05, "decay": DECAY}))
    close(found["trained"], Case(**settings).trained(OPTIMIZERS[name]), 1e-7)


def test_the_loss_of_confident_networks_does_not_overflow(engine: Engine) -> None:
    logits, labels = [[800.0, -800.0], [3.0, 3.0], [0.0, 700.0]], [1, 0, 1]
    code = """(modules, { logits, labels }) => {
      const { crossEntropy } = modules["engine/loss.js"];
      const { loss, accuracy, gradient } = crossEntropy(Float64Array.from(logits.flat()), labels, 2);
      return { loss, accuracy, gradient: Array.from(gradient) };
    }"""
    found = engine(code, {"logits": logits, "labels": labels})
    z = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
    loss = torch.nn.functional.cross_entropy(z, torch.tensor(labels))
    loss.backward()
    assert found["loss"] == pytest.approx(loss.item())
    assert found["gradient"] == pytest.approx(z.grad.flatten().tolist())
    assert found["accuracy"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_is_right_far_from_zero(engine: Engine, name: str) -> None:
    z = torch.linspace(-40, 40, 161, dtype=torch.float64)
    code = """(modules, { name, z }) => {
      const { f, slope } = modules["engine/activations.js"].ACTIVATIONS[name];
      return { y: z.map(f), slope: z.map(slope) };
    }"""
    found = engine(code, {"name": name, "z": z.tolist()})
    leaf = z.clone().requires_grad_()
    y = ACTIVATIONS[name](leaf)
    (slope,) = torch.autograd.grad(y.sum(), leaf)
    assert found["y"] == pytest.approx(y.tolist(), rel=1e-6, abs=1e-9)
    assert found["slope"] == pytest.approx(slope.tolist(), rel=1e-6, abs=1e-9)


def test_a_broken_number_passes_through_every_activation(engine: Engine) -> None:
    code = '(m) => Object.values(m["engine/activations.js"].ACTIVATIONS).map(({ f }) => Number.isNaN(f(NaN)))'
    assert all(engine(code))


def test_every_combination_of_settings_runs(engine: Engine) -> None:
    """Two dozen at random: as many layers as asked for, and shares that add up wherever the numbers are finite."""
    code = """(modules) => {
      const { SETTINGS } = modules["page/settings.js"];
      const { Training } = modules["engine/training.js"];
      const { report } = modules["engine/report.js"];
      const draw = new (modules["engine/random.js"].Stream)(0, "combinations");
      const any = (values) => values[Math.floor(draw.uniform() * values.length)];
      return Array.from({ length: 24 }, () => {
        const settings = Object.fromEntries(Object.entries(SETTINGS).map(([name, { values }]) => [name, any(values)]));
        settings.depth = Math.ceil(settings.depth / 4);
        const training = new Training(settings);
        const start = report(training, 0);
        for (let k = 0; k < 3; k++) training.step();
        const { layers, spread, losses, map, images } = report(training, 0);
        const histograms = start.layers.flatMap(({ own }) => Object.values(own));
        const shares = histograms.map((h) => h.shares.reduce((a, b) => a + b));
        return { settings, layers: layers.length, columns: spread.weights.shares.length, losses: losses.length,
                 drawn: map === null ? images.guesses.length : map.length, shares };
      });
    }"""
    for run in engine(code):
        assert run["layers"] == run["columns"] == run["settings"]["depth"]
        assert run["losses"] == 3
        assert run["drawn"] == (40 if run["settings"]["data"] == "digits" else 32 * 32)
        assert run["shares"] == pytest.approx([1.0] * len(run["shares"]))
