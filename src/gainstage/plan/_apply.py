"""Fill a model by a plan: all parameters or none."""

from torch import Tensor, nn

from gainstage.errors import GainstageError
from gainstage.init import fill_
from gainstage.init.fillable import check_fillable
from gainstage.plan._assignment import Assignment
from gainstage.plan._assignments import Assignments
from gainstage.run import all_or_nothing, named_parameters, uninterrupted

Work = list[tuple[str, Tensor, Assignment]]


def apply(plan: Assignments, model: nn.Module, *, seed: int = 0) -> None:
    """Fill the parameters of `model` in place, each from its own keyed stream `(seed, name)`.

    The values depend on nothing else: not on the order, the device, other parameters or the global random state.
    Everything is checked before anything is written. Laws that are made whole (orthogonal matrices) may still run out
    of memory, so they come first and can be undone; element by element nothing can fail, and an interrupt waits for
    the end.

    Raises:
        GainstageError: a parameter of the plan is missing in the model, has another shape or has no data, or a law
            cannot fill it. The model is then as it was.
    """
    whole, pointwise = _checked(plan, model)
    with all_or_nothing(model) as undo:
        for work in whole:
            undo.before_write(work[1])
            _fill(work, seed)
        _fill_all(pointwise, seed)


@uninterrupted
def _fill_all(works: Work, seed: int) -> None:
    for work in works:
        _fill(work, seed)


def _checked(plan: Assignments, model: nn.Module) -> tuple[Work, Work]:
    """What is to be filled: by laws that are made whole, and by laws of single elements."""
    parameters = dict(named_parameters(model, remove_duplicate=False))
    whole: Work = []
    pointwise: Work = []
    for name, assignment in plan.items():
        if assignment.law is None:
            continue
        if name not in parameters:
            raise GainstageError(
                f"the plan is for {plan.model} with a parameter {name!r}, which this {type(model).__name__} does not "
                "have; make a plan for it with gs.plan(model, example)"
            )
        tensor = parameters[name].detach()
        if tuple(tensor.shape) != plan.shapes[name]:
            raise GainstageError(
                f"{name!r} has shape {tuple(tensor.shape)}, the plan was made for {plan.shapes[name]}; "
                "make a new plan with gs.plan(model, example)"
            )
        if tensor.is_meta:
            raise GainstageError(f"{name!r} is on the meta device; call model.to_empty(device=...) before plan.apply")
        single = assignment.law.concrete(tuple(tensor.shape), assignment.fans).recipe() is not None
        if assignment.transposed and not single:
            tensor = tensor.transpose(-1, -2)
        check_fillable(tensor, assignment.law, name=name, fans=assignment.fans)
        (pointwise if single else whole).append((name, tensor, assignment))
    return whole, pointwise


def _fill(work: tuple[str, Tensor, Assignment], seed: int) -> None:
    name, tensor, assignment = work
    if assignment.law is not None:
        fill_(tensor, assignment.law, seed=seed, name=name, fans=assignment.fans)
