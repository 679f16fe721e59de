"""Predicted levels: the mean square of the signal at every site, under weights that are only planned."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import isfinite, log2, pi, sqrt

import torch
from torch import Tensor

from gainstage.signal import Graph, Ref, Site, ops

Z = torch.linspace(-6.0, 6.0, 1201, dtype=torch.float64, device="cpu")  # a standard normal, and its weights
_WEIGHT = torch.exp(-Z.square() / 2) / sqrt(2 * pi) * (Z[1] - Z[0])


def normal_mean(values: Tensor) -> float:
    """The mean of a function of a standard normal, given its values at `Z` (trapezoid rule, to about 1e-6)."""
    return float((values * _WEIGHT).sum())


@dataclass(frozen=True)
class Signal:
    """The distribution of the entries at one site: `values` where a standard normal is `Z`.

    Signals of the same `base` are functions of one another's entries; others are treated as independent.
    """

    base: int
    values: Tensor

    @property
    def mean_square(self) -> float:
        return normal_mean(self.values.square())

    @property
    def mean(self) -> float:
        return normal_mean(self.values)


@dataclass
class Levels:
    """Signals of all sites, found in execution order; `choose(site, level in)` gives the level behind a weight.

    Weights, activations and normalizations follow theory. An average (pooling, attention) counts as its input: how much
    less it is depends on how alike the averaged positions are. For all else the ratio that the tape measured is kept.
    """

    graph: Graph
    choose: Callable[[int, float], float]
    norm_scale: Callable[[int], float]
    signals: dict[int, Signal] = field(default_factory=dict)

    def run(self) -> dict[int, float]:
        """The predicted mean square of every floating point site that depends on the inputs."""
        for site in self.graph.sites:
            if site.dtype.startswith(("int", "bool", "uint")) or site.kind == "loss":
                continue
            signal = self._of(site)
            if signal is not None:
                self.signals[site.index] = signal
        return {index: signal.mean_square for index, signal in self.signals.items()}

    def level(self, site: int) -> float:
        """The predicted mean square at a site; 1 where nothing is known."""
        signal = self.signals.get(site)
        return signal.mean_square if signal is not None else 1.0

    def _of(self, site: Site) -> Signal | None:
        if site.kind == "input":
            return _normal(site.index, rounded(site.forward.mean_square if site.forward else 1.0))
        if site.index in self.graph.constant:
            return None
        if call := self.graph.weights.get(site.index):
            level = self.level(call.data.site) if call.data else 1.0
            return _normal(site.index, self.choose(site.index, level))
        op = ops.of(site)
        if self.graph.normalizes(site.index):
            by_torch = op.kind == "norm" and op.name != "normalize"  # which gives a mean square of 1
            measured = site.forward.mean_square if site.forward and not by_torch else 0.0
            return _normal(site.index, (measured if measured > 0 else 1.0) * self.norm_scale(site.index) ** 2)
        if op.kind == "recurrent":
            return _normal(site.index, op.level)
        return self._between(site)

    def _between(self, site: Site) -> Signal | None:
        """Sites without weights: exact where they are elementwise, else by the measured ratio."""
        reads = [self.signals[ref.site] for ref in self.graph.data(site.index) if ref.site in self.signals]
        if not reads:
            return None
        op, first = ops.of(site), reads[0]
        if op.kind == "dropout":
            rate, on = ops.argument(site, "p", 0.5), ops.argument(site, "training", True)
            kept = 1 - rate if on and isinstance(rate, float) and rate < 1 else 1.0
            return Signal(site.index, first.values / sqrt(kept)) if kept < 1 else first
        if self.graph.adds_bias(site.index):
            return first  # it starts at 0
        if site.kind == "view":
            return Signal(site.index, first.values) if op.kind == "split" else first
        if op.elementwise and len({signal.base for signal in reads}) == 1:
            exact = self._elementwise(site)
            if exact is not None:
                return exact
        measured = self._measured_ratio(site)
        if (summed := self._summed(site)) is not None:
            return summed
        if op.name == "mul" and len(reads) == 2:
            return _normal(site.index, reads[0].mean_square * reads[1].mean_square)
        if op.kind == "attention":
            return _normal(site.index, self.level(ops.argument(site, "value").site))
        if op.kind == "average":
            return _normal(site.index, first.mean_square)
        if op.kind == "matmul" and len(reads) == 2:
            by_softmax = [self._of_softmax(ref) for ref in self.graph.data(site.index)]
            levels = [signal.mean_square for signal in reads]
            if any(by_softmax):
                return _normal(site.index, levels[by_softmax.index(False)] if False in by_softmax else levels[0])
            return _normal(site.index, measured * levels[0] * levels[1])
        if (op.kind == "softmax" or op.name == "sigmoid") and site.forward:
            return _normal(site.index, site.forward.mean_square)
        average = sum(signal.mean_square for signal in reads) / len(reads)
        return _normal(site.index, measured * average)

    def _summed(self, site: Site) -> Signal | None:
        """A fixed sum of signals: those of one base add up entry by entry, the rest as independent ones."""
        terms = self.graph.sums.terms(site.index)
        if Ref(site.index) in terms or any(ref.site not in self.signals for ref in terms):
            return None
        by_base: dict[int, Tensor] = {}
        for ref, factor in terms.items():
            signal = self.signals[ref.site]
            by_base[signal.base] = by_base.get(signal.base, torch.zeros_like(Z)) + factor * signal.values
        if len(by_base) == 1:
            return Signal(*next(iter(by_base.items())))
        means = [normal_mean(values) for values in by_base.values()]
        squares = [normal_mean(values.square()) for values in by_base.values()]
        variance = sum(squares) - sum(mean**2 for mean in means)
        return Signal(site.index, sum(means) + sqrt(max(variance, 0.0)) * Z)

    def _elementwise(self, site: Site) -> Signal | None:
        reads = [self.signals[ref.site] for ref in site.inputs if ref.site in self.signals]
        values = {ref.site: self.signals[ref.site].values for ref in site.inputs if ref.site in self.signals}
        result = self.graph.evaluate(site.index, values)
        if result is None or not bool(result.isfinite().all()):  # a root of a variance, which is no standard normal
            return None
        return Signal(reads[0].base, result)

    def _measured_ratio(self, site: Site) -> float:
        """Mean square out over mean square in on the tape; over the product of both for products of two signals."""
        inputs = [self._measured(ref.site) for ref in self.graph.data(site.index)]
        known = [level for level in inputs if level is not None]
        if site.forward is None or not known:
            return 1.0
        product = ops.of(site).kind == "matmul" and len(known) == 2
        reference = known[0] * known[1] if product else sum(known) / len(known)
        ratio = site.forward.mean_square / reference if reference > 0 else 1.0
        return ratio if isfinite(ratio) else 1.0

    def _of_softmax(self, ref: Ref) -> bool:
        return ops.of(self.graph.sites[self.graph.source(ref)]).name == "softmax"

    def _measured(self, index: int) -> float | None:
        """The measured mean square of a site, or of what a view shows."""
        site = self.graph.sites[index]
        while site.forward is None and site.kind == "view":
            site = self.graph.sites[self.graph.data(site.index)[0].site]
        return site.forward.mean_square if site.forward else None


def _normal(base: int, mean_square: float) -> Signal:
    return Signal(base, sqrt(max(mean_square, 0.0)) * Z)


def rounded(mean_square: float) -> float:
    """The nearest power of 4, so that a plan does not change from batch to batch: inputs count as standardized."""
    if not isfinite(mean_square) or mean_square <= 0:
        return 1.0
    return float(4.0 ** round(log2(mean_square) / 2))
