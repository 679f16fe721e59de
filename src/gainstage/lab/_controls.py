"""Widgets whose value is in the address: the state of a lesson is a link."""

from collections.abc import Sequence
from typing import Any

import marimo as mo

from gainstage.lab import _ranges
from gainstage.lab._blocks import Block, stack
from gainstage.lab._errors import LabError


def slider(
    name: str, start: float, stop: float, value: float, *, step: float = 1, label: str, steps: Sequence[float] = ()
) -> Any:
    """A slider whose value is read from the address and written to it.

    Args:
        name: its key in the address: `?depth=20`.
        start, stop, step: its range; integers give integers. Ignored where there are `steps`.
        value: where it stands if the address does not say.
        label: what it sets, with the unit: its accessible name.
        steps: all values, where they are not evenly spaced; `value` is one of them.
    """
    allowed = list(steps) or _ranges.steps(start, stop, step)
    if value not in allowed:
        raise LabError(
            f"slider {name!r}: value={value} is not one of its values; take {_ranges.nearest(allowed, value)}"
        )
    at, wrong = _from_address(
        name, value, lambda text: _ranges.parsed(text, allowed), f"{allowed[0]:g} to {allowed[-1]:g}"
    )
    made = mo.ui.slider(
        steps=allowed, value=at, label=label + wrong, show_value=True, full_width=True, on_change=_writer(name)
    )
    made.lab_label = label
    return made


def dropdown(name: str, options: Sequence[str], value: str, *, label: str) -> Any:
    """A choice among names, kept in the address like a slider's value; arguments as for `slider`."""
    if value not in options:
        raise LabError(f"dropdown {name!r}: value={value!r} is not one of {', '.join(options)}")
    at, wrong = _from_address(
        name, value, lambda text: text if text in options else None, "one of " + ", ".join(options)
    )
    made: Any = mo.ui.dropdown(
        list(options), value=at, label=label + wrong, allow_select_none=False, on_change=_writer(name)
    )
    made.lab_label = label
    return made


def panel(*widgets: Any) -> Block:
    """The widgets of a measurement, beside each other where the page is wide enough."""
    return stack(*widgets, side_by_side=True)


def _from_address(name: str, default: Any, parse: Any, expected: str) -> tuple[Any, str]:
    """The value that the address gives, or the default and a sentence that says why it is used instead."""
    params = _address()
    if params is None or name not in params:
        return default, ""
    given = params.get_all(name)[-1]
    parsed = parse(given)
    if parsed is not None:
        return parsed, ""
    return default, f" ({_ranges.refused(given, expected, default)})"


def _writer(name: str) -> Any:
    def write(value: Any) -> None:
        params = _address()
        if params is not None:
            params.set(name, str(value))

    return write


def _address() -> Any:
    """The query of the address; None outside marimo, for instance in Jupyter."""
    try:
        return mo.query_params()
    except Exception:  # marimo's ContextNotInitializedError is private
        return None
