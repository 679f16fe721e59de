"""The mean square of the signal at every site, and of its gradient, by theory.

The planner leaves the scales of the weights free and chooses each as it is reached; prediction has the weights as they
are. What an operation does to a mean square stands in its row of `signal.ops`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from math import isfinite, log2, prod, sqrt

import torch
from torch import Tensor

from gainstage.signal import Call, Graph, Ref, Site, measured_ratio, ops
from gainstage.theory.activation import Z, derivative, normal_mean


@dataclass(frozen=True)
class Signal:
    """The distribution of the entries at one site: `values` where a standard normal is `Z`.

    Signals of the same `base` are functions of one another's entries; others are treated as independent.
    """

    base: int
    values: Tensor

    @cached_property
    def mean_square(self) -> float:
        """Their mean square, the level of the signal."""
        return normal_mean(self.values.square())


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
        index, measured = site.index, site.forward.mean_square if site.forward else None
        if site.kind == "input":
            return _normal(index, rounded(measured or 1.0) if measured is None or not self.real else measured)
        if index in self.graph.constant:
            return None
        if call := self.graph.weights.get(index):
            written = self.writes(index, self.level(call.data.site) if call.data else 1.0)
            return _normal(index, written, self.shift(index))
        op = ops.of(site)
        if self.graph.normalizes(index):
            level = op.forward(self.call(site)) if op.kind == "norm" and op.forward else measured
            return _normal(index, (level if level and level > 0 else 1.0) * self.scale(index) ** 2)
        if op.kind == "recurrent" and op.forward:
            return _normal(index, op.forward(self.call(site)) or 1.0)
        return self._between(site)

    def _between(self, site: Site) -> Signal | None:
        """Sites without weights: exact where they are elementwise or a fixed sum, else by a formula of their levels."""
        reads = [self.signals[ref.site] for ref in self.graph.data(site.index) if ref.site in self.signals]
        if not reads:
            return None
        op, first = ops.of(site), reads[0]
        if self.real and op.steep and site.forward is not None:
            return _normal(site.index, site.forward.mean_square)
        whole = len(self.graph.sums.terms(site.index)) == 1 and len(reads) == 1
        if self.real and op.kind in ("average", "dropout") and whole:
            return _normal(site.index, measured_ratio(self.call(site)))
        if op.kind == "dropout" and op.forward:
            grown = (op.forward(self.call(site)) or 0.0) / first.mean_square if first.mean_square else 1.0
            return Signal(site.index, first.values * sqrt(grown)) if grown > 1 else first
        if self.graph.adds_bias(site.index):
            return Signal(first.base, first.values + self.shift(site.index))
        if site.kind == "view":
            return Signal(site.index, first.values) if op.kind == "split" else first
        if op.elementwise and len({signal.base for signal in reads}) == 1:
            exact = self._elementwise(site)
            if exact is not None:
                return exact
        if (summed := self._summed(site)) is not None:
            return summed
        call = self.call(site)
        level = op.forward(call) if op.forward else None
        return _normal(site.index, measured_ratio(call) if level is None else level)

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
        values = {ref.site: self.signals[ref.site].values for ref in site.inputs if ref.site in self.signals}
        result = self.graph.evaluate(site.index, values)
        if result is None or not bool(result.isfinite().all()):  # a root of a variance, which is no standard normal
            return None
        return Signal(self.signals[self.graph.data(site.index)[0].site].base, result)

    def _measured(self, index: int) -> float | None:
        """The measured mean square of a site, or of what a view shows."""
        site = self.graph.sites[index]
        while site.forward is None and site.kind == "view":
            site = self.graph.sites[self.graph.data(site.index)[0].site]
        return site.forward.mean_square if site.forward else None


@dataclass
class Backward:
    """Mean squares of gradients, from the last site to the first; it begins at the measured ones of the outputs.

    Attributes:
        forward: the signals, after `run`.
        weight: by what a weight multiplies the mean square of the gradient that goes through it: its second moment
            times the inputs that an output adds up; None where it is computed.
        found: what was found, by site.
    """

    forward: Forward
    weight: Callable[[int], float | None]
    found: dict[int, float] = field(default_factory=dict)

    def run(self) -> dict[int, float]:
        """The predicted mean square of the gradient at every site that has one."""
        graph = self.forward.graph
        ends = set(graph.outputs)
        for site in reversed(graph.sites):
            if site.kind in ("loss", "parameter", "buffer", "constant") or site.index in graph.constant:
                continue
            measured = _gradient(site)
            readers = [r for r in graph.consumers[site.index] if r in self.found]
            if not readers or site.index in ends:
                if measured is not None:
                    self.found[site.index] = measured
                continue
            factors = [self._through(site, graph.sites[r]) for r in readers]
            if None not in factors:
                arriving = zip(readers, factors, strict=True)
                self.found[site.index] = sum(self.found[r] * factor for r, factor in arriving if factor is not None)
            elif measured is not None:
                before = [m for r in readers if (m := _gradient(graph.sites[r]))]
                ratio = sum(self.found[r] for r in readers) / sum(before) if before else 1.0
                self.found[site.index] = measured * (ratio if isfinite(ratio) else 1.0)
        return self.found

    def _through(self, site: Site, reader: Site) -> float | None:
        """The factor on the gradient's mean square from a reader to what it reads; None where theory does not say."""
        graph, op = self.forward.graph, ops.of(reader)
        spread = prod(reader.shape) / max(prod(site.shape), 1)
        if reader.index in graph.weights:
            factor = self.weight(reader.index)
            return None if factor is None else factor * spread
        data = [ref.site for ref in graph.data(reader.index)]
        if op.kind != "dropout":
            if fixed := graph.sums.factor(reader.index, site.index):
                return fixed**2
            if reader.kind == "view" or (graph.transparent(reader.index) and op.kind != "product"):
                return spread
            if graph.normalizes(reader.index):
                return None  # divides every sample or position by a level of its own; theory here follows their mean
        apart = len(set(data)) == len(data) or op.kind == "add"
        if op.back and apart and all(index in self.forward.signals for index in data):
            call = replace(self.forward.call(reader), to=data.index(site.index), spread=spread)
            if (factor := op.back(call)) is not None:
                return factor
        return self._slope(site, reader) if len(data) == 1 else None

    def _slope(self, site: Site, reader: Site) -> float | None:
        """Through an elementwise function: the mean square of its slope."""
        signal, after = (self.forward.signals.get(index) for index in (site.index, reader.index))
        if signal is None or after is None or signal.base != after.base:
            return None

        def phi(z: Tensor) -> Tensor:
            values = self.forward.graph.evaluate(reader.index, {site.index: z})
            return z if values is None else values

        return normal_mean(derivative(phi)(signal.values).square())


def _gradient(site: Site) -> float | None:
    return site.backward.mean_square if site.backward is not None else None


def _normal(base: int, variance: float, mean: float = 0.0) -> Signal:
    return Signal(base, sqrt(max(variance, 0.0)) * Z + mean)


def rounded(mean_square: float) -> float:
    """The nearest power of 4, so that a plan does not change from batch to batch: inputs count as standardized."""
    if not isfinite(mean_square) or mean_square <= 0:
        return 1.0
    return float(4.0 ** round(log2(mean_square) / 2))
