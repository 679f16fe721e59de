"""The reasons of a plan, each said once."""

import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gainstage.plan import Plan


def reasons(plan: "Plan", *, width: int = 80) -> str:
    """Every reason of the plan with the first parameter that it holds for, and for how many more it does."""
    names: dict[str, list[str]] = {}
    for name, assignment in plan.items():
        names.setdefault(assignment.reason, []).append(name)
    lines = ["why"]
    for reason, given in names.items():
        more = f" and {len(given) - 1} more" if len(given) > 1 else ""
        told = f"  {given[0]}{more}: {reason}"
        lines += textwrap.wrap(told, width, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines)
