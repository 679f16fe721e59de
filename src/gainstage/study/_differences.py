"""A chart of paired differences against the margin."""

from typing import TYPE_CHECKING

from gainstage.study._drawing import COLOURS, GREY, axes, drawable
from gainstage.study._errors import StudyError
from gainstage.study._measured import Measured
from gainstage.study._statistics import paired

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def differences(results: Measured, ax: "Axes | None" = None, *, to: int | str | None = None) -> "Axes":
    """Draw each arm's score less that of one arm, seed by seed, with the band within which a difference is none.

    An interval inside the band does not matter, one outside of it does, one across its edge cannot tell.

    Args:
        results: of a study.
        ax: matplotlib axes; new ones by default.
        to: the arm that the others are compared with, by number or label; the best mean by default.

    Returns:
        The axes: the first of the other arms on top, every seed as a small cross, the mean difference with its 95 %
        interval as a dot. With one seed there is no interval.

    Raises:
        StudyError: there is one arm only, or none like `to`.
    """
    if len(results.arms) < 2:
        raise StudyError("differences need two arms at least; use plot('scores') for one.")
    means = [results.summary(i).mean for i in range(len(results.arms))]
    own = results.index(to) if to is not None else means.index(max(means))
    others = [i for i in range(len(results.arms)) if i != own]
    scores = [each.scores for each in results.arms]
    found = [paired(scores[i], scores[own], resolution=results.resolution) for i in others]
    ax = axes(ax, 7.0, 1.4 + 0.28 * len(others))
    ax.axvspan(-results.margin, results.margin, color=GREY, alpha=0.18, linewidth=0, label=f"± {results.margin:g}")
    ax.axvline(0.0, color=GREY, linewidth=0.8)
    halves = [f.high - f.difference if f.n > 1 else 0.0 for f in found]
    ax.errorbar(
        [f.difference for f in found], range(len(others)), xerr=halves, fmt="o", color=COLOURS[0], markersize=5,
        capsize=3, label="mean and 95 % interval",
    )  # fmt: skip
    each = [(a - b, place) for place, i in enumerate(others) for a, b in zip(scores[i], scores[own], strict=True)]
    ax.plot(*zip(*each, strict=True), "|", color=COLOURS[1], markersize=7, label="a seed")
    ax.set_yticks(range(len(others)), [drawable(results.labels[i]) for i in others])
    ax.set_ylim(len(others) - 0.5, -0.5)
    ax.set_xlabel(f"{results.score} less that of {drawable(results.labels[own])}")
    ax.grid(axis="x", alpha=0.15)
    ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, frameon=False, fontsize="small")
    return ax
