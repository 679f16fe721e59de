"""The signature of a function declares its sliders: `depth: (2, 60) = 20`, `activation: ("relu", "tanh") = "relu"`."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gainstage.lab._numbers import show
from gainstage.lab._ranges import parsed, refused, steps
from gainstage.lab.course.grammar import wrong


@dataclass(frozen=True)
class Control:
    """One thing to set.

    Attributes:
        name: of the argument, and in the address.
        label: what it sets, with the unit.
        values: what it can be: numbers of a slider or names of a choice; none for a text.
        start: where it stands at first.
    """

    name: str
    label: str
    values: tuple[Any, ...]
    start: Any

    @property
    def kind(self) -> str:
        """`"range"`, `"choice"` or `"text"`."""
        if not self.values:
            return "text"
        return "choice" if isinstance(self.values[0], str) else "range"

    def read(self, text: str) -> Any:
        """The value that a text means; None where it means none."""
        if self.kind == "range":
            return parsed(text, self.values)
        return text if self.kind == "text" or text in self.values else None

    @property
    def expected(self) -> str:
        """What may be written."""
        if self.kind == "range":
            return f"{show(self.values[0])} to {show(self.values[-1])}"
        return "one of " + ", ".join(self.values)


def controls(function: Callable[..., Any], file: Path, line: int) -> tuple[Control, ...]:
    """The controls that a signature declares.

    | annotation | control |
    |---|---|
    | `(2, 60)` or `(0.1, 3, 0.05)` | slider from, to, by steps of |
    | `[0.01, 0.1, 1]` | slider over these numbers |
    | `("relu", "tanh")` or a dictionary | choice among these names |
    | `str` | a line, or where the start has several lines a text, to edit |

    The last paragraph of the docstring labels them, in order, with semicolons between; without a docstring a label is
    the argument's name.

    Raises:
        LessonError: an argument has no start, or an annotation is none of these.
    """
    parameters = inspect.signature(function).parameters.values()
    *_, labelled = inspect.cleandoc(function.__doc__ or "").split("\n\n")
    said = [label.strip() for label in " ".join(labelled.split()).split(";") if label.strip()]
    if said and len(said) != len(parameters):
        raise wrong(file, line, f"{function.__name__} has {len(parameters)} arguments and {len(said)} labels in its "
                    "docstring. Write one for each, with ; between")  # fmt: skip
    labels = said or [p.name.replace("_", " ").capitalize() for p in parameters]
    return tuple(_control(p, label, file, line) for p, label in zip(parameters, labels, strict=True))


def chosen(known: Sequence[Control], given: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """What is set where, and a sentence for every value that is not taken.

    Args:
        known: the controls.
        given: text by name, of an address; other names are left alone.
    """
    values, said = {}, []
    for control in known:
        value = control.read(given[control.name]) if control.name in given else control.start
        if value is None:
            said.append(f"{control.label}: {refused(given[control.name], control.expected, control.start)}.")
        values[control.name] = control.start if value is None else value
    return values, said


def few(control: Control, most: int) -> Control:
    """The control with some of its values, evenly spaced, the start among them."""
    if control.kind != "range" or len(control.values) <= most:
        return control
    last, start = len(control.values) - 1, control.values.index(control.start)
    kept = {round(i * last / (most - 1)) for i in range(most)} if most > 1 else set()
    if start not in kept:
        kept = {min(kept, key=lambda i: abs(i - start))} ^ kept | {start} if kept else {start}
    return replace(control, values=tuple(control.values[i] for i in sorted(kept)))


def _control(parameter: inspect.Parameter, label: str, file: Path, line: int) -> Control:
    name, said, start = parameter.name, parameter.annotation, parameter.default
    if start is parameter.empty:
        raise wrong(file, line, f"{name} has no value to start with. Write: {name}: ... = ...")
    values = _values(said)
    if values is None:
        raise wrong(file, line, f"{name}: {said!r} declares no control. Write (from, to), (from, to, step), "
                    "[numbers], (names) or str")  # fmt: skip
    if values and start not in values:
        raise wrong(file, line, f"{name} = {start!r} is not one of its values, {show(values[0])} to {show(values[-1])}")
    return Control(name, label, values, start)


def _values(said: Any) -> tuple[Any, ...] | None:
    if said is str:
        return ()
    if isinstance(said, Mapping):
        said = tuple(said)
    if not isinstance(said, tuple | list) or not said:
        return None
    if all(isinstance(v, str) for v in said):
        return tuple(said)
    if not all(isinstance(v, int | float) for v in said):
        return None
    if isinstance(said, list):
        return tuple(said)
    return tuple(steps(*said)) if len(said) in (2, 3) else None
