"""A plan as text: one row a parameter, or a kind of parameter that blocks repeat."""

import re
from collections.abc import Iterator
from math import prod
from textwrap import fill

from gainstage._columns import columns
from gainstage._visible import visible
from gainstage.plan._assignments import Assignments

_ALIKE = 3  # parameters of one kind from which they share a row
_NUMBER = re.compile(r"(?<![^._])\d+(?=[._])")  # a part of a name: which block
_PLACE = re.compile(r"\b(branch|branches) \d+")


def table(plan: Assignments, width: int | None = 80, *, every: bool = False) -> str:
    """Name, role and law in execution order, a row for each kind of parameter that blocks repeat, with its count.

    What is longer than `width` columns goes on below; without a width, a row is a line. Characters in names that do not
    print are shown as their escapes. The reasons are in `plan[name].reason`.

    Args:
        plan: the plan.
        width: of the page.
        every: a row for each parameter instead.
    """
    rows = list(_rows(plan, every))
    left = sum(a.law is None for a in plan.assignments.values())
    elements = sum(prod(plan.shapes[name]) for name in plan)
    said = f"{len(plan)} parameters, {elements:,} elements, {left} left as they are; scheme {visible(plan.scheme)}"
    told = [visible(text) for text in (said, plan.choice) if text]
    counted = any(row[-1] for row in rows)
    heads = ("parameter", "role", "law", "times") if counted else ("parameter", "role", "law")
    shown = columns(heads, [row[: len(heads)] for row in rows], width=width, numbers=(3,) if counted else ())
    lines = [text if width is None else fill(text, width) for text in told]
    return "\n".join([shown, *lines, *(plan.proof.lines() if plan.proof else ())])


def _rows(plan: Assignments, every: bool) -> Iterator[tuple[str, str, str, str]]:
    """Name, role, law and how many they stand for."""
    kinds: dict[tuple[str, str, str], list[str]] = {}
    for name, a in plan.items():
        law = a.law.name if a.law else ""
        kind = (name if every else _NUMBER.sub("*", name), _PLACE.sub(r"\1 *", a.role), law)
        kinds.setdefault(kind, []).append(name)
    first = {names[0]: (kind, names) for kind, names in kinds.items() if len(names) >= _ALIKE}
    grouped = {name for _, names in first.values() for name in names}
    for name, a in plan.items():
        if name in first:
            (_, role, _), names = first[name]
            least, most = law_text(plan, names[0]), law_text(plan, names[-1])
            law = least if least == most else f"{least} to {most.split(', ')[-1]}"
            yield _common(names), role, law, str(len(names))
        elif name not in grouped:
            yield name, a.role, law_text(plan, name), ""


def _common(names: list[str]) -> str:
    """Names that differ in their numbers alone, with a star for each number that differs."""
    parts = zip(*(re.split(r"(\d+)", name) for name in names), strict=True)
    return "".join(part[0] if len(set(part)) == 1 else "*" for part in parts)


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
