"""Prove a start against the one that was found, and go back where it is worse."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from gainstage.errors import GainstageError
from gainstage.plan._plan import Plan
from gainstage.plan._proof import Proof, Start, bears, start_of, worse
from gainstage.run import Loss, all_or_nothing, named_parameters
from gainstage.signal import record

_PASSES = 6  # that look for what is at fault


def prove(
    made: Plan,
    model: nn.Module,
    example: Any,
    before: Start,
    undo: all_or_nothing,
    *,
    target: Any,
    loss: Loss | None,
    seed: int,
) -> Plan:
    """The plan with its proof; parameters that make the start worse hold what was found again.

    The model holds the new start. If that is worse, halving finds the first group of parameters, in execution order,
    with which it becomes so, all before it new and all after it as found; that group goes back. If this does not do,
    everything goes back.
    """

    def measured() -> Start | str:
        try:
            tape = record(model, example, target=target, loss=loss)
        except GainstageError as error:
            return f"the model raised: {error}"
        return start_of(tape)

    def verdict(start: Start | str, back: Iterable[str] = ()) -> str:
        """What speaks against the start that the model holds, with the parameters `back` as they were found."""
        said = start if isinstance(start, str) else worse(before, start)
        if said:
            return said
        if not before.finite or bears(model, example, seed):
            return ""
        _mixed(made, model, undo, every, seed)  # only now: where the new start bears it, nobody asks for the old one
        as_found = bears(model, example, seed)
        _mixed(made, model, undo, back, seed)
        return "NaN or infinite on rows drawn anew and twice as large" if as_found else ""

    groups = _groups(made)
    every = [name for group in groups for name in group]

    after = measured()
    if not (why := verdict(after)):
        return _with(made, (), "", before, after)
    low, high, passes = 0, len(groups), 0  # fine with the first `low` groups new, worse with the first `high`
    while high - low > 1 and passes < _PASSES - 1:
        middle, passes = (low + high) // 2, passes + 1
        back = [name for group in groups[middle:] for name in group]
        _mixed(made, model, undo, back, seed)
        if said := verdict(measured(), back):
            high, why = middle, said
        else:
            low = middle
    back = [name for group in groups[low:high] for name in group]
    _mixed(made, model, undo, back, seed)
    after = measured()
    if verdict(after, back):
        back = every
        _mixed(made, model, undo, back, seed)
        after = before
    return _with(made, back, why, before, after)


def _groups(made: Plan) -> list[list[str]]:
    """The parameters that are filled, by the module that holds them, in execution order."""
    groups: dict[str, list[str]] = {}
    for name, assignment in made.items():
        if assignment.law is not None:
            groups.setdefault(name.rpartition(".")[0], []).append(name)
    return list(groups.values())


@torch.no_grad()
def _mixed(made: Plan, model: nn.Module, undo: all_or_nothing, found: Iterable[str], seed: int) -> None:
    """These parameters as they were found, all others by the plan."""
    found = set(found)
    made.only([name for name in made if name not in found]).apply(model, seed=seed)
    for name, parameter in named_parameters(model):
        if name in found:
            parameter.copy_(undo.before(parameter))


def _with(made: Plan, back: Iterable[str], why: str, before: Start, after: Start | str) -> Plan:
    changed = dict(made.assignments)
    back = list(back)
    for name in back:
        reason = f"put back as it was found: with a new one {why}"
        changed[name] = replace(changed[name], law=None, level=None, reason=reason)
    filled = sum(a.law is not None for a in made.assignments.values())
    undone = f"{len(back)} of {filled} parameters, because {why}" if back else ""
    return replace(made, assignments=changed, proof=Proof(before, None if isinstance(after, str) else after, undone))
