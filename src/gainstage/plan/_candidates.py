"""The start that was found and the one of theory, drawn for a moment each, and the numbers that choose between them."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from math import isfinite, log
from statistics import median
from typing import Any

from torch import nn

from gainstage.errors import GainstageError
from gainstage.plan._plan import Plan
from gainstage.plan._purposeful import Found
from gainstage.run import dense, named_parameters, real, undisturbed
from gainstage.signal import Graph, Tape, record

_SIGMAS = 4.0  # sampling errors of a mean square
_APART = 0.02  # of what varies between samples under theory: what a design must hand on
_APART_SMALL = 1e-4  # the same of defaults on small inputs, which their biases hide at first
_LARGE = 4.0  # times theory's level at the output, and 1
_SMALL = 0.2  # of theory's levels, as root mean squares: a design that is smaller was made for wider networks
_LATE = 8.0  # times the found level behind a weight that reads the inputs
_PASSES = 1e-3  # smallest over largest gradient
_INNER = ("input weight", "hidden weight", "gated unit", "attention")
_HIGH = 1e3  # a level behind a weight beyond which no start is believed


@dataclass(frozen=True)
class Evidence:
    """What one pass forward says of a candidate.

    Attributes:
        levels: root mean square behind the first use of every weight, by its name.
        apart: share of an output's mean square that varies between samples, the largest.
        outputs: largest root mean square of an output.
        gradients: smallest over largest root mean square of a weight's gradient.
        finite: no output was NaN or infinite; inside, a mask may be.
    """

    levels: dict[str, float]
    apart: float
    outputs: float
    gradients: float
    finite: bool


def own_plan(made: Plan, around: Plan, found: Found, kept: dict[str, str], anew: frozenset[str] = frozenset()) -> Plan:
    """The plan that draws anew what was found, by the laws that it was drawn from, and keeps what was decided.

    Of what is neither, the values stay; zeros that nothing would ever move, and units that are all alike, are filled as
    theory has it; and so is what is to be filled anew whatever it holds.
    """
    assignments = dict(around.assignments)
    for name, assignment in made.items():
        if assignment.law is None or name in anew:
            continue
        if name in kept:
            assignments[name] = replace(assignment, law=None, level=None, reason=kept[name])
        elif name in found.laws:
            why = "as found: the law that drew it, with numbers of its own"
            assignments[name] = replace(assignment, law=found.laws[name], level=None, reason=why)
        elif name not in found.decisions:
            why = "kept: a draw whose law is not known"
            assignments[name] = replace(assignment, law=None, level=None, reason=why)
    return replace(around, assignments=assignments)


def drawn_by(model: nn.Module, plan: Plan, names: list[str]) -> set[str]:
    """Of these parameters, those that hold what a plan draws, to the sampling error of their mean square."""
    parameters = {name: p for name, p in named_parameters(model) if name in names and plan[name].law is not None}

    def levels() -> dict[str, float]:
        return {name: float(real(dense(p.detach())).double().square().mean()) for name, p in parameters.items()}

    with undisturbed(model) as quiet:
        quiet.before_write(*parameters.values())
        before = levels()
        plan.only(parameters).apply(model)
        after = levels()
    error = {name: _SIGMAS * (2 * 2 / p.numel()) ** 0.5 for name, p in parameters.items()}  # of the ratio's logarithm
    return {n for n in parameters if before[n] > 0 < after[n] and abs(log(before[n] / after[n])) <= error[n]}


def rather_theory(
    model: nn.Module, example: Any, own: Plan, theory: Plan, scales: Collection[str], reading: Collection[str | None]
) -> tuple[bool, str]:
    """Whether theory is rather to be believed than the start that was found, and why.

    Of two starts that both train, theory's was the better one in families that start as their classes draw
    (benchmarks/starts.py). The author's was where an author chose scales that no class draws, or 0, `scales`: evening
    them out undoes the design, and large signals in front of a last layer that is 0 make its first steps large. And it
    was where inputs are so small (sparse rows of sum 1) that theory multiplies the weights that read them, `reading`:
    against weights that are large for what they read, updates are small, and the layer learns late.
    """
    reads_input = [name for name, a in theory.items() if name in reading and own[name].law and a.law]
    late = max((theory[n].std(theory.shapes[n]) / own[n].std(own.shapes[n]) for n in reads_input), default=1.0)
    if not scales and not late > _LATE:
        return True, "no weight has a scale that its author chose"
    found, planned = _evidence(model, example, own, backward=not scales), _evidence(model, example, theory)
    if isinstance(planned, str):
        return False, planned
    if isinstance(found, str):
        return True, f"with the found laws {found}"
    if not found.finite:
        return True, "the found laws give NaN or infinite numbers"
    if max(found.levels.values(), default=1.0) > _HIGH:
        return True, f"the found laws give a level of {max(found.levels.values()):.2g}"
    if found.apart < (_APART if scales else _APART_SMALL) * planned.apart:
        return (
            True,
            f"samples vary by {found.apart:.2g} of the output with the found laws, by {planned.apart:.2g} with its own",
        )
    if found.outputs > _LARGE * max(planned.outputs, 1.0):
        return True, f"outputs are {found.outputs:.2g} with the found laws, {planned.outputs:.2g} with its own"
    inner = [n for n, a in theory.items() if a.kind in _INNER and found.levels.get(n, 0) > 0 < planned.levels.get(n, 0)]
    share = median(found.levels[name] / planned.levels[name] for name in inner) if inner else 1.0
    if share < _SMALL and not late > _LATE:
        return True, f"half of the hidden levels are below {share:.2g} of the planned ones with the found laws"
    if not scales and found.gradients < _PASSES:
        return True, f"gradients part by {found.gradients:.2g} with the found laws"
    if scales:
        return False, f"{len(scales)} weights have scales that their author chose, and the signal comes through"
    return False, f"theory would multiply what reads the inputs by {late:.2g}, and the signal comes through"


def _evidence(model: nn.Module, example: Any, plan: Plan, *, backward: bool = False) -> Evidence | str:
    parameters = dict(named_parameters(model))
    with undisturbed(model, example) as quiet:
        quiet.before_write(*(parameters[name] for name, a in plan.items() if a.law is not None))
        try:
            plan.apply(model)
            return evidence_of(record(model, example, backward=backward))
        except GainstageError as error:
            return f"the model raised: {error}"


def evidence_of(tape: Tape) -> Evidence:
    """Read off the tape of one pass."""
    graph = Graph(tape)
    levels: dict[str, float] = {}
    for index, call in graph.weights.items():
        if (name := graph.parameter_of(call.weight)) and (m := tape.sites[index].forward) and m.count:
            levels.setdefault(name, m.rms)
    gradients = [m.rms for s in tape.sites if s.kind == "parameter" and len(s.shape) > 1 and (m := s.backward)]
    outputs = [m for r in tape.outputs if (m := tape.sites[r.site].forward) and m.count]
    apart = [m.variance_between / m.mean_square for m in outputs if m.mean_square > 0 and isfinite(m.variance_between)]
    return Evidence(
        levels=levels,
        apart=max(apart, default=1.0),
        outputs=max((m.rms for m in outputs), default=0.0),
        gradients=min(gradients) / max(gradients) if gradients and max(gradients) > 0 else 0.0,
        finite=not any(m.nonfinite for m in outputs),
    )
