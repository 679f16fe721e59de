"""What is a decision of an author is kept; what a layer class draws by default, and what carries no signal, is not."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import gainstage as gs
from gainstage.plan._purposeful import found_in, trained


def names(model: nn.Module) -> list[str]:
    return [name for name, p in model.named_parameters() if p.requires_grad]


DEFAULTS: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Linear(40, 30),
    "one output": lambda: nn.Linear(40, 1),
    "conv": lambda: nn.Conv2d(8, 16, 3, groups=2),
    "transposed conv": lambda: nn.ConvTranspose1d(8, 16, 4),
    "lstm": lambda: nn.LSTM(12, 20, 2),
    "gru cell": lambda: nn.GRUCell(12, 20),
    "bilinear": lambda: nn.Bilinear(6, 7, 8),
    "embedding": lambda: nn.Embedding(30, 16, padding_idx=0),
    "encoder layer": lambda: nn.TransformerEncoderLayer(32, 4),
    "norms": lambda: nn.Sequential(nn.BatchNorm1d(9), nn.LayerNorm(9), nn.PReLU(3)),
}


@pytest.mark.parametrize("build", DEFAULTS.values(), ids=DEFAULTS)
@pytest.mark.parametrize("seed", range(5))
def test_what_a_class_draws_is_no_decision(build: Callable[[], nn.Module], seed: int) -> None:
    """False alarms: six sampling errors in each of about 40 tensors, below 1e-7 in all."""
    torch.manual_seed(seed)
    model = build()
    assert found_in(model, names(model)).decisions == {}


SCHEMES: dict[str, Callable[[Tensor], object]] = {
    "he_normal": lambda w: nn.init.kaiming_normal_(w),
    "he_uniform, fan out": lambda w: nn.init.kaiming_uniform_(w, mode="fan_out", nonlinearity="relu"),
    "xavier": lambda w: nn.init.xavier_uniform_(w),
    "gpt2": lambda w: nn.init.normal_(w, std=0.02),
    "bert": lambda w: nn.init.trunc_normal_(w, std=0.02),
    "orthogonal": lambda w: nn.init.orthogonal_(w),
}


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_nor_is_what_a_library_draws(scheme: Callable[[Tensor], object]) -> None:
    torch.manual_seed(0)
    model = nn.Linear(96, 96)
    scheme(model.weight.data)
    assert found_in(model, ["weight"]).decisions == {}


CHOSEN: dict[str, tuple[Callable[[Tensor], object], str]] = {
    "zeros": (nn.init.zeros_, "zeros"),
    "identity": (nn.init.eye_, "an identity or a permutation"),
    "permutation": (lambda w: w.copy_(torch.eye(64)[torch.randperm(64)]), "an identity or a permutation"),
    "in order": (lambda w: w.copy_(torch.arange(64).log1p() + torch.arange(64.0)[:, None]), "numbers in order"),
    "equal rows": (lambda w: w.copy_(torch.randn(64)), "equal rows"),
    "constant": (lambda w: w.fill_(0.3), "a constant 0.3"),
    "siren": (lambda w: w.uniform_(-math.sqrt(6 / 64) / 30, math.sqrt(6 / 64) / 30), "drawn with a standard"),
    "small head": (lambda w: nn.init.orthogonal_(w, 0.01), "drawn with a standard"),
    "offset": (lambda w: nn.init.normal_(w, 0.5, 0.1), "numbers around"),
}


@pytest.mark.parametrize(("write", "said"), CHOSEN.values(), ids=CHOSEN)
def test_what_nobody_draws_is_a_decision(write: Callable[[Tensor], object], said: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 64))
    with torch.no_grad():
        write(model[1].weight)
    found = found_in(model, names(model)).decisions
    assert found.keys() == {"1.weight"}
    assert found["1.weight"].startswith(said)


@pytest.mark.parametrize("factor", [0.01, 100.0])
def test_one_factor_on_everything_is_no_decision(factor: float) -> None:
    torch.manual_seed(0)
    model, x = (
        nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4)),
        torch.randn(64, 16),
    )
    before = gs.plan(model, x)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(factor)
    assert found_in(model, names(model)).decisions == {}
    assert gs.plan(model, x) == before


class Coupling(nn.Module):
    """An affine coupling whose last layers are 0: it starts as the identity."""

    def __init__(self) -> None:
        super().__init__()
        self.nets = nn.ModuleList(nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 4)) for _ in range(6))
        for net in self.nets:
            nn.init.zeros_(net[-1].weight)
            nn.init.zeros_(net[-1].bias)

    def forward(self, x: Tensor) -> Tensor:
        for net in self.nets:
            a, b = x.flip(1).chunk(2, 1)
            scale, shift = net(a).chunk(2, 1)
            x = torch.cat([a, b * scale.exp() + shift], 1)
        return x


def test_zeros_that_learn_are_kept_and_named() -> None:
    torch.manual_seed(0)
    model, x = Coupling(), torch.randn(64, 4)
    plan = gs.initialize(model, x)
    assert plan["nets.3.2.weight"].law is None
    assert plan["nets.3.2.weight"].reason == "kept as a decision of its author: zeros"
    assert not any(net[-1].weight.any() for net in model.nets)
    assert plan["nets.3.0.weight"].law is not None
    torch.testing.assert_close(model(x).sort().values, x.sort().values)


def test_zeros_behind_zeros_never_learn_and_are_filled() -> None:
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4))
    for layer in (model[2], model[4]):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    plan = gs.initialize(model, torch.randn(64, 8))
    assert plan["2.weight"].law is not None
    assert bool(model[2].weight.any())


def test_units_that_are_all_alike_are_drawn_anew() -> None:
    for write in (lambda w: nn.init.constant_(w, 0.1), lambda w: w.copy_(torch.randn(32))):
        model = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4))
        with torch.no_grad():
            write(model[2].weight)
        assert gs.plan(model, torch.randn(64, 32))["2.weight"].law is not None


def test_keep_and_replace_overrule() -> None:
    torch.manual_seed(0)
    model, x = Coupling(), torch.randn(64, 4)
    plan = gs.plan(model, x, keep=["nets.0.0.weight"], replace=["nets.5.2.weight"])
    assert plan["nets.0.0.weight"].law is None
    assert plan["nets.0.0.weight"].reason == "kept: you asked for it"
    assert plan["nets.5.2.weight"].law is not None
    assert gs.plan(model, x, keep=iter(["nets.0.0.weight"]), replace=iter(["nets.5.2.weight"])) == plan
    with pytest.raises(gs.GainstageError, match="no 'nope'"):
        gs.plan(model, x, keep=["nope"])
    assert all(a.law is not None for name, a in gs.plan(model, x, scheme="theory").items())


def test_a_trained_model_is_left_as_it_is() -> None:
    from sklearn.datasets import load_digits

    torch.manual_seed(0)
    images, labels = (torch.as_tensor(v) for v in load_digits(return_X_y=True))
    images = images.float() / 16
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    assert not trained(model, names(model))
    adam = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(300):
        adam.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        adam.step()
    before = [p.clone() for p in model.parameters()]
    plan = gs.initialize(model, images)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert "trained" in plan["0.weight"].reason
    again = gs.initialize(model, images, replace=list(plan))
    assert not torch.equal(before[0], model[0].weight)
    assert again["0.weight"].law is not None
