"""A transfer as one page of HTML: no script, no network, opens from disk."""

from typing import TYPE_CHECKING, Any

from gainstage.report._figure import svg
from gainstage.report._template import check_installed, filled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from gainstage.transfer import Coordinates, Rates, Transfer

_ROWS = 400  # most parameters that the page lists


def transfer_html(move: "Transfer", check: "Coordinates | None", study: "Rates | None", target: str) -> str:
    """The verdict with what is broken, the curves, every slope, and what every parameter gets.

    Raises:
        GainstageError: what the extra `report` brings is not installed.
    """
    check_installed()
    scalings = list(move.scalings.items())
    return filled(
        "transfer/page.html",
        {"factor": lambda value: "own" if value is None else f"{value:.3g}"},
        move=move,
        check=check,
        study=study,
        target=target,
        figures=_figures(check, study),
        scalings=scalings[:_ROWS],
        more=len(scalings[_ROWS:]),
    )


def _figures(check: "Coordinates | None", study: "Rates | None") -> list[dict[str, Any]]:
    from markupsafe import Markup

    from gainstage.transfer.plots import COLOURS

    colours = {colour: f"var(--c{i})" for i, colour in enumerate(COLOURS)}
    made = []

    def add(name: str, title: str, said: str, draw: Any) -> None:
        markup = svg(draw, (7.6, 3.6), name=name, title=title, description=said, colours=colours)
        made.append({"svg": Markup(markup), "caption": f"{title}. {said}"})

    for axis in check.sizes if check else ():
        assert check is not None
        worst = check.worst(axis)
        said = f"Flat lines keep the rule; the steepest is {worst.label}, {worst.slope}, expected {worst.expected:g}."

        def coordinates(ax: "Axes", axis: str = axis) -> None:
            check.plot(axis, ax)

        add(f"check-{axis}", f"What every parameter learns, over the {axis}", said, coordinates)
    for arm in study.arms if study else ():
        assert study is not None
        for axis in study.axes:
            said = f"The base's best rate costs {study.excess(arm, axis)} at the largest {axis}."

            def losses(ax: "Axes", arm: str = arm, axis: str = axis) -> None:
                study.plot(arm, ax, axis=axis)

            add(f"rates-{arm}-{axis}", f"Loss over the rate, {arm}, by {axis}", said, losses)
    return made
