"""A measurement in Jupyter: its sliders by ipywidgets, its figures below them."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gainstage.lab._blocks import Block, prose, stack, table
from gainstage.lab.course.controls import Control, controls
from gainstage.lab.course.values import powers


def live(measurement: Callable[..., Any]) -> Any:
    """The measurement with its sliders; without ipywidgets, what it shows as it stands at first.

    Args:
        measurement: a function whose signature declares its controls and which yields what is shown.
    """
    known = controls(measurement, Path("the notebook"), 1)
    try:
        import ipywidgets
        from IPython.display import display
    except ModuleNotFoundError:
        return stack(*dict(slots(measurement(**{control.name: control.start for control in known}))).values())
    made = {control.name: _widget(ipywidgets, control) for control in known}
    put: Callable[[Any], Any] = display

    def show(**values: Any) -> None:
        for item in dict(slots(measurement(**values))).values():
            put(item)

    return ipywidgets.VBox([*made.values(), ipywidgets.interactive_output(show, made)])


def slots(result: Any) -> Iterator[tuple[str, Any]]:
    """What a measurement yields or returns, each with its slot: a later one of a slot takes the place of the earlier.

    A figure's slot is its title. Text is Markdown.

    Example:
        >>> [slot for slot, _ in slots("Text.")]
        ['text 0']
    """
    for number, item in enumerate(result if isinstance(result, Iterator) else (result,)):
        if isinstance(item, str):
            yield f"text {number}", prose(powers(item))
        else:
            yield getattr(item, "slot", f"item {number}"), item


def repair(build: Callable[..., Any]) -> Any:
    """A broken network with what can be changed about it; every choice is checked by `gs.check`."""
    from functools import wraps

    from gainstage.check import check
    from gainstage.lab._fix import findings

    @wraps(build)
    def checked(**choices: Any) -> Any:
        subject = build(**choices)
        yield findings(
            check(subject.model, subject.example, target=subject.target, loss=subject.loss, optimizer=subject.optimizer)
        )

    return live(checked)


class Rows:
    """Rows of a table: call it with the columns of each, then show it.

    Args:
        caption: what the table says.

    Example:
        >>> row = Rows("Levels")
        >>> row(layer=1, level_behind_it=0.5)
        >>> row.rows
        [{'layer': 1, 'level behind it': 0.5}]
    """

    def __init__(self, caption: str) -> None:
        self.caption, self.rows = caption, list[dict[str, Any]]()

    def __call__(self, *columns: Mapping[str, Any], **more: Any) -> None:
        """Add a row: mappings of title to value, and names, whose underscores are shown as spaces."""
        made = {title: value for given in columns for title, value in given.items()}
        made |= {name.replace("_", " "): value for name, value in more.items()}
        self.rows.append({name: v.item() if hasattr(v, "item") else v for name, v in made.items()})

    def show(self) -> Block:
        """The table."""
        return table(self.rows, self.caption)


def _widget(ipywidgets: Any, control: Control) -> Any:
    from gainstage.lab._numbers import show

    wide = {"description": control.label, "style": {"description_width": "initial"}, "layout": {"width": "32em"}}
    if control.kind == "text":
        return ipywidgets.Textarea(control.start, continuous_update=False, rows=control.start.count("\n") + 1, **wide)
    if control.kind == "choice":
        return ipywidgets.Dropdown(options=control.values, value=control.start, **wide)
    options = [(show(value), value) for value in control.values]
    return ipywidgets.SelectionSlider(options=options, value=control.start, continuous_update=False, **wide)
