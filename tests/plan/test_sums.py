"""Residual branches are solved at the sum, however the sum is written."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import gainstage as gs
from gainstage.signal import Graph, branches

X = torch.randn(512, 64, generator=torch.Generator().manual_seed(0))
Join = Callable[[Tensor, Tensor], Tensor]

# Spellings of keep * h + share * b, by (keep, share).
JOINS: dict[tuple[float, float], dict[str, Join]] = {
    (1.0, 1.0): {
        "h + b": lambda h, b: h + b,
        "b + h": lambda h, b: b + h,
        "torch.add": torch.add,
        "add_": lambda h, b: h.clone().add_(b),
        "+=": lambda h, b: b.__iadd__(h),
        "sum": lambda h, b: sum([h, b]),
        "stack.sum": lambda h, b: torch.stack([h, b]).sum(0),
        "stack.sum(-1)": lambda h, b: torch.stack((h, b), -1).sum(-1),
        "cat.sum": lambda h, b: torch.cat([h[None], b.unsqueeze(0)]).sum(0),
        "2 * mean": lambda h, b: 2 * torch.stack([h, b]).mean(0),
        "h - (-b)": lambda h, b: h - (-b),
        "h - b.neg()": lambda h, b: torch.subtract(h, b.neg()),
        "rsub": lambda h, b: torch.rsub(-b, h),
        "addcmul": lambda h, b: torch.addcmul(h, b, torch.ones(64)),
        "addcdiv": lambda h, b: torch.addcdiv(h, b, torch.ones(64)),
        "2 * lerp": lambda h, b: torch.lerp(h, b, 0.5) * 2,
        "by hand": lambda h, b: h - (h - b) * 0.5 + 0.5 * b + 0.5 * h - 0.0 * h,
        "float": lambda h, b: (h.float() + b.float()).to(h.dtype),
    },
    (1.0, -1.0): {"h - b": lambda h, b: h - b, "alpha": lambda h, b: torch.sub(h, b, alpha=1)},
    (2**-0.5, 2**-0.5): {
        "/ 2**0.5": lambda h, b: (h + b) / 2**0.5,
        "* 2**-0.5": lambda h, b: (h + b) * 2**-0.5,
        "mul each": lambda h, b: h.mul(0.5**0.5) + b * 0.5**0.5,
        "true_divide": lambda h, b: torch.true_divide(torch.add(b, h), 2**0.5),
        "twice": lambda h, b: ((h + b) / 2) * 2**0.5,
    },
    (0.5, 0.5): {
        "lerp": lambda h, b: torch.lerp(h, b, 0.5),
        "h.lerp": lambda h, b: h.lerp(b, weight=0.5),
        "mean": lambda h, b: torch.stack([h, b]).mean(0),
        "each": lambda h, b: 0.5 * h + 0.5 * b,
        "by hand": lambda h, b: h - (h - b) * 0.5,
    },
    (0.5, 1.0): {"each": lambda h, b: 0.5 * h + b, "alpha": lambda h, b: torch.add(b, h, alpha=0.5)},
    (1.0, 3.0): {"alpha": lambda h, b: torch.add(h, b, alpha=3.0), "3 * b": lambda h, b: h + 3 * b},
    (1.0, 0.1): {"alpha": lambda h, b: torch.add(h, b, alpha=0.1), "b / 10": lambda h, b: b / 10 + h},
    (2.0, 1.0): {"each": lambda h, b: 2 * h + b, "alpha": lambda h, b: torch.add(b, h, alpha=2)},
}
CASES = [(factors, name) for factors, joins in JOINS.items() for name in joins]


class Residual(nn.Module):
    def __init__(self, join: Join, blocks: int, act: Callable[[Tensor], Tensor] = torch.relu) -> None:
        super().__init__()
        self.inp, self.head, self.join, self.act = nn.Linear(64, 64), nn.Linear(64, 10), join, act
        self.up = nn.ModuleList(nn.Linear(64, 256) for _ in range(blocks))
        self.down = nn.ModuleList(nn.Linear(256, 64) for _ in range(blocks))

    def forward(self, x: Tensor) -> Tensor:
        h = self.inp(x)
        for up, down in zip(self.up, self.down, strict=True):
            h = self.join(h, down(self.act(up(h))))
        return self.head(h)


@pytest.mark.parametrize(("factors", "name"), CASES, ids=[f"{f[0]:.2g} {f[1]:.2g} {n}" for f, n in CASES])
def test_every_spelling_has_the_same_branches_and_plan(factors: tuple[float, float], name: str) -> None:
    joins = JOINS[factors]
    found = branches(Graph(gs.record(Residual(joins[name], 4), X, backward=False)))
    assert [(b.stream, b.position, b.scaled) for b in found] == [(0, i, False) for i in range(4)]
    assert all((b.keep, b.share) == pytest.approx(factors) for b in found)
    first, plan = (gs.plan(Residual(join, 4), X) for join in (next(iter(joins.values())), joins[name]))
    for key, assignment in plan.items():
        assert assignment.role == first[key].role
        assert assignment.law == first[key].law
        assert (assignment.level or 0.0) == pytest.approx(first[key].level or 0.0, rel=1e-6)


@pytest.mark.parametrize("factors", JOINS, ids=lambda f: f"{f[0]:.2g} {f[1]:.2g}")
def test_the_stream_stays_at_its_planned_level(factors: tuple[float, float]) -> None:
    """Over 24 blocks it at most doubles, apart from what a factor above 1 on the skip path makes of it by itself."""
    blocks = 24
    model = Residual(next(iter(JOINS[factors].values())), blocks, torch.tanh)
    plan = gs.initialize(model, X)
    tape = gs.record(model, X, backward=False)
    stream = 1.0
    for i in range(blocks):
        measured = tape[f"down.{i}"].forward.mean_square
        assert measured == pytest.approx(plan[f"down.{i}.weight"].level, rel=0.15)
        stream *= max(1, factors[0] ** 2) * (1 + 1 / (blocks + i))
        reader = tape["head"] if i == blocks - 1 else tape[f"up.{i + 1}"]
        assert tape_level(tape, reader) == pytest.approx(stream, rel=0.15)
    assert tape["head"].forward.mean_square == pytest.approx(plan["head.weight"].level, rel=0.3)


def tape_level(tape: gs.signal.Tape, reader: gs.signal.Site) -> float:
    """The level of what a weight reads."""
    site = tape.sites[reader.inputs[0].site]
    while site.forward is None:
        site = tape.sites[site.inputs[0].site]
    return site.forward.mean_square


def test_a_fixed_factor_inside_the_branch_counts_too() -> None:
    class Scaled(Residual):
        def forward(self, x: Tensor) -> Tensor:
            h = self.inp(x)
            for up, down in zip(self.up, self.down, strict=True):
                b = down(torch.relu(up(h))) * 0.2
                h = h + (b.view(-1, 8, 8) / 2).flatten(1)
            return self.head(h)

    graph = Graph(gs.record(Scaled(torch.add, 2), X, backward=False))
    assert [b.share for b in branches(graph)] == pytest.approx([0.1, 0.1])


def test_small_steps_of_one_weight_are_not_made_large() -> None:
    """Euler's steps: a shared weight pushes the same way in each, so its small factor is no mistake to undo."""

    class Ode(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.head = nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 4)

        def forward(self, x: Tensor) -> Tensor:
            for _ in range(16):
                x = x + self.b(torch.tanh(self.a(x))) / 16
            return self.head(x)

    assert gs.plan(Ode(), X)["b.weight"].level < 2


def test_a_reconstruction_error_is_no_residual_branch() -> None:
    class Error(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(64, 8), nn.Linear(8, 64)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            y = self.b(torch.relu(self.a(x)))
            return (y - x).square().mean(), y

    assert "branch" not in gs.plan(Error(), X)["b.weight"].role


def test_gates_and_averages_are_no_fixed_sums() -> None:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.z = nn.Linear(64, 64), nn.Linear(64, 64)

        def forward(self, x: Tensor) -> Tensor:
            h, z = self.a(x), torch.sigmoid(self.z(x))
            return torch.lerp(x, h, z) + h.mean(0) + torch.maximum(x, h)

    graph = Graph(gs.record(Gated(), X, backward=False))
    sums = {site.op: graph.sums.terms(site.index) for site in graph.sites if site.op in ("lerp", "mean", "maximum")}
    assert all(len(terms) == 1 for terms in sums.values())
