"""Mean squares of gradients by theory, from the last site to the first."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import isfinite, prod

from torch import Tensor

from gainstage.signal import Site, ops
from gainstage.theory.activation import derivative, normal_mean
from gainstage.theory.propagate import Forward


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
        slope = self.slope(site, reader)
        return None if slope is None else normal_mean(slope.square())

    def slope(self, site: Site, reader: Site) -> Tensor | None:
        """The slope of an elementwise function, where a standard normal is `Z`."""
        signal, after = (self.forward.signals.get(index) for index in (site.index, reader.index))
        if signal is None or after is None or signal.base != after.base:
            return None

        def phi(z: Tensor) -> Tensor:
            values = self.forward.graph.evaluate(reader.index, {site.index: z})
            return z if values is None else values

        return derivative(phi)(signal.values)


def _gradient(site: Site) -> float | None:
    return site.backward.mean_square if site.backward is not None else None
