"""Which parameters keep what they hold, and which laws fill the others: proposed by theory, tried on the model."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import isfinite
from typing import Any

import torch
from torch import Tensor, nn

from gainstage.errors import GainstageError
from gainstage.init import CannotFill, Law, zeros
from gainstage.init.fillable import check_fillable
from gainstage.plan._assignment import Assignment
from gainstage.plan._auto import auto
from gainstage.plan._calibrate import behind_inputs, calibrated, settled
from gainstage.plan._candidates import drawn_by, own_plan, rather_theory
from gainstage.plan._context import Context
from gainstage.plan._look import ALIKE
from gainstage.plan._plan import AUTO, Plan
from gainstage.plan._proof import Proof
from gainstage.plan._purposeful import DRAWN, found_in, laws_of_classes, trained
from gainstage.plan._race import race
from gainstage.plan.schemes import classical
from gainstage.run import Loss, has_data, named_parameters, undisturbed
from gainstage.signal import Graph, Tape, record

_OFF = 2.5  # times the planned mean square, up or down: beyond it the measurement is used
_MUCH = 3.0  # times a chosen standard deviation: theory that is further away is not believed against it
_LOW, _HIGH = 1e-3, 1e3  # levels behind weights, as root mean squares, between which a start is believed
_RACED = ("he_normal", "xavier_normal")  # that run beside theory and what was found
_STEP = 1e-3  # that every entry with a gradient is moved by, up or down: as far as Adam does first


def propose(model: nn.Module, graph: Graph, scheme: str | Law, kept: Mapping[str, str] | None = None) -> Plan:
    """The laws that a scheme gives, from one tape; `kept` parameters stay as they are, each with its reason."""
    tape, kept = graph.tape, kept or {}
    parameters = dict(named_parameters(model))
    frozen = frozenset(name for name, p in parameters.items() if not p.requires_grad or name in kept)
    context = Context(graph, frozen)
    assignments = auto(context) if scheme in AUTO else classical(context, scheme)
    for name in tape.unused:
        assignments[name] = Assignment("unused", None, "no operation reads it on this example: left as it is")
    for name in [name for name in assignments if name not in parameters]:
        del assignments[name]  # made anew in every first pass: not there to be filled
    for name, reason in kept.items():
        if name in assignments:
            assignments[name] = replace(assignments[name], law=None, reason=reason)
    for name, assignment in assignments.items():
        if assignment.law is not None and (why := _refused(parameters[name], name, assignment)):
            assignments[name] = replace(assignment, law=None, reason=f"left as it is: {why}")
    shapes = {name: tuple(parameters[name].shape) for name in assignments}
    for name in [name for name, shape in shapes.items() if 0 in shape]:
        assignments[name] = replace(assignments[name], law=None, reason="has no elements")
    return Plan(tape.model, str(scheme), assignments, shapes, dict(tape.ties))


def decide(
    model: nn.Module,
    example: Any,
    tape: Tape,
    scheme: str | Law,
    *,
    keep: Iterable[str] = (),
    replaced: Iterable[str] = (),
    target: Any = None,
    loss: Loss | None = None,
    own: bool = False,
    race_steps: int = 0,
) -> Plan:
    """The plan for a model, given the tape of one pass with the weights that were found.

    What the laws are does not depend on weights that they replace. They are proposed from structure and inputs alone,
    the model is filled by them for a moment, and what theory does not cover is measured under these weights; where the
    level behind a weight is then further than 2.5 times from the planned one, its law is rescaled by the measurement.
    """
    asked = dict.fromkeys(keep, "kept: you asked for it")
    parameters = dict(named_parameters(model))
    anew = frozenset(replaced)
    if unknown := (asked.keys() | anew) - parameters.keys():
        wrong = min(unknown)
        raise GainstageError(f"keep= and replace= take names of parameters of the model; it has no {wrong!r}")
    if scheme not in AUTO or not all(has_data(p) for p in parameters.values()):
        made = propose(model, Graph(tape), scheme, asked)
        names = [name for name, a in made.items() if a.law is not None and name not in anew]
        return own_plan(made, made, laws_of_classes(model, names), {}) if scheme == "own" else made
    blind = Graph(_blind(tape))
    made = _tried(model, example, propose(model, blind, scheme, asked), asked)
    if scheme == "theory":
        return made
    names = _open(model, made, anew)
    if trained(model, names):
        return _all_kept(made, names)
    found = found_in(model, names)
    if chosen := [name for name, what in found.decisions.items() if what.startswith(DRAWN)]:
        found = found.without(drawn_by(model, made, chosen))
    sound = carries(tape) or scheme == "own"
    decided = _decided(model, example, made, found.decisions, target, loss) if sound else {}
    if scheme == "auto" and not own:
        far = {n: why for n, why in decided.items() if _against_theory(found.decisions[n], made[n], parameters[n])}
        return _around(model, example, blind, made, asked, far) if far else made
    drawn = {n for n in decided if found.decisions[n].startswith(DRAWN) and made[n].fans is not None}
    structure = {name: why for name, why in decided.items() if name not in drawn}
    scales = drawn | {n for n in structure if found.decisions[n] == "zeros" and made[n].fans is not None}
    around = _around(model, example, blind, made, asked, structure) if structure else made
    if structure and scales:
        scales -= drawn_by(model, around, sorted(scales))
    authored = own_plan(made, around, found, decided, anew)
    reading = behind_inputs(blind)
    new, why = False, "it was asked for"
    if scheme == "auto":
        new, why = rather_theory(model, example, authored, around, scales, reading)
    plans = {"by theory": around, "as found": authored}
    taken = "by theory" if new else "as found"
    if race_steps and scheme == "auto":
        others = {n: propose(model, Graph(tape), n, {**asked, **decided}) for n in _RACED}
        plans = {taken: plans[taken]} | plans | others  # the first one wins where none is clearly better
        taken, why = race(model, example, target, loss, plans, race_steps)
    return replace(plans[taken], scheme=str(scheme), choice=f"start: {taken}, because {why}")


def _open(model: nn.Module, made: Plan, anew: frozenset[str]) -> list[str]:
    """The parameters whose found value may stand for something."""
    parameters = dict(named_parameters(model))
    names = [name for name, a in made.items() if a.law is not None and parameters[name].numel()]
    return [name for name in names if name not in anew and parameters[name].is_floating_point()]


def _all_kept(made: Plan, names: Iterable[str]) -> Plan:
    why = "kept: the weights have been trained; replace= fills them anew"
    stay = {name: replace(made[name], law=None, level=None, reason=why) for name in names}
    return replace(made, assignments=made.assignments | stay)


def _around(
    model: nn.Module, example: Any, blind: Graph, made: Plan, asked: Mapping[str, str], kept: Mapping[str, str]
) -> Plan:
    """The plan of theory around the values that are kept."""
    stay = {**asked, **kept}
    around = _tried(model, example, propose(model, blind, made.scheme, stay), stay)
    roles = {name: replace(around[name], role=made[name].role) for name in kept}
    return replace(around, assignments=around.assignments | roles)


def _tried(model: nn.Module, example: Any, first: Plan, kept: Mapping[str, str]) -> Plan:
    """The plan with what is measured under it in place of what theory does not know."""
    parameters = dict(named_parameters(model))
    filled = [parameters[name] for name, a in first.items() if a.law is not None]
    if not filled or any(p.is_inference() for p in parameters.values()):  # those cannot be written outside their mode
        return first
    with undisturbed(model, example) as quiet:
        quiet.before_write(*filled)
        try:
            first.apply(model)
            graph = Graph(record(model, example, backward=False))
            second = propose(model, graph, first.scheme, kept)
            if all(second[name].law == first[name].law for name in first) and settled(
                second, graph, model, beyond=_OFF
            ):
                return second  # it is what was measured
            second.apply(model)
            return calibrated(second, graph, model, example, beyond=_OFF)
        except GainstageError as error:  # it cannot be filled, or does not run under these weights
            return replace(first, proof=Proof(text=f"not measured under the planned weights: {error}"))


def _blind(tape: Tape) -> Tape:
    """The same structure, with what was measured of the inputs only."""
    sites = tuple(s if s.kind == "input" else replace(s, forward=None, backward=None) for s in tape.sites)
    return replace(tape, sites=sites)


# --- what is kept ----------------------------------------------------------------------------------------------------


def _decided(
    model: nn.Module, example: Any, made: Plan, found: Mapping[str, str], target: Any, loss: Loss | None
) -> dict[str, str]:
    """Decisions that leave a model trainable, each with the reason."""
    parameters = dict(named_parameters(model))
    zero = {name for name, what in found.items() if what == "zeros" and parameters[name].dim() > 1}
    learning = _learning(model, example, zero, target, loss) if zero else set()
    alike = {name for name, what in found.items() if what.startswith(ALIKE) and made[name].fans is not None}
    stuck = (zero - learning) | alike  # nothing moves them, or all units of a weight would stay alike
    return {name: f"kept as a decision of its author: {what}" for name, what in found.items() if name not in stuck}


def _against_theory(what: str, assignment: Assignment, parameter: Tensor) -> bool:
    """Whether a decision stays where theory draws the rest: a scale only where theory would change it by much."""
    free = assignment.level is None and assignment.fans is not None  # a norm that follows divides the scale away
    return not what.startswith(DRAWN) or not (free or not _far_from(assignment, parameter))


def carries(tape: Tape) -> bool:
    """Whether the found weights pass a signal on: finite, and neither lost nor grown beyond measure behind any weight.

    A weight that is 0, or whose input is, says nothing.
    """
    graph = Graph(tape)
    for index in graph.weights:
        moments = tape.sites[index].forward
        if moments is None or not moments.count:
            continue
        if moments.nonfinite or not isfinite(moments.mean_square):
            return False
        fates = {fate.kind for fate in graph.fates(index)}
        if moments.rms > _HIGH or (0 < moments.rms < _LOW and fates <= {"activation"}):
            return False
    return True


def _far_from(assignment: Assignment, parameter: Tensor) -> bool:
    """Whether theory would change the scale of a draw by more than three times."""
    std = assignment.std(tuple(parameter.shape))
    have = float(torch.linalg.vector_norm(parameter.detach().float())) / parameter.numel() ** 0.5
    return not 1 / _MUCH < have / std < _MUCH


def _learning(model: nn.Module, example: Any, names: set[str], target: Any, loss: Loss | None) -> set[str]:
    """Of weights that are 0, those that a gradient reaches, at once or after two steps of all others."""
    found: set[str] = set()
    parameters = {name: p for name, p in named_parameters(model) if p.requires_grad}
    with undisturbed(model, example, target) as quiet, torch.no_grad():
        quiet.before_write(*parameters.values())
        for _ in range(3):
            try:
                tape = record(model, example, target=target, loss=loss)
            except GainstageError:
                break
            gradients = {s.path: s.backward.rms for s in tape.sites if s.kind == "parameter" and s.backward}
            found |= {name for name in names if gradients.get(name, 0.0) > 0}
            if found == names:
                break
            for name, p in parameters.items():
                if gradients.get(name, 0.0) > 0:
                    signs = torch.randn(p.shape, generator=torch.Generator().manual_seed(0)).sign()
                    p.add_(_STEP * signs.to(p))
    return found


def _refused(parameter: nn.Parameter, name: str, assignment: Assignment) -> str:
    """Why no law can fill a parameter, or not this one; empty if it can."""
    try:
        check_fillable(parameter, zeros(), name=name)
        if assignment.law is not None:
            assignment.law.concrete(assignment.filled(tuple(parameter.shape)), assignment.fans)
    except CannotFill as error:
        return str(error)
    return ""
