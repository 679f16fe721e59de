"""The coordinate check: do a few steps move every part of the network as far at every size?"""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from math import exp, log
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from gainstage._progress import bar
from gainstage.errors import GainstageError
from gainstage.init import Law
from gainstage.run import Subject, call, gradients, map_tensors, seeded
from gainstage.transfer._changes import Changes, Found, one_position, rms
from gainstage.transfer._judge import UNSURE, Coordinates, Row, judge, verdict_of
from gainstage.transfer._multipliers import passing, units
from gainstage.transfer._resolve import Resolved, Scaled, resolve
from gainstage.transfer._rules import rule_of
from gainstage.transfer._sizes import Sizes, Steps, few, said

# Starts a model of one size and gives its optimizer.
Prepare = Callable[[nn.Module, Scaled, float, int], Optimizer]
_EPS = 1e-20
_FIRST = {"adam": 1e-4, "sgd": 1e-3, "muon": 1e-3}  # rates of the step by which a rate is chosen
_STEP = 0.0005  # by which a step moves the sites of the base, as a share of what they are: gradients stay


def ready(model: nn.Module, scaled: Scaled, lr: float, seed: int) -> Optimizer:
    """The start and the optimizer that a transfer gives."""
    scaled.apply(model, seed=seed)
    small = {"eps": _EPS} if scaled.optimizer != "sgd" else {}  # the gradient's size is that of a loss made up for it
    return scaled.make_optimizer(model, lr=lr, **small)


@dataclass(frozen=True)
class Question:
    """What is to be checked: the factory, the base, and the rule."""

    sizes: Sizes
    base: Any
    optimizer: str
    rule: str
    scheme: str | Law = "own"
    prepare: Prepare = ready
    look: tuple[int, int] = (4, 4)

    def subject(self, size: Any, *, seed: int = 0) -> Subject:
        """A model of a size with a few samples and positions of its batch: fewer than the width has units."""
        return few(self.sizes.build(size, seed=seed), *self.look)


def coordinates(
    asked: Question,
    along: Mapping[str, Steps],
    *,
    seeds: int,
    most: int,
    steps: int,
    lr: float | None,
    margin: float,
    progress: bool,
) -> Coordinates:
    """Train every size a few steps with every seed, and judge the slopes; where they cannot tell, with more seeds."""
    if seeds < 1 or steps < 1:
        raise GainstageError(f"a check needs at least one seed and one step; got seeds={seeds}, steps={steps}")
    rate = _rate(asked) if lr is None else lr
    rows: list[Row] = []
    for axis, walk in along.items():
        if len(set(walk.ratios)) < 2:
            continue
        resolved = [
            resolve(asked.sizes, asked.base, size, asked.optimizer, asked.rule, asked.scheme) for size in walk.sizes
        ]
        noise, runs, wanted = _noise(asked, resolved[0], resolved[-1]), list[list[Found]](), seeds
        while len(runs) < wanted:
            with bar(f"{axis}, {wanted} seeds" if progress else None, wanted - len(runs)) as advance:
                for seed in range(len(runs), wanted):
                    sized = zip(resolved, walk.sizes, strict=True)
                    runs.append([_measured(asked, size, own, rate, seed, steps) for own, size in sized])
                    advance()
            found = _rows(asked, axis, walk, resolved, runs, margin, noise)
            if verdict_of(found) == UNSURE:
                wanted = min(most, wanted + max(row.more for row in found))
        rows += found
    if not rows:
        raise GainstageError(
            f"there is nothing to take a slope over: the sizes on the way from the base {said(asked.base)} are all the "
            "same. Give sizes= with at least two"
        )
    labels = {axis: walk.labels for axis, walk in along.items() if len(set(walk.ratios)) > 1}
    used = max(row.slope.seeds for row in rows)
    return Coordinates(asked.rule, asked.optimizer, tuple(rows), labels, used, steps, rate, margin)


# --- one run ---------------------------------------------------------------------------------------------------------


def _measured(asked: Question, size: Any, own: Resolved, lr: float, seed: int, steps: int) -> Found:
    """How far a few steps move one start; once is enough, as gradients stay and every step adds the same."""
    subject = asked.subject(size, seed=seed)
    optimizer = asked.prepare(subject.model, own.scaled, lr, seed)
    changes = Changes(subject.model, subject.example, seed=seed)
    for _ in range(steps):
        step(subject, optimizer, seed)
    return changes.now()


