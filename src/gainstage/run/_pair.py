"""What one optimizer trains, from the backward passes before its step."""

from dataclasses import dataclass

from torch import Tensor
from torch.optim import Optimizer

from gainstage.run._lines import Line, line_of_user
from gainstage.run._names import class_name
from gainstage.run._program import Call, Var
from gainstage.run._replayed import loss_again, subject_of, trains, undivided
from gainstage.run._seen import Pair, total_norm
from gainstage.run._subject import Subject

AGREES = 1e-2  # relative difference of a loss and its repetition


@dataclass(frozen=True)
class Pass:
    """One backward pass: the program behind its loss, the loss, the script's line, the random state before."""

    calls: list[Call]
    loss: Var
    value: float
    line: Line | None
    generator: Tensor | None


def pair_of(optimizer: Optimizer, passes: list[Pass], scaler: object, arrived: Tensor | None) -> Pair:
    """The optimizer with the subject of the first pass that reaches its parameters.

    Args:
        optimizer: about to step.
        passes: since the last step of any optimizer.
        scaler: of the gradients, where there is one.
        arrived: norm of the gradient right after the backward pass, scaled.
    """
    pair = Pair(optimizer)
    used = total_norm(optimizer)
    pair.used = 0.0 if used is None else float(used)
    scale = scaler.get_scale() if scaler is not None else 1.0  # type: ignore[attr-defined]
    pair.arrived = pair.used if arrived is None else float(arrived) / scale
    if (line := line_of_user()) is not None:
        pair.lines["step"] = line
    trained = [p for g in optimizer.param_groups for p in g["params"]]
    mine = [given for given in passes if trains(given.calls, trained)]
    pair.backwards = len(mine)
    if not mine:
        return pair
    calls, loss, pair.loss = undivided(mine[0].calls, mine[0].loss, mine[0].value, len(mine))
    subject, pair.module = subject_of(calls, loss, trained)
    modules = [c for c in calls if c.module is not None]
    after = [c for c in calls if c.module is None and c.index > modules[-1].index]
    pair.calls = [class_name(c.module) for c in modules if c.module is not None]
    pair.computed = [getattr(c.what, "__name__", "?").strip("_") for c in after]
    pair.evaluating = not any(c.module.training for c in modules if c.module is not None)
    lines = {"model": modules[0].line, "loss": calls[-1].line, "backward": mine[0].line}
    pair.lines |= {name: line for name, line in lines.items() if line is not None}
    pair.subject = _confirmed(pair, subject, mine[0].generator)
    if len(mine) > 1:
        pair.notes.append(f"the first of {len(mine)} backward passes is checked")
    return pair


def _confirmed(pair: Pair, subject: Subject, generator: Tensor | None) -> Subject:
    """The subject, with its loss where that can be computed again and gives the same number."""
    value, target, loss = pair.loss, subject.target, subject.loss
    assert value is not None
    again = value if generator is None else loss_again(subject, generator)
    agrees = again is not None and abs(again - value) <= AGREES * max(abs(value), 1e-6)
    if not agrees and value == value and loss is not None:
        pair.notes.append("the loss could not be computed again: the rules about it stay silent")
        target = loss = None
    return Subject(subject.model, subject.example, target, loss, pair.optimizer)
