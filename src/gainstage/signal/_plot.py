"""Forward and backward level against depth, drawn."""

from typing import TYPE_CHECKING

from gainstage.errors import GainstageError
from gainstage.signal._tape import Tape

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FORWARD, _BACKWARD = "#0072B2", "#D55E00"  # Okabe & Ito: told apart with any colour vision


def plot(tape: Tape, ax: "Axes | None" = None) -> "Axes":
    """Draw forward and gradient RMS of every site that computes, on a logarithmic axis, against execution order.

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
    sides = (("forward", "forward RMS", _FORWARD, "o", "-"), ("backward", "gradient RMS", _BACKWARD, "s", "--"))
    for side, label, colour, marker, line in sides:
        points = [(depth, getattr(site, side)) for depth, site in enumerate(tape) if getattr(site, side) is not None]
        levels = [(depth, moments.rms) for depth, moments in points if moments.rms > 0]
        if levels:
            ax.plot(*zip(*levels, strict=True), line, marker=marker, markersize=3, color=colour, label=label)
    ax.set_yscale("log")
    ax.set_xlabel("site, in execution order")
    ax.set_ylabel("root mean square")
    ax.set_title(f"{tape.model}: signal and gradient by depth")
    ax.grid(alpha=0.3)
    ax.legend()
    return ax
