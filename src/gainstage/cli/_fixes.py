"""The fixes of a report: which parameters they change, from what to what, and the model with them made."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

    from gainstage.check import Report
    from gainstage.init import Law
    from gainstage.plan import Plan


def laws_of(report: "Report") -> "dict[str, Law]":
    """The law for every parameter that a fix names; of two fixes for one parameter, the worse finding's."""
    laws: dict[str, Law] = {}
    for finding in report.findings:  # worst first
        for name, law in finding.fix.laws.items():
            laws.setdefault(name, law)
    return laws


def difference(model: "nn.Module", laws: "Mapping[str, Law]") -> str:
    """What the fixes would change: a parameter, how its values look as built, and the law they would be drawn from."""
    from gainstage.run import named_parameters

    parameters = dict(named_parameters(model, remove_duplicate=False))
    lines = []
    for name, law in laws.items():
        lines += [name, f"  - {_as_built(parameters[name])}", f"  + {law}"]
    return "\n".join(["--- as built", "+++ fixed", *lines]) if lines else ""


def repair(model: "nn.Module", plan: "Plan", laws: "Mapping[str, Law]", seed: int) -> None:
    """Draw the named parameters from their laws, in place; all others keep the values they were built with.

    The draw is the plan's own, so a fixed weight is the one that `gainstage init` would give with the same law.
    """
    plan.replace(laws).only(laws).apply(model, seed=seed)


def _as_built(parameter: "Tensor") -> str:
    """The values of a parameter in a few words."""
    values = parameter.detach().float()
    low, high = (float(v) for v in values.aminmax())
    if low == high:
        return f"constant {low:.4g}"
    return f"mean {float(values.mean()):.3g}, standard deviation {float(values.std()):.4g}"
