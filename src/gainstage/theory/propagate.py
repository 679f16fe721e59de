"""The mean square of the signal at every site, by theory.

The planner leaves the scales of the weights free and chooses each as it is reached; prediction has the weights as they
are; a forecast (`theory.ahead`) has nothing measured but the inputs. What an operation does to a mean square stands in
its row of `signal.ops`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from math import isfinite, log2, sqrt

import torch

from gainstage.signal import Call, Graph, Ref, Site, measured_ratio, ops
from gainstage.theory._signal import Signal, normal
from gainstage.theory.activation import Z, normal_mean


@dataclass
class Forward:
    """Signals of all sites, found in execution order.

    Attributes:
        graph: structure of the pass.
        writes: the level behind a weight, from its site and the level that it reads.
        scale: the root mean square of a normalization's scale, from its site.
        shift: the bias that a site adds, where it starts away from 0.
        real: inputs, averages and dropouts have their measured levels, as for weights that are real; in a plan, which
            does not change from batch to batch, inputs count as standardized.
        signals: what was found, by site.
    """

    graph: Graph
    writes: Callable[[int, float], float]
    scale: Callable[[int], float]
    shift: Callable[[int], float] = lambda site: 0.0
    real: bool = False
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

    def call(self, site: Site) -> Call:
        """What the formulas of an operation are told of one call."""
        data = self.graph.data(site.index)
        reads = [ref for ref in data if ref.site in self.signals]
        known = tuple(level for ref in data if (level := self._measured(ref.site)) is not None)
        softmax = tuple(ops.of(self.graph.sites[self.graph.source(ref)]).name == "softmax" for ref in data)
        levels = tuple(self.signals[ref.site].mean_square for ref in reads)
        written = site.forward.mean_square if site.forward else None
        argument = partial(ops.argument, site)
        return Call(site.op, argument, lambda ref: self.level(ref.site), levels, softmax, known, written)

    def _of(self, site: Site) -> Signal | None:
        index = site.index
        if site.kind == "input":
            return self._input(site)
        if index in self.graph.constant:
            return None
        if index in self.graph.weights:
            return self._weighed(index)
        if self.graph.normalizes(index):
            return self._normalized(site)
        op = ops.of(site)
        if op.kind == "recurrent" and op.forward:
            return normal(index, op.forward(self.call(site)) or 1.0)
        return self._between(site)

    def _input(self, site: Site) -> Signal:
        measured = site.forward.mean_square if site.forward else None
        return normal(site.index, rounded(measured or 1.0) if measured is None or not self.real else measured)

    def _weighed(self, index: int) -> Signal:
        """Behind a weight: normal."""
        data = self.graph.weights[index].data
        return normal(index, self.writes(index, self.level(data.site) if data else 1.0), self.shift(index))

    def _normalized(self, site: Site) -> Signal:
        """Behind a normalization."""
        op, measured = ops.of(site), site.forward.mean_square if site.forward else None
        level = op.forward(self.call(site)) if op.kind == "norm" and op.forward else measured
        return normal(site.index, (level if level and level > 0 else 1.0) * self.scale(site.index) ** 2)

    def _between(self, site: Site) -> Signal | None:
        """Sites without weights: exact where they are elementwise or a fixed sum, else by a formula of their levels."""
        reads = [self.signals[ref.site] for ref in self.graph.data(site.index) if ref.site in self.signals]
        if not reads:
            return None
        op, first = ops.of(site), reads[0]
        if self.real and op.steep and site.forward is not None:
            return normal(site.index, site.forward.mean_square)
        whole = len(self.graph.sums.terms(site.index)) == 1 and len(reads) == 1
        if self.real and op.kind in ("average", "dropout") and whole:
            return normal(site.index, measured_ratio(self.call(site)))
        if op.kind == "dropout" and op.forward:
            grown = (op.forward(self.call(site)) or 0.0) / first.mean_square if first.mean_square else 1.0
            return self._dropped(site, first, grown) if grown > 1 else first
        if self.graph.adds_bias(site.index):
            return self._biased(site, first)
        if site.kind == "view":
            return replace(first, base=site.index) if op.kind == "split" else first
        if op.elementwise and len({signal.base for signal in reads}) == 1:
            exact = self._elementwise(site)
            if exact is not None:
                return exact
        if (summed := self._summed(site)) is not None:
            return summed
        return self._by_row(site)

    def _by_row(self, site: Site) -> Signal:
        """By the row of the operation."""
        op, call = ops.of(site), self.call(site)
        level = op.forward(call) if op.forward else None
        return normal(site.index, measured_ratio(call) if level is None else level)

    def _biased(self, site: Site, first: Signal) -> Signal:
        """With a tensor added that no input reaches."""
        return replace(first, values=first.values + self.shift(site.index))

    def _dropped(self, site: Site, first: Signal, grown: float) -> Signal:
        """Behind a dropout that is on."""
        return replace(first, base=site.index, values=first.values * sqrt(grown))

    def _summed(self, site: Site) -> Signal | None:
        """A fixed sum of signals: those of one base add up entry by entry, the rest as independent ones."""
        terms = self.graph.sums.terms(site.index)
        if Ref(site.index) in terms or any(ref.site not in self.signals for ref in terms):
            return None
        by_base: dict[int, Signal] = {}
        for ref, factor in terms.items():
            signal = self.signals[ref.site]
            before = by_base.get(signal.base)
            values = factor * signal.values + (before.values if before else torch.zeros_like(Z))
            by_base[signal.base] = replace(signal, values=values)
        whole = list(by_base.values())
        return whole[0] if len(whole) == 1 else self._together(site, whole)

    def _together(self, site: Site, signals: list[Signal]) -> Signal:
        """A sum of independent signals."""
        means = [normal_mean(signal.values) for signal in signals]
        squares = [signal.mean_square for signal in signals]
        variance = sum(squares) - sum(mean**2 for mean in means)
        return Signal(site.index, sum(means) + sqrt(max(variance, 0.0)) * Z)

    def _elementwise(self, site: Site) -> Signal | None:
        values = {ref.site: self.signals[ref.site].values for ref in site.inputs if ref.site in self.signals}
        result = self.graph.evaluate(site.index, values)
        if result is None or not bool(result.isfinite().all()):  # a root of a variance, which is no standard normal
            return None
        return replace(self.signals[self.graph.data(site.index)[0].site], values=result)

    def _measured(self, index: int) -> float | None:
        """The measured mean square of a site, or of what a view shows."""
        site = self.graph.sites[index]
        while site.forward is None and site.kind == "view":
            site = self.graph.sites[self.graph.data(site.index)[0].site]
        return site.forward.mean_square if site.forward else None


def rounded(mean_square: float) -> float:
    """The nearest power of 4, so that a plan does not change from batch to batch: inputs count as standardized."""
    if not isfinite(mean_square) or mean_square <= 0:
        return 1.0
    return float(4.0 ** round(log2(mean_square) / 2))
