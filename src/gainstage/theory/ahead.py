"""The propagation of a forecast: nothing is measured but the inputs, and what positions share is followed by bins."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod

import torch
from torch import Tensor

from gainstage.signal import Bins, Call, Ref, Site, Spread, call_again, ops, uniform, walk
from gainstage.theory._gathering import gathering
from gainstage.theory._signal import Signal, of_spread
from gainstage.theory._weights import Weights
from gainstage.theory.activation import WEIGHT
from gainstage.theory.propagate import Forward

_EPS = 1e-6  # of normalizations that are written by hand
_MASK = 1e8  # a mean square that no signal has: what is added is a mask


@dataclass
class Ahead(Forward):
    """Signals of all sites, with the products of two samples and of two positions.

    Attributes: those of `Forward`, and
        weights: second moments of the parameters.
        given: what is known of the inputs and of what no parameter touches.
        likely: of look-ups, the shares of equal indices in two samples, and at two positions.
        bins: of the positions.
        unknown: sites at which a ratio of 1 stands for what theory does not say.
        masked: sites that a mask is added to: what it leaves is followed.
    """

    weights: Weights = field(kw_only=True)
    given: Mapping[int, Spread] = field(default_factory=dict)
    likely: Mapping[int, tuple[float, float]] = field(default_factory=dict)
    bins: Bins = field(default_factory=lambda: Bins((1,)))
    unknown: set[int] = field(default_factory=set)
    masked: set[int] = field(default_factory=set)

    def call(self, site: Site) -> Call:
        """What the formulas of an operation are told of one call."""
        reads = [ref.site for ref in self.graph.data(site.index) if ref.site in self.signals]
        spreads = tuple(self.signals[index].spread for index in reads)
        return gathering(self.graph, site, replace(super().call(site), spreads=spreads, bins=self.bins))

    def _of(self, site: Site) -> Signal | None:
        if (given := self.given.get(site.index)) is not None:
            return of_spread(site.index, given)
        if ops.of(site).kind == "recurrent":  # its row knows the state at the level that is planned
            self.unknown.add(site.index)
        return super()._of(site)

    def _input(self, site: Site) -> Signal:
        return of_spread(site.index, uniform(1.0))

    def _weighed(self, index: int) -> Signal:
        """Normal, and all products grow alike; behind a table as alike as the indices."""
        call = self.graph.weights[index]
        if call.data is None:
            samples, positions = self.likely.get(index, (0.0, 0.0))
            level = self.writes(index, 1.0)
            fixed = samples == 1.0 and positions == 0.0  # positions: the same in all samples
            across = 0.0 if fixed else positions
            return of_spread(index, uniform(level, 0.0, level * samples, level * positions, level * across))
        if self.weights.back(index) is None:
            self.unknown.add(index)
            return of_spread(index, uniform(1.0))
        signal = self.signals.get(call.data.site)
        read = signal.spread if signal is not None else uniform(1.0)
        factor, bias = self.weights.back(index) or 0.0, self.weights.bias(index)
        return of_spread(index, read.times(factor) + uniform(bias, 0.0, bias, bias, bias))

    def divided(self, site: Site, read: Spread) -> tuple[Tensor, Spread]:
        r"""By which variance a normalization divides, with $\varepsilon$, and what is left once a mean is subtracted.

        Over units the mean square, less the square of the mean; over samples (batch) or positions
        (instance) less what all of these share.
        """
        op = ops.of(site)
        if op.name == "batch_norm" and ops.argument(site, "training") is False:
            ref = ops.argument(site, "running_var")
            found = self._constant(ref.site) if isinstance(ref, Ref) else None
            if found is None:
                self.unknown.add(site.index)
            return torch.full_like(read.square, 1.0 if found is None else found**0.5 + self._eps(site)), read
        centre: Tensor = read.mean.square()
        if op.name == "batch_norm":
            centre = read.across.mean().expand_as(read.mean)
        elif op.name == "instance_norm":
            centre = read.positions.diagonal()
        elif not op.centred:
            centre = torch.zeros_like(centre)
        pairs = (centre[:, None] * centre).clamp_min(0).sqrt()
        left = Spread(
            (read.square - centre).clamp_min(0),
            torch.zeros_like(read.mean) if op.centred else read.mean,
            read.samples - centre,
            read.positions - pairs,
            read.across - pairs,
        )
        return left.square + self._eps(site), left

    def _eps(self, site: Site) -> float:
        """What a normalization adds to a variance: its argument, or the number that is added on the way to its root."""
        if ops.of(site).kind == "norm":
            eps = ops.argument(site, "eps")
            return eps if isinstance(eps, float) else 1e-5
        for ref in self.graph.data(site.index):
            for index in walk([ref.site], self._within_norm):
                here = self.graph.sites[index]
                numbers = [a for a in here.args if isinstance(a, float)]
                if ops.of(here).name == "add" and index in self.graph.inside_norms and numbers:
                    return numbers[0]
        return _EPS

    def _within_norm(self, index: int) -> list[int]:
        return [ref.site for ref in self.graph.data(index)] if index in self.graph.inside_norms else []

    def _normalized(self, site: Site) -> Signal:
        reads = [self.signals[ref.site].spread for ref in self.graph.data(site.index) if ref.site in self.signals]
        scale = self.norm_scale(site)
        if not reads:
            return of_spread(site.index, uniform(scale))
        variance, left = self.divided(site, reads[0])
        found = left.times(scale / variance)
        return of_spread(site.index, replace(found, mean=left.mean * (scale / variance).sqrt()))

    def fixed_factor(self, site: Site) -> float | None:
        """The mean square of the fixed tensors that a signal is multiplied with; None where they are not known."""
        level = 1.0
        for ref in site.inputs:
            if ref.site not in self.graph.constant:
                continue
            name = self.graph.parameter_of(ref)
            if name is not None and name in self.counted:
                continue  # the scale of a normalization written by hand: it counts there
            found = self._constant(ref.site) if name is None else self.weights.named(name)
            if found is None:
                return None
            level *= found
        return level

    @cached_property
    def counted(self) -> frozenset[str]:
        """Scales and shifts of normalizations."""
        return frozenset(name for slots in self.graph.norm_calls.values() for name in slots.values())

    def _constant(self, index: int) -> float | None:
        """The mean square of what no input reaches: measured, or 1/2 for a sine or cosine of unknown angles.

        Of an elementwise function of a parameter, as `1 + w`, that of two points that have the parameter's moments.
        """
        site = self.graph.sites[index]
        while site.forward is None and site.kind == "view" and site.inputs:
            site = self.graph.sites[site.inputs[0].site]
        if site.forward is not None:
            return site.forward.mean_square
        if site.op in ("sin", "cos"):
            return 0.5
        points = self._points(site.index)
        return None if points is None else float(points.square().mean())

    def _points(self, index: int) -> Tensor | None:
        site = self.graph.sites[index]
        if site.kind == "parameter":
            moment, mean = self.weights.named(site.path), self.weights.means.get(site.path, 0.0)
            spread = None if moment is None else max(moment - mean**2, 0.0) ** 0.5
            return None if spread is None else torch.tensor([mean + spread, mean - spread], dtype=torch.float64)
        if site.op in ("sin", "cos"):
            return torch.tensor([0.5**0.5, -(0.5**0.5)], dtype=torch.float64)
        if site.is_leaf or len({ref.site for ref in site.inputs}) != 1:
            return None
        read = self._points(site.inputs[0].site)
        if read is None or site.kind == "view" or ops.of(site).kind == "rearrange":
            return read
        return call_again(site, lambda _: read) if ops.of(site).elementwise else None

    def norm_scale(self, site: Site) -> float:
        """The mean square of the scale of a normalization, also of one that is computed, as `1 + w`."""
        ref = ops.argument(site, "weight") if ops.of(site).kind == "norm" else None
        if isinstance(ref, Ref) and self.graph.parameter_of(ref) is None:
            found = self._constant(ref.site)
            if found is None:
                self.unknown.add(site.index)
            return 1.0 if found is None else found
        return self.scale(site.index) ** 2

    def _biased(self, site: Site, first: Signal) -> Signal:
        fixed = [ref for ref in site.inputs if ref.site in self.graph.constant]
        name = self.graph.parameter_of(fixed[0])
        added = self._constant(fixed[0].site) if name is None else self.weights.named(name)
        if added is None and name is None:
            self.unknown.add(site.index)
        if added and added > _MASK:  # a mask leaves what it lets through
            self.masked.add(site.index)
            return first
        if not added:
            return first
        table = prod(self.graph.shapes[fixed[0].site][:-1]) > 1  # every position has its own
        alike = 0.0 if table else added
        return of_spread(site.index, first.spread + uniform(added, 0.0, added, alike, alike))

    def _dropped(self, site: Site, first: Signal, grown: float) -> Signal:
        """Two entries are kept each on its own."""
        return of_spread(site.index, replace(first.spread, square=first.spread.square * grown))

    def _together(self, site: Site, signals: list[Signal]) -> Signal:
        total = signals[0].spread
        for signal in signals[1:]:
            total = total + signal.spread
        return of_spread(site.index, total)

    def _elementwise(self, site: Site) -> Signal | None:
        signals = {ref.site: self.signals[ref.site] for ref in site.inputs if ref.site in self.signals}
        if not signals:
            return None
        divided = ops.of(site).name == "div" and site.args and not isinstance(ops.argument(site, "other"), Ref)
        if ops.of(site).steep and not divided and site.index not in self.graph.inside_norms:
            self.unknown.add(site.index)  # its mean hangs on the tails, which are no normal's
        shape = torch.broadcast_shapes(*(s.values.shape for s in signals.values()))  # type: ignore[no-untyped-call]
        values = {index: signal.values.expand(shape) for index, signal in signals.items()}
        result = self.graph.evaluate(site.index, values)
        if result is not None and not bool(result.isfinite().all()):  # a root of a variance, which is nearly one number
            means = {index: (v * WEIGHT).sum(-1, keepdim=True).expand_as(v) for index, v in values.items()}
            result = self.graph.evaluate(site.index, means)
        if result is None or not bool(result.isfinite().all()) or float(result.abs().max()) > _MASK:
            return None
        return replace(self.signals[self.graph.data(site.index)[0].site], values=result)

    def _by_row(self, site: Site) -> Signal:
        """By the row of the operation, and where it has none, as it is read: then it is named."""
        op, call = ops.of(site), self.call(site)
        read = call.spreads[0]
        if op.kind == "product" and len(call.spreads) == 2:
            return of_spread(site.index, call.spreads[0] * call.spreads[1])
        if op.kind == "product" and len(call.spreads) == 1 and (level := self.fixed_factor(site)) is not None:
            return (
                self.signals[self.graph.data(site.index)[0].site]
                if level == 1.0
                else of_spread(site.index, read.times(level))
            )
        if op.kind == "add" and len(self.graph.data(site.index)) == 1 and len(site.inputs) == 2:
            return self._biased(site, self.signals[self.graph.data(site.index)[0].site])
        if op.spread is not None and (found := op.spread(call)) is not None:
            return of_spread(site.index, found)
        if op.kind not in ("split", "lookup", "mask", "loss"):
            self.unknown.add(site.index)
        return of_spread(site.index, read)
