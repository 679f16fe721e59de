"""Charts of a coordinate check, as matplotlib draws them."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#0072b2", "#c04d00", "#007a59", "#a3457f", "#8a6100", "#8c8c8c")
_NAMED = 5  # lines in colour: those that are furthest from their rule


def slopes(rows: Sequence[Any], sizes: Mapping[str, Sequence[str]], axis: str, ax: "Axes | None" = None) -> "Axes":
    """What every parameter learns against the size, each in units of the first size; the steepest have names."""
    if ax is None:
        from matplotlib import pyplot as plt

        ax = plt.figure().add_subplot()
    own = [row for row in rows if row.axis == axis and row.quantity in ("own", "logits")]
    own.sort(key=lambda row: -abs(row.slope.slope - row.expected))
    x = [float(label) if label.replace(".", "").isdigit() else i + 1.0 for i, label in enumerate(sizes[axis])]
    for place, row in reversed(list(enumerate(own))):
        named = place < _NAMED
        label = f"{row.label if row.quantity == 'own' else 'attention logits'} ({row.slope})" if named else None
        ax.plot(
            x, row.values, color=COLOURS[place if named else -1], marker="os^Dv."[min(place, 5)], label=label,
            alpha=1.0 if named else 0.5, linewidth=1.4 if named else 0.8,
        )  # fmt: skip
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.set_xticks(x, list(sizes[axis]))
    ax.set_xlabel(axis)
    ax.set_ylabel("change, in units of the base's")
    ax.legend(frameon=False, fontsize=8)
    return ax
