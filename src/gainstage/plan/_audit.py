"""Compare a model with a plan: what deviates, what nobody fills, what is equal or broken."""

from dataclasses import dataclass
from math import prod, sqrt

import torch
from torch import Tensor, nn

from gainstage._visible import visible
from gainstage.init import Law
from gainstage.plan._assignment import Assignment
from gainstage.plan._assignments import Assignments
from gainstage.plan._fingerprint import drawn_box
from gainstage.run import named_parameters

_SIGMAS = 6.0  # of the sampling error of a mean square; a false alarm in 1e9


@dataclass(frozen=True)
class Deviation:
    """One parameter that is not as planned.

    Attributes:
        name: of the parameter.
        kind: `"deviates"`, `"untouched"`, `"identical"`, `"nonfinite"`, `"missing"` or `"shape"`.
        message: one sentence with numbers.
    """

    name: str
    kind: str
    message: str

    def __str__(self) -> str:
        return visible(f"{self.name}: {self.message}")


def audit(plan: Assignments, model: nn.Module, *, seed: int | None = None) -> tuple[Deviation, ...]:
    """Everything in `model` that is not as the plan says; empty for a model that was just filled by it.

    Reported are parameters whose mean square (or, for constants, value) is not the law's beyond sampling error,
    parameters that the plan leaves untouched or does not know, two that hold identical values, and non-finite ones.
    With the seed, every bit is compared.
    """
    found: list[Deviation] = []
    parameters = dict(named_parameters(model))
    for name in plan:
        if name not in parameters:
            found.append(Deviation(name, "missing", "the plan names it, the model does not have it"))
    seen: dict[tuple[object, ...], tuple[str, Tensor]] = {}
    for name, parameter in parameters.items():
        values = parameter.detach()
        assignment = plan.assignments.get(name)
        if assignment is None or assignment.law is None:
            why = "not in the plan" if assignment is None else assignment.reason
            found.append(Deviation(name, "untouched", f"untouched: {why}"))
        if values.is_meta or not values.numel():
            continue
        if not bool(torch.isfinite(values).all()):
            bad = int((~torch.isfinite(values)).sum())
            found.append(Deviation(name, "nonfinite", f"{bad} of {values.numel()} values are NaN or infinite"))
            continue
        if assignment and assignment.law is not None:
            if tuple(values.shape) != plan.shapes[name]:
                found.append(Deviation(name, "shape", f"shape {tuple(values.shape)}, planned {plan.shapes[name]}"))
            elif message := _difference(values, name, assignment, assignment.law, seed):
                found.append(Deviation(name, "deviates", message))
        if values.dim() > 1 and (twin := _twin(seen, name, values)):
            found.append(Deviation(name, "identical", f"holds the same values as {twin}"))
    return tuple(found)


def _difference(values: Tensor, name: str, assignment: Assignment, law: Law, seed: int | None) -> str:
    shape = tuple(values.shape)
    drawn = drawn_box(name, assignment, law, shape, seed or 0, values.dtype, shape, (0,) * len(shape))
    want, have = float(drawn.double().square().mean()), float(values.double().square().mean())
    if drawn.min() == drawn.max():
        same = torch.allclose(values.float(), values.new_full((), float(drawn.min())).float(), rtol=1e-2)
        return "" if same else f"planned {law}, found a mean square of {have:.3g}"
    if values.min() == values.max():
        return f"planned {law}, all values are {float(values.flatten()[0]):.3g}"
    if seed is not None:
        return "" if torch.equal(drawn, values.cpu()) else f"not the numbers that {law} draws from seed {seed}"
    error = _SIGMAS * sqrt(2 * 2 / prod(shape)) * want + 0.01 * want
    return "" if abs(have - want) <= error else f"planned {law} with mean square {want:.3g}, found {have:.3g}"


def _twin(seen: dict[tuple[object, ...], tuple[str, Tensor]], name: str, values: Tensor) -> str:
    """The name of an earlier parameter with the same, non-constant values."""
    flat = values.float().flatten()
    if flat.numel() < 2 or bool((flat == flat[0]).all()):
        return ""
    key = (tuple(values.shape), float(flat[0]), float(flat[-1]), float(flat.sum()))
    if key in seen and torch.equal(seen[key][1], values):
        return seen[key][0]
    seen[key] = (name, values)
    return ""
