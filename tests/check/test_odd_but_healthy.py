"""Healthy models that a check once called ill: what is unusual about each is no fault."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import gainstage as gs

NODES, WIDTH = 80, 32


def mlp(*sizes: int) -> nn.Sequential:
    layers = [part for a, b in pairwise(sizes) for part in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


class Decoupled(torch.optim.Optimizer):
    """An AdamW under a name that nobody knows; `fills` makes no move in its first step, as ADOPT does."""

    def __init__(self, parameters: Any, weight_decay: float, fills: bool = False) -> None:
        super().__init__(parameters, {"lr": 1e-3, "weight_decay": weight_decay})
        self.fills = fills

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in (p for p in group["params"] if p.grad is not None):
                state = self.state[p]
                first = not state
                state["square"] = p.grad.square() if first else state["square"].lerp(p.grad.square(), 0.01)
                if not (first and self.fills):
                    p.mul_(1 - group["lr"] * group["weight_decay"])
                    p.add_(p.grad / (state["square"].sqrt() + 1e-8), alpha=-group["lr"])


def optimized(weight_decay: float, fills: bool) -> gs.Subject:
    model = mlp(WIDTH, 64, 64, 10)
    return labelled(model, torch.randn(64, WIDTH), Decoupled(model.parameters(), weight_decay, fills))


def labelled(model: nn.Module, x: Tensor, optimizer: torch.optim.Optimizer | None = None) -> gs.Subject:
    return gs.Subject(model, x, torch.randint(0, 4, (len(x),)), F.cross_entropy, optimizer)


def neighbours() -> Tensor:
    near = (torch.rand(NODES, NODES) < 0.05).float()
    return ((near + near.T + torch.eye(NODES)) > 0).float()


class Convolved(nn.Module):
    """Graph convolutions: what a sparse constant matrix gathers, weights mix."""

    def __init__(self) -> None:
        super().__init__()
        near = neighbours()
        self.near = (near / near.sum(1, keepdim=True)).to_sparse()
        self.first, self.second = (nn.Parameter(nn.init.xavier_uniform_(torch.empty(s, 16))) for s in (WIDTH, 16))

    def forward(self, x: Tensor) -> Tensor:
        return torch.sparse.mm(self.near, torch.sparse.mm(self.near, x @ self.first).relu() @ self.second)


class Attending(nn.Module):
    """Graph attention with dropout on inputs and weights, four layers."""

    def __init__(self) -> None:
        super().__init__()
        self.mask = neighbours() == 0
        self.mix = nn.ModuleList(nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4))
        self.ask = nn.ParameterList(nn.Parameter(torch.randn(2, WIDTH) / 10) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        for mix, ask in zip(self.mix, self.ask, strict=True):
            z = mix(F.dropout(x, 0.6, self.training))
            scores = F.leaky_relu((z @ ask[0])[:, None] + (z @ ask[1])[None], 0.2).masked_fill(self.mask, -1e9)
            x = F.elu(F.dropout(scores.softmax(1), 0.6, self.training) @ z)
        return x


class Backwards(torch.autograd.Function):
    """A reversible step: the activations are computed again from the outputs."""

    @staticmethod
    def forward(context: Any, a: Tensor, b: Tensor, f: nn.Module, *parameters: Tensor) -> tuple[Tensor, Tensor]:
        context.f = f
        context.save_for_backward(b)
        with torch.no_grad():
            return a + f(b), b.clone()

    @staticmethod
    def backward(context: Any, pull_a: Tensor, pull_b: Tensor) -> Any:
        (b,) = context.saved_tensors
        with torch.enable_grad():
            b = b.detach().requires_grad_()
            found = torch.autograd.grad(context.f(b), [b, *context.f.parameters()], pull_a)
        return pull_a, pull_b + found[0], None, *found[1:]


class Reversible(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.into, self.out = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, 4)
        self.steps = nn.ModuleList(mlp(WIDTH, 64, WIDTH) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.into(x).chunk(2, -1)
        for step in self.steps:
            b, a = Backwards.apply(a, b, step, *step.parameters())
        return self.out(torch.cat([a, b], -1))


class Fading(nn.Module):
    """Two tables of logarithms of 1 to n, as state-space layers start them: no copies of anything drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.out = nn.Linear(WIDTH, 64), nn.Linear(64, 4)
        self.fast, self.slow = (nn.Parameter(torch.arange(1.0, 17).log().repeat(64, 1)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        h = self.into(x)
        kept = [torch.exp(-rate * table.exp()).mean(1) for rate, table in ((0.1, self.fast), (0.01, self.slow))]
        return self.out(F.silu(h * kept[0]) + h * kept[1])


def with_zero_columns() -> nn.Module:
    model = mlp(WIDTH, 64, 64, 4)
    with torch.no_grad():
        model[0].weight[:, :2] = 0
        model[2].weight[:, :2] = 0
    return model


def scripted() -> nn.Module:
    inner = torch.jit.script(mlp(64, 64, 64))
    return nn.Sequential(nn.Linear(WIDTH, 64), inner, nn.ReLU(), nn.Linear(64, 4))


ODD: dict[str, Callable[[], gs.Subject]] = {
    "decoupled decay of an unknown optimizer": lambda: optimized(1.0, fills=False),
    "a first step that only fills a moment": lambda: optimized(0.0, fills=True),
    "a fixed sparse matrix before the weights": lambda: labelled(Convolved(), torch.randn(NODES, WIDTH)),
    "graph attention with dropout": lambda: labelled(Attending(), torch.randn(NODES, WIDTH)),
    "a reversible step": lambda: labelled(Reversible(), torch.randn(64, WIDTH)),
    "logarithms of 1 to n": lambda: labelled(Fading(), torch.randn(64, WIDTH)),
    "two zero columns": lambda: labelled(with_zero_columns(), torch.randn(64, WIDTH)),
    "a scripted part": lambda: labelled(scripted(), torch.randn(64, WIDTH)),
}


@pytest.mark.filterwarnings("ignore:.*jit.*:DeprecationWarning")
@pytest.mark.parametrize("name", ODD)
def test_what_is_unusual_is_no_fault(name: str) -> None:
    torch.manual_seed(0)
    s = ODD[name]()
    report = gs.check(s.model, s.example, target=s.target, loss=s.loss, optimizer=s.optimizer)
    assert not [f for f in report.findings if f.severity != "note" or f.code == "INI103"], str(report)


def test_decay_inside_the_gradient_of_an_unknown_optimizer_is_still_told() -> None:
    class Coupled(torch.optim.SGD):
        pass

    torch.manual_seed(0)
    s = optimized(0.0, fills=False)
    optimizer = Coupled(s.model.parameters(), 0.1, weight_decay=1.0)
    report = gs.check(s.model, s.example, target=s.target, loss=s.loss, optimizer=optimizer)
    assert [f.code for f in report.findings if f.severity != "note"] == ["REG704"]
