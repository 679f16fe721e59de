"""Which start is chosen: the found laws where they are a design that carries, else theory; with its number."""

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import gainstage as gs
from gainstage.plan._purposeful import found_in


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


class Waves(nn.Module):
    """sin(30 x): bounds 1/n in front, sqrt(6/n)/30 behind, as Sitzmann et al. have them."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(2, width), nn.Linear(width, width), nn.Linear(width, 1)])
        for i, layer in enumerate(self.layers):
            with torch.no_grad():
                bound = 1 / 2 if i == 0 else math.sqrt(6 / width) / 30
                layer.weight.uniform_(-bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = torch.sin(30 * layer(x))
        return self.layers[-1](x)


class Blocks(nn.Module):
    """Pre-norm blocks whose author draws every weight with one standard deviation."""

    def __init__(self, width: int, std: float) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.up = nn.ModuleList(nn.Linear(width, 2 * width) for _ in range(3))
        self.down = nn.ModuleList(nn.Linear(2 * width, width) for _ in range(3))
        for layer in (*self.up, *self.down):
            nn.init.normal_(layer.weight, std=std)

    def forward(self, x: Tensor) -> Tensor:
        for norm, up, down in zip(self.norms, self.up, self.down, strict=True):
            x = x + down(F.gelu(up(norm(x))))
        return x


def test_scales_that_an_author_chose_stand() -> None:
    torch.manual_seed(0)
    model, x = Waves(), torch.rand(64, 2) * 2 - 1
    found = weights(model)
    plan = gs.initialize(model, x)
    assert plan.choice.startswith("start: as found, because 3 weights have scales that their author chose")
    assert all(torch.equal(found[f"layers.{i}.weight"], model.layers[i].weight) for i in range(3))
    assert str(plan["layers.1.bias"].law) == "uniform(a=-0.125, b=0.125)"


@pytest.mark.parametrize(("std", "theory"), [(0.013, True), (0.24, False)])
def test_but_not_where_they_were_made_for_wider_networks(std: float, theory: bool) -> None:
    """Of width 48: 0.013 is 0.09 of the level that LeCun's law gives (0.12 at the branch ends), 0.24 is 1.7 of it."""
    torch.manual_seed(0)
    plan = gs.plan(Blocks(48, std), torch.randn(64, 48))
    assert plan.choice.startswith("start: by theory" if theory else "start: as found")
    assert ("half of the hidden levels are below 0.12" in plan.choice) == theory


@pytest.mark.parametrize("scale", [0.01, 100.0])
def test_the_plan_of_a_model_of_defaults_does_not_depend_on_its_scale(scale: float) -> None:
    def build() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(32, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 5))

    model, x = build(), torch.randn(64, 32)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(scale)
    assert gs.plan(model, x).assignments == gs.plan(build(), x).assignments


TWICE: dict[str, Callable[[], tuple[nn.Module, Tensor]]] = {
    "waves": lambda: (Waves(), torch.rand(64, 2) * 2 - 1),
    "too small": lambda: (Blocks(48, 0.013), torch.randn(64, 48)),
    "tanh": lambda: (nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 1)), torch.rand(64, 1)),
    "sparse rows": lambda: (nn.Sequential(nn.Linear(200, 16), nn.ReLU(), nn.Linear(16, 3)), torch.eye(200)[:64] / 5),
}


@pytest.mark.parametrize("build", TWICE.values(), ids=TWICE)
def test_twice_gives_the_bits_of_once(build: Callable[[], tuple[nn.Module, Tensor]]) -> None:
    torch.manual_seed(0)
    model, x = build()
    gs.initialize(model, x, seed=3)
    once = weights(model)
    gs.initialize(model, x, seed=3)
    assert all(torch.equal(once[name], p) for name, p in model.named_parameters())


def test_what_reads_small_inputs_is_not_multiplied() -> None:
    """Rows of sum 1 with few words: theory's first weight would be 29 times torch's, and learn late."""
    torch.manual_seed(0)
    model, x = TWICE["sparse rows"]()
    plan = gs.plan(model, x)
    assert "theory would multiply what reads the inputs by" in plan.choice
    assert str(plan["0.weight"].law) == "uniform(a=-0.0707, b=0.0707)"


LAWS: dict[str, tuple[Callable[[Tensor], object], str]] = {
    "torch": (lambda w: None, "uniform(a=-0.102, b=0.102)"),
    "xavier_uniform": (nn.init.xavier_uniform_, "uniform(a=-0.204, b=0.204)"),
    "he_normal": (nn.init.kaiming_normal_, "normal(std=0.144)"),
    "gpt2": (lambda w: nn.init.normal_(w, std=0.02), "normal(std=0.02)"),
    "orthogonal": (lambda w: nn.init.orthogonal_(w, 2.0), "orthogonal(gain=2)"),
}


@pytest.mark.parametrize(("draw", "law"), LAWS.values(), ids=LAWS)
def test_a_draw_is_recognized(draw: Callable[[Tensor], object], law: str) -> None:
    torch.manual_seed(0)
    model = nn.Linear(96, 48)
    draw(model.weight.data)
    assert str(found_in(model, ["weight", "bias"]).laws["weight"]) == law


def test_scheme_own_draws_the_found_laws_by_seed() -> None:
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 4)), torch.randn(32, 64)
    gs.initialize(model, x, scheme="own", seed=1)
    first = weights(model)
    assert abs(float(first["0.weight"].std()) * math.sqrt(3 * 64) - 1) < 0.02
    assert float(first["0.bias"].abs().max()) <= 1 / 8
    gs.initialize(model, x, scheme="own", seed=2)
    assert not torch.equal(first["0.weight"], model[0].weight)
    gs.initialize(model, x, scheme="own", seed=1)
    assert all(torch.equal(first[name], p) for name, p in model.named_parameters())


def test_without_values_the_law_of_the_class_stands_for_the_found_one() -> None:
    def build(device: str) -> nn.Module:
        with torch.device(device):
            return nn.Sequential(nn.Linear(64, 32), nn.LayerNorm(32), nn.GELU(), nn.Linear(32, 1))

    x = torch.randn(16, 64)
    real, meta = gs.plan(build("cpu"), x, scheme="own"), gs.plan(build("meta"), x, scheme="own")
    assert {name: a.law for name, a in real.items()} == {name: a.law for name, a in meta.items()}


def test_a_race_is_undone_and_names_its_numbers() -> None:
    """Four candidates, three rates; the model holds nothing of it but the start that was chosen."""
    torch.manual_seed(0)
    layers = [m for _ in range(7) for m in (nn.Linear(32, 32), nn.Sigmoid())]
    model, x, y = nn.Sequential(*layers, nn.Linear(32, 4)), torch.randn(64, 32), torch.arange(64) % 4
    found = weights(model)
    with pytest.raises(gs.GainstageError, match="race= needs"):
        gs.initialize(model, x, race=4)
    assert all(torch.equal(found[name], p) for name, p in model.named_parameters())
    plan = gs.initialize(model, x, target=y, loss=F.cross_entropy, race=4)
    assert "after 4 steps of Adam" in plan.choice
    assert "as found" in plan.choice
    assert all(torch.isfinite(p).all() for p in model.parameters())
