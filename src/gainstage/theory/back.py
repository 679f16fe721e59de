"""The gradients of a forecast: they begin at those that the loss gives, and carry the products of two entries."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import prod

import torch
from torch import Tensor

from gainstage.signal import Site, Spread, ops
from gainstage.theory._gathering import gathering
from gainstage.theory._signal import together
from gainstage.theory.activation import WEIGHT, derivative
from gainstage.theory.ahead import Ahead
from gainstage.theory.backward import Backward


@dataclass
class Back(Backward):
    """Gradients of a forecast: they begin at those that the loss gives, and carry the products of two entries.

    Attributes: those of `Backward`, and
        ahead: the signals, after `run`.
        start: the gradients that the loss gives, by site.
        spreads: what was found, by site.
        unknown: sites through which theory does not say how a gradient goes.
        slopes: inside an elementwise function, the site at which it ends and its slope there.
    """

    ahead: Ahead = field(kw_only=True)
    start: Mapping[int, Spread] = field(default_factory=dict)
    spreads: dict[int, Spread] = field(default_factory=dict)
    unknown: set[int] = field(default_factory=set)
    slopes: dict[int, tuple[int, Tensor]] = field(default_factory=dict)

    def run(self) -> dict[int, float]:
        """The predicted mean square of the gradient at every site that has one."""
        graph = self.ahead.graph
        for site in reversed(graph.sites):
            if site.is_leaf or site.kind == "loss" or site.index in graph.constant or not site.dtype.startswith(_REAL):
                continue
            parts = [self.start[site.index]] if site.index in self.start else []
            slopes: dict[int, Tensor] = {}  # of elementwise functions, by the site at which they end
            for reader in (graph.sites[r] for r in graph.consumers[site.index]):
                if reader.index not in self.spreads or self._divides(site, reader):
                    continue
                if (found := self._coherent(site, reader)) is None:
                    parts.append(self._arriving(site, reader))
                else:
                    slopes[found[0]] = slopes.get(found[0], 0.0) + found[1]
            if len(slopes) == 1 and not parts:
                self.slopes[site.index] = next(iter(slopes.items()))
            parts += [self._sloped(site, slope, self.spreads[end]) for end, slope in slopes.items()]
            if parts:
                total = parts[0]
                for part in parts[1:]:
                    total = total + part
                self.spreads[site.index] = total
                self.found[site.index] = self.ahead.bins.average(total.square)
        return self.found

    def _divides(self, site: Site, reader: Site) -> bool:
        """Whether a site only makes the level that a normalization divides by: that takes away 1 / n of a gradient."""
        graph = self.ahead.graph
        if not graph.normalizes(reader.index):
            return (
                reader.index in graph.inside_norms
                and len(reader.shape) > 0
                and ops.of(reader).name in ("pow", "square")
            )
        return ops.of(reader).kind != "norm" and site.shape != reader.shape

    def _coherent(self, site: Site, reader: Site) -> tuple[int, Tensor] | None:
        """Where an elementwise function ends that reads a site, and its slope there, by this reader."""
        graph, signals, op = self.ahead.graph, self.ahead.signals, ops.of(reader)
        signal, after = signals.get(site.index), signals.get(reader.index)
        if signal is None or after is None or signal.base != after.base or prod(site.shape) != prod(reader.shape):
            return None
        if reader.index in graph.inside_norms or graph.normalizes(reader.index):
            return None
        end, outer = self.slopes.get(reader.index, (reader.index, torch.ones_like(signal.values)))
        if reader.kind == "view":
            return (end, outer) if op.kind != "split" else None
        if not op.elementwise or op.kind == "dropout":
            return None
        reads = {ref.site: signals[ref.site].values for ref in graph.data(reader.index) if ref.site in signals}

        def phi(z: Tensor) -> Tensor:
            others = {index: v.expand_as(z) for index, v in reads.items()}
            found = graph.evaluate(reader.index, {**others, site.index: z})
            return torch.full_like(z, float("nan")) if found is None else found

        slope = derivative(phi)(signal.values)
        if not bool(phi(signal.values).isfinite().all()) or not bool(slope.isfinite().all()):
            return None
        return end, outer * slope

    def _arriving(self, site: Site, reader: Site) -> Spread:
        """What comes back from a reader to what it reads."""
        graph, op, gradient = self.ahead.graph, ops.of(reader), self.spreads[reader.index]
        spread = prod(reader.shape) / max(prod(site.shape), 1)
        if _lacks_batch(site, reader) and op.elementwise:  # one row for all samples
            n = reader.shape[0]
            gradient = Spread(
                n * (gradient.square + (n - 1) * gradient.samples),
                gradient.mean,
                n * (gradient.square + (n - 1) * gradient.samples),
                n * (gradient.positions + (n - 1) * gradient.across),
                n * (gradient.positions + (n - 1) * gradient.across),
            )
            spread /= n
        if reader.index in graph.weights:
            factor = self.weight(reader.index)
            if factor is not None:
                return gradient.times(factor * spread)
        elif op.kind == "dropout":
            return gradient.times(op.back(self.ahead.call(reader)) or 1.0) if op.back else gradient
        elif fixed := graph.sums.factor(reader.index, site.index):
            return gradient.times(fixed**2)
        elif graph.normalizes(reader.index):
            return self._normalized(site, reader, gradient)
        elif reader.kind == "view" or op.kind in ("split", "lookup", "mask", "rearrange", "join"):
            return gradient.times(1.0 if op.kind in ("join", "mask") else spread)
        elif op.kind == "product" or (graph.transparent(reader.index) and op.kind != "product"):
            return self._multiplied(site, reader, gradient, spread)
        elif (found := self._mixed(site, reader, gradient, spread)) is not None:
            return found
        self.unknown.add(reader.index)
        return gradient.times(spread)

    def _normalized(self, site: Site, reader: Site, gradient: Spread) -> Spread:
        r"""Through $y = \gamma (x - \mu) / \sigma$ over n entries: $(1 - 2 / n)\, \gamma^2\, \mathbb{E}[\sigma^{-2}]$.

        What it takes away are the parts along 1, where a mean is subtracted, and along y, each 1 / n. Of n normal
        entries the inverse of the variance is on average n / (n - 3) times that of the true one.
        """
        signal = self.ahead.signals.get(site.index)
        if signal is None:
            return gradient
        variance, _ = self.ahead.divided(reader, signal.spread)
        op, units = ops.of(reader), max(reader.shape[1] if len(reader.shape) > 1 else 1, 1)
        rows = prod(reader.shape) / units
        n = rows if op.name == "batch_norm" else reader.shape[-1] if len(reader.shape) < 4 else rows
        kept = max(1 - (1 + op.centred) / max(n, 2), 0.0) * (n / (n - 3) if n > 6 else 1.0)
        found = gradient.times(kept * self.ahead.norm_scale(reader) / variance)
        if op.name != "batch_norm":
            return found
        share = -found.square / max(rows - 1, 1)  # over the batch, gradients add up to 0
        return Spread(found.square, found.mean, share, share.expand_as(found.positions), share.expand_as(found.across))

    def _multiplied(self, site: Site, reader: Site, gradient: Spread, spread: float) -> Spread:
        """Through a product: times the other factor."""
        data = [ref.site for ref in self.ahead.graph.data(reader.index)]
        if len(data) == 1:
            level = self.ahead.fixed_factor(reader) if ops.of(reader).kind == "product" else 1.0
            if level is None:
                self.unknown.add(reader.index)
            return gradient.times((1.0 if level is None else level) * spread)
        other = self.ahead.signals.get(data[1 - data.index(site.index)])
        if other is None:
            self.unknown.add(reader.index)
            return gradient.times(spread)
        return (gradient * other.spread).times(spread)

    def _mixed(self, site: Site, reader: Site, gradient: Spread, spread: float) -> Spread | None:
        """Through an operation that mixes positions or units, or through an elementwise function."""
        graph, op = self.ahead.graph, ops.of(reader)
        data = [ref.site for ref in graph.data(reader.index)]
        if op.returns is not None and all(index in self.ahead.signals for index in data):
            call = replace(self.ahead.call(reader), to=data.index(site.index), spread=spread, gradient=gradient)
            return op.returns(gathering(graph, reader, call))
        return gradient.times(spread) if op.kind in ("add", "blend") else None

    def _sloped(self, site: Site, slope: Tensor, gradient: Spread) -> Spread:
        """Times the mean square of a slope, and its mean products."""
        samples, positions, across = together(slope, self.ahead.signals[site.index].alike)
        return gradient * Spread(
            (slope.square() * WEIGHT).sum(-1), torch.zeros_like(samples), samples, positions, across
        )


def _lacks_batch(site: Site, reader: Site) -> bool:
    """Whether one row of a site is added to every sample."""
    before, after = site.shape, reader.shape
    return (len(after) > len(before) >= 1 and after[1:] == before) or (
        len(before) == len(after) > 1 and before[0] == 1 < after[0] and before[1:] == after[1:]
    )


_REAL = ("float", "bfloat", "complex")
