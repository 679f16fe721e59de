"""A plan as text: one row a parameter."""

from math import prod
from textwrap import fill

from gainstage._columns import columns
from gainstage._visible import visible
from gainstage.plan._assignments import Assignments


def table(plan: Assignments, width: int | None = 80) -> str:
    """One row a parameter in execution order: name, role, law. The reasons are in `plan[name].reason`.

    What is longer than `width` columns goes on below; without a width, a row is a line. Characters in names that do not
    print are shown as their escapes.
    """
    rows = ((name, a.role, law_text(plan, name)) for name, a in plan.items())
    left = sum(a.law is None for a in plan.assignments.values())
    elements = sum(prod(plan.shapes[name]) for name in plan)
    said = f"{len(plan)} parameters, {elements:,} elements, {left} left as they are; scheme {visible(plan.scheme)}"
    said = said if width is None else fill(said, width)
    shown = columns(("parameter", "role", "law"), rows, width=width)
    return "\n".join([shown, said, *(plan.proof.lines() if plan.proof else ())])


def law_text(plan: Assignments, name: str) -> str:
    """The law of a parameter with its number: `he_normal, std 0.177`."""
    assignment = plan[name]
    law = assignment.law
    if law is None:
        return "left as it is"
    concrete = law.concrete(plan.shapes[name], assignment.fans)
    concrete = getattr(concrete, "inner", concrete)
    for law_or_concrete, number, text in ((concrete, "std", "std"), (concrete, "b", "+-"), (law, "gain", "gain")):
        value = getattr(law_or_concrete, number, None)
        if isinstance(value, float):
            return f"{law.name}, {text} {value:.3g}"
    return str(law)
