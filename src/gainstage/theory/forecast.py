r"""What theory says of a model that is not run: levels, likeness, gradients and the first loss, from laws or weights.

One propagation over the graph of one pass (`Ahead`, `Back`) that begins at the moments of the inputs and, on the
way back, at those that the loss gives logits of the foreseen level. A weight of second moment m with n inputs turns
products of entries by n m, whichever pair they are of; the gradient of a weight with E entries that R rows read has

$$ \lVert \nabla W \rVert^2 = E\,\bigl(R\, g\, q + R (T - 1)\, g_p\, q_p + R (N - 1) T\, g_s\, q_s\bigr) $$

with g and q mean squares of gradient and input, and their mean products over two of the T positions and of the N
samples.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import prod, sqrt

import torch

from gainstage.signal import Bins, Call, Graph, Site, Spread, Tape, ops, uniform
from gainstage.theory._gathering import gathering
from gainstage.theory._weights import Weights
from gainstage.theory.ahead import Ahead
from gainstage.theory.back import Back

Start = Callable[[Graph, Mapping[int, Spread]], tuple[float | None, dict[int, Spread], str]]


@dataclass(frozen=True)
class Foreseen:
    """What theory says of one site: moments of the signal and of its gradient, and whether it says so of itself.

    Attributes:
        site: the site.
        rms: root mean square of what it writes.
        mean: mean of that.
        alike: correlation between two samples: 1 where the network has lost its input.
        gradient_rms: root mean square of the gradient; None where none arrives.
        known: theory knows the operation; else its ratio was taken as 1.
        covered: so it is for all operations before it too, as far as the next normalization.
        gradient_covered: so it is for all that the gradient comes through.
    """

    site: Site
    rms: float
    mean: float
    alike: float
    gradient_rms: float | None
    known: bool
    covered: bool
    gradient_covered: bool


@dataclass(frozen=True)
class Outlook:
    """A forecast as theory has it: sites, loss, and the gradient norm of every parameter."""

    sites: tuple[Foreseen, ...]
    loss: float | None
    loss_from: str
    gradients: dict[str, float] = field(default_factory=dict)


def outlook(
    tape: Tape,
    moments: Mapping[str, float],
    start: Start,
    given: Mapping[int, Spread],
    means: Mapping[str, float] | None = None,
) -> Outlook:
    """The forecast of one pass.

    Args:
        tape: of the pass; of what parameters touch, nothing that was measured is read.
        moments: second moment of every parameter by name.
        start: from the graph and the foreseen signals to the first loss, the gradients that it gives its inputs, and
            what kind of loss it is.
        given: moments of the inputs by site.
        means: of parameters, where they are not 0.
    """
    graph = Graph(_blind(tape))
    weights = Weights(graph, moments, means or {})
    known = {s.index: _measured(s) for s in graph.sites if s.kind == "op" and s.forward is not None}
    known = {index: spread for index, spread in known.items() if index not in graph.constant}
    bins = _bins(graph)
    ahead = Ahead(
        graph, weights.writes, weights.scale, weights=weights, given={**known, **given}, likely=tape.alike, bins=bins
    )
    ahead.run()
    spreads = {index: signal.spread for index, signal in ahead.signals.items()}
    loss, first, kind = start(graph, spreads)
    back = Back(ahead, weights.back, ahead=ahead, start=first)
    back.run()
    unknown = ahead.unknown | back.unknown | ahead.masked
    rests = _resting(graph, ahead.unknown)
    lost = _lost(graph, unknown, rests)

    def foreseen(site: Site) -> Foreseen:
        index, spread, gradient = site.index, spreads[site.index], back.found.get(site.index)
        square, mean, samples = (bins.average(x) for x in (spread.square, spread.mean, spread.samples))
        variance = square - mean**2
        return Foreseen(
            site,
            rms=sqrt(max(square, 0.0)),
            mean=mean,
            alike=(samples - mean**2) / variance if variance > 1e-12 * square else 1.0,
            gradient_rms=None if gradient is None else sqrt(max(gradient, 0.0)),
            known=index not in unknown,
            covered=index not in unknown | rests,
            gradient_covered=index not in lost,
        )

    sites = tuple(foreseen(site) for site in tape if site.index in spreads)
    return Outlook(sites, loss, kind, _gradients(back, weights, tape.batch or 1, lost | unknown, rests | ahead.unknown))


def _bins(graph: Graph) -> Bins:
    """The bins of the positions: of the longest sequence of which each position sees those before it."""
    lengths = [
        call.gathered
        for site in graph.sites
        if ops.of(site).kind in ("attention", "softmax") and site.index not in graph.constant
        if (call := gathering(graph, site, Call(site.op, lambda *_: None, lambda _: 1.0, ()))).causal
    ]
    return Bins.of(max(lengths)) if lengths else Bins((1,), causal=False)


def _blind(tape: Tape) -> Tape:
    """The tape without what was measured of anything that a parameter touches."""
    touched: set[int] = set()
    for site in tape.sites:
        if site.kind == "parameter" or any(ref.site in touched for ref in site.inputs):
            touched.add(site.index)
    sites = (replace(s, forward=None, backward=None) if s.index in touched else s for s in tape.sites)
    return replace(tape, sites=tuple(sites))


def _measured(site: Site) -> Spread:
    moments = site.forward
    assert moments is not None
    between = moments.variance_between if moments.variance_between == moments.variance_between else 0.0
    alike = moments.mean_square - between
    return uniform(moments.mean_square, moments.mean, alike, alike)


def _resting(graph: Graph, unknown: set[int]) -> set[int]:
    """Sites whose level rests on one that theory does not know; a normalization ends that."""
    found: set[int] = set()
    for site in graph.sites:
        before = any(ref.site in found or ref.site in unknown for ref in graph.data(site.index))
        if before and not graph.normalizes(site.index):
            found.add(site.index)
    return found


def _lost(graph: Graph, unknown: set[int], rests: set[int]) -> set[int]:
    """Sites whose gradient comes through an operation that theory does not know, or is divided by such a level."""
    found: set[int] = set()
    for site in reversed(graph.sites):
        for reader in graph.consumers[site.index]:
            level = any(ref.site in rests | unknown for ref in graph.data(reader))
            if reader in found or reader in unknown or (level and reader not in graph.weights):
                found.add(site.index)
    return found


def _gradients(back: Back, weights: Weights, batch: int, lost: set[int], rests: set[int]) -> dict[str, float]:
    """The norm of the gradient of every parameter, where theory covers the gradient and what the parameter reads."""
    graph, ahead = back.ahead.graph, back.ahead
    squares: dict[str, float] = {}
    missing: set[str | None] = set()

    def add(name: str | None, square: float) -> None:
        if name is not None:
            name = graph.tape.ties.get(name, name)
            squares[name] = squares.get(name, 0.0) + max(square, 0.0)

    for index, call in graph.weights.items():
        gradient = back.spreads.get(index)
        if gradient is None or index in lost or (call.data is not None and call.data.site in rests):
            missing.add(graph.parameter_of(call.weight))
            continue
        units = max(graph.units(call)[0], 1)
        rows = max(prod(graph.shapes[index]) // units, 1)
        if call.data is None:
            n = batch if rows % batch == 0 and graph.shapes[index][:1] == (batch,) else 1  # positions: once for all
            samples, positions = ahead.likely.get(index, (0.0, 0.0))
            across = 0.0 if samples == 1.0 and positions == 0.0 else positions
            read = uniform(1.0, 0.0, samples, positions, across)
            add(graph.parameter_of(call.weight), units * _summed(gradient, read, rows, n, ahead.bins))
            continue
        if call.data.site in ahead.signals:
            entries = prod(graph.shapes[call.weight.site]) * weights.covers(index)
            read = ahead.signals[call.data.site].spread
            add(graph.parameter_of(call.weight), entries * _summed(gradient, read, rows, batch, ahead.bins))
        if call.bias is not None:
            add(graph.parameter_of(call.bias), units * _summed(gradient, _ONE, rows, batch, ahead.bins))
    for index, slots in graph.norm_calls.items():
        gradient, signal = back.spreads.get(index), ahead.signals.get(index)
        if gradient is None or signal is None or index in lost or index in rests:
            missing.update(slots.values())
            continue
        scale = weights.scale(index) ** 2
        if ops.of(graph.sites[index]).kind != "norm" and scale > 0:
            gradient = gradient.times(1 / scale)  # the scale stands behind what is normalized
        for slot, name in slots.items():
            leaf = graph.tape.parameter(name)
            size = prod(leaf.shape) if leaf is not None else 1
            rows = max(prod(graph.shapes[index]) // max(size, 1), 1)
            read = signal.spread.times(1 / scale) if slot == "scale" and scale > 0 else _ONE
            add(name, size * _summed(gradient, read, rows, batch, ahead.bins))
    return {name: sqrt(square) for name, square in squares.items() if name not in missing}


_ONE = uniform(1.0, 1.0, 1.0, 1.0, 1.0)


def _summed(gradient: Spread, read: Spread, rows: int, batch: int, bins: Bins) -> float:
    """The mean square of a sum over all rows of a gradient times what is read."""
    places = max(rows // max(batch, 1), 1)
    both = gradient * read
    size = len(both.square)
    counts = bins.counts if size == len(bins.ends) else torch.ones_like(both.square)
    counts = counts / counts.sum() * places
    own = counts @ both.square + (batch - 1) * (counts @ both.samples)
    pair = counts @ both.positions @ counts - counts @ both.positions.diagonal()
    across = counts @ both.across @ counts - counts @ both.across.diagonal()
    return float(batch * (own + pair + (batch - 1) * across))
