"""What charts of studies share: colours that are told apart with any colour vision, names that print, axes."""

from collections.abc import Callable, Sequence
from itertools import cycle
from math import isfinite
from typing import TYPE_CHECKING, Any

from gainstage.study._errors import StudyError
from gainstage.study._measured import Measured

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe & Ito, yellow left out: told apart with any colour vision; with each other's line style and marker, without any
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#222222")
LINES = ("-", "--", "-.", ":")
GREY = "#6b6b6b"  # of the line at guessing
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")


def names_of(results: Measured, chosen: Sequence[int], names: Sequence[str] | None) -> list[str]:
    """What to call the arms; matplotlib leaves labels that begin with an underscore out of a legend."""
    shown = [drawable(name) for name in names or [results.labels[i] for i in chosen]]
    return [f" {name}" if name.startswith("_") else name for name in shown]


def drawable(text: str) -> str:
    """A text that matplotlib does not read as a formula, and that has nothing in it which does not print."""
    return "".join(c if c.isprintable() else " " for c in text).replace("$", r"\$")


def draw_guess(line: Callable[..., Any], results: Measured) -> None:
    """A line at the score of guessing, where there is one."""
    for guess in finite(results.guess):
        line(guess, color=GREY, linestyle=(0, (1, 2)), linewidth=1.2, label="guessing")


def finite(guess: float) -> list[float]:
    """The score of guessing, where there is one."""
    return [guess] if isfinite(guess) else []


def styles(n: int) -> list[dict[str, Any]]:
    """For each of `n` lines a colour, a line style and a marker; those of neighbours differ in all three."""
    colours, markers, lines = cycle(COLOURS), cycle(MARKERS), cycle(LINES)
    return [{"color": next(colours), "marker": next(markers), "linestyle": next(lines)} for _ in range(n)]


def axes(ax: "Axes | None", width: float, height: float) -> "Axes":
    """The axes that were given, or new ones of this size in inches.

    Raises:
        StudyError: matplotlib is not installed.
    """
    if ax is not None:
        return ax
    try:
        import matplotlib.pyplot as plt
    except ModuleNotFoundError:
        raise StudyError("plots need matplotlib. Write: pip install 'gainstage[plot]'") from None
    made: Axes = plt.subplots(figsize=(width, height), layout="constrained")[1]
    return made