def step(subject: Subject, optimizer: Optimizer, seed: int) -> None:
    """One training step on one position of one sample."""
    with seeded(seed):
        optimizer.zero_grad(set_to_none=True)
        one_position(call(subject.model, subject.example)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def _rate(asked: Question) -> float:
    """The rate at which one step moves the sites of the base by a two-thousandth."""
    own = resolve(asked.sizes, asked.base, asked.base, asked.optimizer, asked.rule, asked.scheme)
    subject, first = asked.subject(asked.base), _FIRST[asked.optimizer]
    optimizer = asked.prepare(subject.model, own.scaled, first, 0)
    changes = Changes(subject.model, subject.example)
    step(subject, optimizer, 0)
    moved = changes.relative()
    return float(f"{first * _STEP / moved:.2g}") if moved > 0 else first


def _noise(asked: Question, base: Resolved, last: Resolved) -> set[str]:
    """Parameters whose gradient is rounding: in double precision it is another one.

    Adam makes steps of it all the same. The bias of keys is one: softmax does not see it.
    """
    subject = asked.subject(asked.base)
    double = Subject(deepcopy(subject.model).double(), _double(subject.example), _double(subject.target), subject.loss)
    try:
        found = [_gradients(own) for own in (subject, double)]
    except (GainstageError, RuntimeError):
        return set()
    noise = {
        name
        for name, gradient in found[0].items()
        if name in found[1] and rms(gradient.double() - found[1][name]) > 0.3 * rms(gradient) > 0
    }
    return noise | {name for own in (base, last) for name, growth in own.growth.items() if growth.base in noise}


def _double(value: Any) -> Any:
    return map_tensors(value, lambda t: t.double() if t.is_floating_point() else t)


def _gradients(subject: Subject) -> dict[str, Tensor]:
    with seeded(0):
        return gradients(subject.model, one_position(call(subject.model, subject.example)))


# --- slopes ----------------------------------------------------------------------------------------------------------

Key = tuple[str, str, str]


def _rows(
    asked: Question,
    axis: str,
    walk: Steps,
    resolved: Sequence[Resolved],
    runs: Sequence[Sequence[Found]],
    margin: float,
    noise: set[str],
) -> list[Row]:
    """A row for each quantity of each group of parameters that do the same."""
    groups = [_groups(own, depth=axis == "depth") for own in resolved]
    tables = [
        [_table(own, group, found, noise) for own, group, found in zip(resolved, groups, run, strict=True)]
        for run in runs
    ]
    common = [key for key in tables[0][-1] if all(key in table for run in tables for table in run)]
    members = groups[-1]
    rows = []
    for key in sorted(common, key=lambda key: list(tables[0][-1]).index(key)):
        measured = [[table[key] for table in run] for run in tables]
        names = tuple(name for name, label in members.items() if label == key[1])
        kinds = {resolved[-1].growth[name].kind for name in names}
        expected = _expected(asked, axis, key, resolved[-1], names)
        if expected is not None:
            rows.append(judge(axis, key, names, next(iter(kinds), ""), walk.ratios, measured, expected, margin))
    return rows


def _table(own: Resolved, groups: Mapping[str, str], found: Found, noise: set[str]) -> dict[Key, float]:
    """The geometric mean of every quantity over the members of a group, in the units of the base."""
    writes, passes = units(own.scaled.multipliers), passing(own.scaled.multipliers)
    held = {m.reads: m.factor for m in own.scaled.multipliers if m.what == "tied readout" and not m.folded}
    sums: dict[Key, list[float]] = {}
    for (quantity, name, kind), value in found.items():
        if name in noise:
            continue
        unit = passes.get(name, 1.0) if quantity == "passed" else writes.get(name, 1.0)
        if kind not in ("linear", "matmul") and quantity == "passed":
            unit = writes.get(name, 1.0)
        if kind in ("linear", "matmul") and quantity in ("own", "change"):
            unit /= held.get(name, 1.0)
        if value > 0:
            sums.setdefault((quantity, groups.get(name, quantity), kind), []).append(log(value / unit))
    return {key: exp(sum(logs) / len(logs)) for key, logs in sums.items()}


def _groups(own: Resolved, *, depth: bool) -> dict[str, str]:
    """For every parameter the name of the first that does the same: of equal blocks, one row tells."""
    found: dict[tuple[Any, ...], str] = {}
    labels = {}
    for name, growth in own.growth.items():
        what: tuple[Any, ...] = own.base.does(growth.base), own.base.shapes[growth.base]
        if not depth:
            what = (*what, growth.kind, own.scaled.scalings[name].lr)
        labels[name] = found.setdefault(what, growth.base)
    return labels


def _expected(asked: Question, axis: str, key: Key, own: Resolved, names: Sequence[str]) -> float | None:
    """The exponent that a quantity is to have; None where the rule promises nothing."""
    if axis == "width":
        return 0.0
    alpha = rule_of(asked.rule).alpha
    inside = any(own.growth[name].depth != 1 for name in names)
    if key[0] == "own" and inside:
        return (alpha if alpha is not None else 1.0) - 1
    return None if key[0] in ("change", "passed") and inside else 0.0
