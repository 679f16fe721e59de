"""The tape as text: the variance-propagation check of the textbooks, for any model."""

from math import isfinite, isnan, log10
from textwrap import fill

from gainstage._columns import columns
from gainstage._visible import visible
from gainstage.signal import ops
from gainstage.signal._graph import Graph
from gainstage.signal._sites import Site, Sites

_HEADS = ("#", "layer", "op", "shape", "fwd", "between", "0%", "sat", "grad")


def table(tape: Sites, *, width: int | None = 80, every: bool = False) -> str:
    """One row a layer in execution order, the extremes marked.

    Columns: depth; layer (module path) and operation; shape; forward RMS; variance between samples as a share of the
    mean square; per cent of zeros; per cent saturated; gradient RMS. `!` marks numbers that a healthy network does not
    show: a level beyond a factor 100 of the median, a signal that no longer depends on the sample (a share below 1e-4),
    more than half saturated, a gradient beyond a factor 1000 of the median. Characters in names that do not print are
    shown as their escapes.

    Args:
        tape: what `record` returned.
        width: columns; what is longer goes on below. None: a row is a line, however long.
        every: also rows of additions, dropout and other arithmetic between layers.
    """
    rows = [site for site in tape if every or _is_layer(site)]
    if not rows:
        return f"{visible(tape.model)}: no layers on the tape"
    level = _median([site.forward.rms for site in rows if site.forward])
    median = _median([site.backward.rms for site in rows if site.backward])
    cells = (_row(depth, site, level, median) for depth, site in enumerate(rows))
    return f"{columns(_HEADS, cells, numbers=range(4, 9), width=width)}\n{_summary(tape, rows, width)}"


def _median(values: list[float]) -> float:
    positive = sorted(value for value in values if value > 0 and isfinite(value))
    return positive[len(positive) // 2] if positive else 0.0


def _is_layer(site: Site) -> bool:
    return not ops.of(site).minor and len(site.shape) > 0


def _row(depth: int, site: Site, level: float, median: float) -> list[str]:
    moments, gradient = site.forward, site.backward
    cells = [str(depth), site.path or "(model)", site.op, "x".join(map(str, site.shape))]
    if moments is None:
        numbers = ["-"] * 4
    else:
        share = moments.variance_between / moments.mean_square if moments.mean_square > 0 else float("nan")
        far = not isfinite(moments.rms) or not level / 100 <= moments.rms <= level * 100
        numbers = [
            _number(moments.rms, far),
            _number(share, share < 1e-4),
            _percent(moments.zeros),
            _percent(moments.saturated, moments.saturated > 0.5),
        ]
    if gradient is None:
        return [*cells, *numbers, "-"]
    far = not isfinite(gradient.rms) or not median / 1000 <= gradient.rms <= median * 1000
    return [*cells, *numbers, _number(gradient.rms, far)]


def _number(value: float, marked: bool) -> str:
    """At most seven characters, `!` in front where marked."""
    if isnan(value) and not marked:
        return "-"
    if value == 0 or not isfinite(value):
        text = f"{value:g}"
    else:
        text = f"{value:.2g}" if -3 < log10(abs(value)) < 4 else f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
    return ("!" if marked else "") + text


def _percent(share: float, marked: bool = False) -> str:
    return "-" if isnan(share) else f"{'!' if marked else ''}{100 * share:.0f}"


def _summary(tape: Sites, rows: list[Site], width: int | None) -> str:
    loss = "" if tape.loss is None else f", {'surrogate ' if tape.surrogate else ''}loss {tape.loss:.4g}"
    samples = f", {tape.batch} samples" if tape.batch else ""
    weights = len(Graph(tape).weights)
    said = f"{visible(tape.model)}: {len(rows)} layers, {weights} with weights{samples}{loss}"
    return said if width is None else fill(said, width)
