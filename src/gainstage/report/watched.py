"""A watched run as one page of HTML: findings, and the curves behind them; no script, no network."""

from collections.abc import Callable, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

from gainstage.report._blocks import blocks
from gainstage.report._figure import svg
from gainstage.report._template import check_installed, filled
from gainstage.report.concise import count
from gainstage.report.details import Details
from gainstage.report.html import block

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from gainstage.check import Report
    from gainstage.watch import Header, Reading

_POINTS, _SITES, _GROUPS = 400, 6, 5  # the most that a curve and a figure show
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe, Ito: told apart by everybody
Curve = list[tuple[float, float]]


def watch_html(header: "Header", readings: "Sequence[Reading]", report: "Report") -> str:
    """The run as a page of its own: findings with their steps, and curves of loss, gradient, step and sites.

    Args:
        header, readings: as `watch.read` gives them.
        report: what the rules find in them.

    Returns:
        HTML, one file, names escaped.

    Raises:
        GainstageError: what the extra `report` brings is not installed.
    """
    check_installed()
    drawn = [figure for figure in _figures(readings) if figure is not None]
    return filled(
        "watched.html",
        {},
        header=header,
        report=report,
        summary=count(report),
        last=readings[-1].step if readings else 0,
        number=len(readings),
        blocks=[block(same, Details()) for same in blocks(report.findings)],
        figures=drawn,
    )


def _figures(readings: "Sequence[Reading]") -> "list[Any]":
    losses: Curve = []
    for reading in readings:
        start = reading.step - len(reading.losses) + 1
        losses += [(start + i, v) for i, v in enumerate(reading.losses) if v is not None]
    norms: dict[str, Curve] = {}
    ratios: dict[str, Curve] = {"update over weight": [], "learning rate": []}
    for reading in readings:
        total: dict[str, float] = {}
        for name in ("gradient", "arrived", "weight", "update"):
            squares = [(getattr(p, name) or 0.0) ** 2 for p in reading.parameters.values()]
            total[name] = sum(squares) ** 0.5
        if reading.parameters:
            norms.setdefault("before clipping", []).append((reading.step, total["arrived"]))
            norms.setdefault("as used", []).append((reading.step, total["gradient"]))
            if total["weight"]:
                ratios["update over weight"].append((reading.step, total["update"] / total["weight"]))
        for name, group in list(reading.groups.items())[:_GROUPS]:
            ratios.setdefault(f"rate of {name}", []).append((reading.step, group.rate or 0.0))
        if not reading.groups:
            ratios["learning rate"].append((reading.step, max(reading.rate, default=0.0)))
    if norms and all(abs(a - b) <= 1e-3 * a for (_, a), (_, b) in zip(*norms.values(), strict=True)):
        norms = {"gradient": norms["as used"]}  # nobody clips
    names = list(readings[-1].sites) if readings else []
    some = names[:: max(1, -(-len(names) // _SITES))]
    sites: dict[str, Curve] = {
        name: [(r.step, r.sites[name].rms or 0.0) for r in readings if name in r.sites] for name in some
    }
    return [
        _figure("loss", "Loss of every step", "loss", {"loss": losses}, log=False),
        _figure("gradient", "Norm of the whole gradient", "norm", norms),
        _figure("step", "Size of the steps", "ratio; rate", ratios),
        _figure("sites", f"Signal at {len(some)} of {len(names)} sites", "root mean square", sites),
    ]


def _figure(name: str, title: str, label: str, curves: dict[str, Curve], *, log: bool = True) -> dict[str, Any] | None:
    from markupsafe import Markup

    shown = {n: _thin([(x, y) for x, y in c if isfinite(y) and (y > 0 or not log)]) for n, c in curves.items()}
    shown = {n: c for n, c in shown.items() if len(c) > 1}
    if not shown:
        return None
    told = "; ".join(
        f"{n}: {c[0][1]:.3g} at step {c[0][0]:g}, {c[-1][1]:.3g} at step {c[-1][0]:g}" for n, c in shown.items()
    )
    drawing = svg(_onto(shown, label, log), (7.6, 2.6), name=name, title=title, description=told, colours={})
    return {"title": title, "svg": Markup(drawing), "told": told}


def _onto(curves: dict[str, Curve], label: str, log: bool) -> "Callable[[Axes], object]":
    def draw(axes: "Axes") -> None:
        for colour, (name, curve) in zip(_COLOURS, curves.items(), strict=False):
            axes.plot(*zip(*curve, strict=True), color=colour, label=name, linewidth=1.2)
        axes.set(xlabel="step", ylabel=label)
        if log:
            axes.set_yscale("log")
        axes.grid(alpha=0.2)
        if len(curves) > 1:
            axes.legend(ncols=3, loc="lower left", bbox_to_anchor=(0, 1), frameon=False)

    return draw


def _thin(curve: Curve) -> Curve:
    """At most so many points: of each stretch the one with the largest value, so that no spike is lost."""
    size = -(-len(curve) // _POINTS) or 1
    return [max(curve[i : i + size], key=lambda point: point[1]) for i in range(0, len(curve), size)]
