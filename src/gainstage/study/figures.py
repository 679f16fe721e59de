"""Charts of a study: learning curves with bands, scores with intervals, differences, a heat map of two factors."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from gainstage.study._arm import nearest
from gainstage.study._differences import differences
from gainstage.study._drawing import COLOURS as COLOURS
from gainstage.study._drawing import GREY as GREY
from gainstage.study._drawing import axes, draw_guess, drawable, finite, names_of, styles
from gainstage.study._errors import StudyError
from gainstage.study._measured import Measured
from gainstage.study._points import bands
from gainstage.study.labels import identities, phrase

if TYPE_CHECKING:
    from matplotlib.axes import Axes


FEW = 4  # lines whose legend finds room inside of the axes


def plot(results: Measured, kind: str = "scores", ax: "Axes | None" = None, **options: Any) -> "Axes":
    """Draw results; see `scores`, `curves`, `differences` and `heatmap`.

    Args:
        results: of a study.
        kind: which of the four.
        ax: matplotlib axes to draw into; new ones by default.
        options: `arms` and `names` of the first two, `to` of the third, `rows` and `columns` of the last.

    Returns:
        The axes.

    Raises:
        StudyError: there is no such kind, or matplotlib is not installed.
    """
    kinds: dict[str, Callable[..., Axes]] = {
        "scores": scores, "curves": curves, "differences": differences, "heatmap": heatmap,
    }  # fmt: skip
    if kind not in kinds:
        raise StudyError(f"there is no plot {kind!r}.{nearest(kind, kinds)} Write one of: {', '.join(kinds)}.")
    return kinds[kind](results, ax=ax, **options)


def curves(
    results: Measured,
    ax: "Axes | None" = None,
    *,
    arms: Sequence[int | str] | None = None,
    names: Sequence[str] | None = None,
) -> "Axes":
    """Draw the score on the validation part against the step: the mean over the seeds, and its 95 % interval as a band.

    Args:
        results: of a study.
        ax: matplotlib axes; new ones by default.
        arms: which, by number or label; all by default.
        names: what to call them; their labels by default.

    Returns:
        The axes: a line and a band for each arm, a line at the score of guessing.
    """
    chosen = [results.index(arm) for arm in (range(len(results.arms)) if arms is None else arms)]
    ax = axes(ax, 7.0, 4.2) if len(chosen) <= FEW else axes(ax, 9.0, max(4.2, 0.5 + 0.2 * len(chosen)))
    shown = names_of(results, chosen, names)
    for i, name, style in zip(chosen, shown, styles(len(chosen)), strict=True):
        points = bands(results, i)
        steps = [p.step for p in points]
        every = max(1, len(steps) // 6)
        ax.plot(steps, [p.mean for p in points], label=name, markersize=4, markevery=every, **style)
        ax.fill_between(
            steps, [p.low for p in points], [p.high for p in points], color=style["color"], alpha=0.15, linewidth=0
        )
    draw_guess(ax.axhline, results)
    ax.set_xlabel("step")
    ax.set_ylabel(f"{results.score} on the validation part")
    ax.grid(alpha=0.15)
    beside = {"loc": "upper left", "bbox_to_anchor": (1.01, 1), "fontsize": "small"}
    ax.legend(**(beside if len(chosen) > FEW else {}))
    return ax


def scores(
    results: Measured,
    ax: "Axes | None" = None,
    *,
    arms: Sequence[int | str] | None = None,
    names: Sequence[str] | None = None,
) -> "Axes":
    """Draw the test score of each arm: every seed as a small cross, their mean with its 95 % interval as a dot.

    Args:
        results: of a study.
        ax: matplotlib axes; new ones by default.
        arms: which, by number or label; all by default.
        names: what to call them; their labels by default.

    Returns:
        The axes: the first arm on top, a line at the score of guessing. An arm with runs that failed says so beside its
        label.
    """
    chosen = [results.index(arm) for arm in (range(len(results.arms)) if arms is None else arms)]
    ax = axes(ax, 7.0, 1.2 + 0.28 * len(chosen))
    found = [results.summary(i) for i in chosen]
    places = list(range(len(chosen)))
    bounded = [[min(s.mean - s.low, 1e9), min(s.high - s.mean, 1e9)] if s.n > 1 else [0.0, 0.0] for s in found]
    ax.errorbar(
        [s.mean for s in found],
        places,
        xerr=list(zip(*bounded, strict=True)),
        fmt="o",
        color=COLOURS[0],
        markersize=5,
        capsize=3,
        label="mean and 95 % interval",
    )
    each = [(score, place) for i, place in zip(chosen, places, strict=True) for score in results.arms[i].scores]
    ax.plot(*zip(*each, strict=True), "|", color=COLOURS[1], markersize=7, label="a seed")
    draw_guess(ax.axvline, results)
    failed = [f" ({s.failures} of {s.n} failed)" if s.failures else "" for s in found]
    ax.set_yticks(places, [name + said for name, said in zip(names_of(results, chosen, names), failed, strict=True)])
    ax.set_ylim(len(chosen) - 0.5, -0.5)
    ax.set_xlabel(f"{results.score} on the test part")
    ax.grid(axis="x", alpha=0.15)
    ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, frameon=False, fontsize="small")
    return ax


def heatmap(
    results: Measured,
    ax: "Axes | None" = None,
    *,
    rows: str | Sequence[str] | None = None,
    columns: str | Sequence[str] | None = None,
) -> "Axes":
    """Draw the mean test score of every arm in a field of two factors, with its number in the cell.

    Args:
        results: of a study whose arms differ in two factors or more.
        ax: matplotlib axes; new ones by default.
        rows: a factor, or several whose combinations are the rows; the first by default.
        columns: likewise; all others by default.

    Returns:
        The axes. A cell without an arm is empty.

    Raises:
        StudyError: the arms do not differ in such a factor, or several arms belong into one cell.
    """
    down, across = _chosen(results, rows, columns)
    cells, row_labels, column_labels = _cells(results, down, across)
    ax = axes(ax, *size_of(results, rows=rows, columns=columns))
    means = {place: results.summary(i).mean for place, i in cells.items()}
    shown = [[means.get((r, c), float("nan")) for c in range(len(column_labels))] for r in range(len(row_labels))]
    low, high = min([*finite(results.guess), *means.values()]), max(means.values())
    ax.pcolormesh(shown, cmap="cividis", vmin=low, vmax=max(high, low + 1e-9), edgecolors="none")
    for (r, c), mean in means.items():
        light = (mean - low) / max(high - low, 1e-9) > 0.467  # where black and white have equal contrast to it
        colour = "#000000" if light else "#ffffff"
        ax.text(c + 0.5, r + 0.5, f"{mean:.2f}", ha="center", va="center", color=colour, fontsize="small")
    ax.set_xticks([c + 0.5 for c in range(len(column_labels))], column_labels, rotation=30, ha="right")
    ax.set_yticks([r + 0.5 for r in range(len(row_labels))], row_labels)
    ax.invert_yaxis()
    ax.set_xlabel(", ".join(across))
    ax.set_ylabel(", ".join(down))
    ax.set_title(f"{results.score} on the test part, mean of {len(results.seeds)} seeds", fontsize="medium")
    return ax


def size_of(
    results: Measured, *, rows: str | Sequence[str] | None = None, columns: str | Sequence[str] | None = None
) -> tuple[float, float]:
    """Width and height in inches that a heat map and its labels need."""
    _, down, across = _cells(results, *_chosen(results, rows, columns))
    longest_down, longest_across = (max(len(label) for label in labels) for labels in (down, across))
    return 1.0 + 0.07 * longest_down + 0.62 * len(across), 1.0 + 0.045 * longest_across + 0.34 * len(down)


def _chosen(
    results: Measured, rows: str | Sequence[str] | None, columns: str | Sequence[str] | None
) -> tuple[list[str], list[str]]:
    """The factors of rows and of columns."""
    names = list(results.factors)
    across = _factors(results, columns, [n for n in names if n not in _listed(rows)] if rows else names[1:])
    down = _factors(results, rows, [n for n in names if n not in across][:1])
    if not down or not across:
        raise StudyError("a heat map needs two factors in which the arms differ; use plot('scores') for one.")
    return down, across


def _cells(
    results: Measured, down: list[str], across: list[str]
) -> tuple[dict[tuple[int, int], int], list[str], list[str]]:
    """The arm of each cell, and what rows and columns are called."""
    same = identities([each.arm for each in results.arms])
    order: tuple[dict[tuple[str, ...], str], dict[tuple[str, ...], str]] = ({}, {})
    cells: dict[tuple[int, int], int] = {}
    for i, (own, setting) in enumerate(zip(same, results.settings, strict=True)):
        place = []
        for names, known in zip((down, across), order, strict=True):
            key = tuple(own[name] for name in names)
            known.setdefault(key, drawable(", ".join(phrase(name, setting[name]) for name in names)))
            place.append(list(known).index(key))
        if (place[0], place[1]) in cells:
            left = [name for name in results.factors if name not in (*down, *across)]
            raise StudyError(
                f"several arms belong into one cell of rows {down} and columns {across}: they also differ in "
                f"{', '.join(left) or 'their names'}. Write for instance columns={[*across, *left]!r}."
            )
        cells[place[0], place[1]] = i
    return cells, list(order[0].values()), list(order[1].values())


def _factors(results: Measured, given: str | Sequence[str] | None, default: list[str]) -> list[str]:
    names = _listed(given) if given is not None else default
    for name in names:
        if name not in results.factors:
            known = ", ".join(results.factors) or "nothing"
            raise StudyError(
                f"the arms do not differ in {name!r}.{nearest(name, results.factors)} They differ in: {known}."
            )
    return names


def _listed(given: str | Sequence[str] | None) -> list[str]:
    return [given] if isinstance(given, str) else list(given or ())
