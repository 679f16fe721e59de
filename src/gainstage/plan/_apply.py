"""Fill a model by a plan: all parameters or none."""

import torch
from torch import Tensor, nn

from gainstage.errors import GainstageError
from gainstage.init import fill_
from gainstage.plan._assignment import Assignment
from gainstage.plan._plan import Plan


def apply(plan: Plan, model: nn.Module, *, seed: int = 0) -> None:
    """Fill the parameters of `model` in place, each from its own keyed stream `(seed, name)`.

    The values depend on nothing else: not on the order, the device, other parameters or the global random state.

    Raises:
        GainstageError: a parameter of the plan is missing in the model, has another shape or has no data, or a law
            cannot fill it. The model is then as it was.
    """
    parameters = dict(model.named_parameters(remove_duplicate=False))
    work: list[tuple[str, Tensor, Assignment]] = []
    for name, assignment in plan.items():
        if assignment.law is None:
            continue
        if name not in parameters:
            raise GainstageError(
                f"the plan is for {plan.model} with a parameter {name!r}, which this model does not have"
            )
        parameter = parameters[name].detach()
        if tuple(parameter.shape) != plan.shapes[name]:
            raise GainstageError(
                f"{name!r} has shape {tuple(parameter.shape)}, the plan was made for {plan.shapes[name]}; "
                "make a new plan with gs.plan(model, example)"
            )
        if parameter.is_meta:
            raise GainstageError(f"{name!r} is on the meta device; call model.to_empty(device=...) before plan.apply")
        target = parameter.transpose(-1, -2) if assignment.transposed else parameter
        assignment.law.check(tuple(target.shape), assignment.fans)
        work.append((name, target, assignment))
    before: list[tuple[Tensor, Tensor]] = []
    try:
        with torch.no_grad():
            for name, target, assignment in work:
                before.append((target, target.clone()))
                assert assignment.law is not None
                fill_(target, assignment.law, seed=seed, name=name, fans=assignment.fans)
    except BaseException:
        with torch.no_grad():
            for target, values in before:
                target.copy_(values)
        raise
