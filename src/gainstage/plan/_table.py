"""A plan as text: one row a parameter, 80 columns."""

from math import prod

from gainstage._visible import visible
from gainstage.plan._plan import Plan

_WIDTHS = (28, 26, 24)


def table(plan: Plan) -> str:
    """One row a parameter in execution order: name, role, law. The reasons are in `plan[name].reason`.

    Characters in names that do not print are shown as their escapes.
    """
    lines = [_row(("parameter", "role", "law")), " ".join("-" * width for width in _WIDTHS)]
    lines += [_row((name, a.role, law_text(plan, name))) for name, a in plan.items()]
    left = sum(a.law is None for a in plan.assignments.values())
    elements = sum(prod(plan.shapes[name]) for name in plan)
    said = f"{len(plan)} parameters, {elements:,} elements, {left} left as they are"
    lines.append(f"{said}; scheme {_fit(visible(plan.scheme), 24)}")
    return "\n".join([*lines, *(plan.proof.lines() if plan.proof else ())])


def law_text(plan: Plan, name: str) -> str:
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


def _row(cells: tuple[str, str, str]) -> str:
    shown = (_fit(visible(cell), width).ljust(width) for cell, width in zip(cells, _WIDTHS, strict=True))
    return " ".join(shown).rstrip()


def _fit(text: str, width: int) -> str:
    """Shortened in the middle: the end of a name tells most."""
    if len(text) <= width:
        return text
    head = (width - 2) // 3
    return text[:head] + ".." + text[-(width - 2 - head) :]
