"""Forward and backward level against depth: as rows, and drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

from gainstage._visible import visible
from gainstage.errors import GainstageError
from gainstage.signal._moments import Moments
from gainstage.signal._sites import Sites

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe & Ito: told apart with any colour vision
COLOURS = {"forward": "#0072b2", "between": "#009e73", "backward": "#d55e00"}
Predicted = Mapping[int, tuple[float | None, float | None]]


@dataclass(frozen=True)
class Row:
    """Root mean squares at one site; None where nothing is measured or predicted.

    Attributes:
        depth: position among the sites that compute.
        site: its name.
        forward, between, backward: measured, of the signal, of its part that varies between samples, of its gradient.
        predicted_forward, predicted_backward: by theory.
    """

    depth: int
    site: str
    forward: float | None
    between: float | None
    backward: float | None
    predicted_forward: float | None = None
    predicted_backward: float | None = None


def rows(tape: Sites, predicted: Predicted | None = None) -> list[Row]:
    """A row for every site of the tape that computes.

    Args:
        tape: what `record` returned.
        predicted: by site index, `(forward, backward)`.
    """
    given = predicted or {}
    return [
        Row(
            depth,
            site.name,
            site.forward.rms if site.forward else None,
            _between(site.forward),
            site.backward.rms if site.backward else None,
            *given.get(site.index, (None, None)),
        )
        for depth, site in enumerate(tape)
    ]


def _between(moments: Moments | None) -> float | None:
    """None for a batch of one, where nothing varies between samples."""
    known = moments is not None and moments.variance_between == moments.variance_between
    return moments.variance_between**0.5 if moments is not None and known else None


def plot(tape: Sites, ax: "Axes | None" = None) -> "Axes":
    """Draw the RMS of signal and gradient at every site that computes, on a logarithmic axis, in execution order.

    Forward, also the part of the signal that varies between samples: where it falls and the level does not, the network
    loses its input.

    Args:
        tape: what `record` returned.
        ax: matplotlib axes to draw into; new ones by default.

    Returns:
        The axes.

    Raises:
        GainstageError: matplotlib is not installed.
    """
    try:
        import matplotlib.pyplot as plt
    except ModuleNotFoundError:
        raise GainstageError("plots need matplotlib; install it with: pip install 'gainstage[plot]'") from None
    if ax is None:
        _, ax = plt.subplots(figsize=(7, 4), layout="constrained")
    draw(rows(tape), ax)
    ax.set_title(f"{visible(tape.model)}: signal and gradient by depth", parse_math=False)
    return ax


def draw(table: Sequence[Row], ax: "Axes") -> None:
    """Draw rows: measured levels as marked lines, predicted ones as broad bands of the same colour.

    Values that a logarithmic axis cannot show (zero, not finite) are crosses at its foot.

    Args:
        table: what `rows` gives.
        ax: matplotlib axes.
    """
    from matplotlib.ticker import MaxNLocator

    bands = (
        ("predicted_forward", "forward, predicted", COLOURS["forward"]),
        ("predicted_backward", "gradient, predicted", COLOURS["backward"]),
    )
    lines = (
        ("forward", "forward", "o", "-"),
        ("between", "forward, between samples", "^", "-."),
        ("backward", "gradient", "s", "--"),
    )
    size = 3 if len(table) <= 200 else 0
    for side, label, colour in bands:
        if shown := [(depth, value) for depth, value in _known(table, side) if _drawable(value)]:
            ax.plot(*zip(*shown, strict=True), color=colour, label=label, linewidth=6, alpha=0.3)
    for place, (side, label, marker, line) in enumerate(lines):
        known, colour = _known(table, side), COLOURS[side]
        if shown := [(depth, value) for depth, value in known if _drawable(value)]:
            ax.plot(*zip(*shown, strict=True), line, marker=marker, markersize=size, color=colour, label=label)
        if hidden := [depth for depth, value in known if not _drawable(value)]:
            foot, label = [0.03 + 0.05 * place] * len(hidden), f"{label}: 0 or not finite"
            ax.plot(hidden, foot, "x", markersize=5, color=colour, label=label, transform=ax.get_xaxis_transform())
    ax.set_yscale("log")
    ax.set_xlabel("site, in execution order")
    ax.set_ylabel("root mean square")
    if table:
        ax.set_xlim(table[0].depth - 0.5, table[-1].depth + 0.5)
    ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    ax.grid(alpha=0.15)
    if ax.get_legend_handles_labels()[0]:
        ax.legend()


def _known(table: Sequence[Row], side: str) -> list[tuple[int, float]]:
    return [(row.depth, value) for row in table if (value := getattr(row, side)) is not None]


def _drawable(value: float) -> bool:
    return value > 0 and isfinite(value)
