r"""What theory says of a model's own weights: the level of signal and gradient at every site, beside the measured one.

Forward, a weight of second moment $m$ with $n$ inputs turns a level $q$ into $n m q$; backward, it turns a gradient of
mean square $g$ into $m g$ times the number of outputs that read each input. Both hold for weights that are independent
of the signal: where measurement and prediction part, the weights do not act like random ones.
"""

from dataclasses import dataclass, field
from math import isfinite, prod, sqrt

import torch
from torch import Tensor, nn

from gainstage.plan._auto import coverage
from gainstage.plan._levels import Levels, Signal, Z, normal_mean
from gainstage.run import named_parameters
from gainstage.signal import Graph, Site, Tape, ops

Pair = tuple[float | None, float | None]


def predict(tape: Tape, model: nn.Module) -> dict[int, Pair]:
    r"""The root mean square of the signal and of its gradient at every site, by theory from the weights as they are.

    Forward it begins at the measured inputs, backward at the measured gradient of the outputs. What theory does
    not cover (attention, recurrence, averages, the way back through a normalization) keeps its measured ratio.

    Args:
        tape: what `record` returned for this model.
        model: its parameters' second moments are read; nothing is run.

    Returns:
        By site index, `(forward, backward)`; None where there is nothing to say.

    Example:
        >>> import torch, gainstage as gs
        >>> model = torch.nn.Sequential(torch.nn.Linear(256, 256), torch.nn.ReLU(), torch.nn.Linear(256, 10))
        >>> _ = gs.init.he_normal_(model[0].weight), torch.nn.init.zeros_(model[0].bias)
        >>> tape = gs.record(model, torch.randn(512, 256))
        >>> forward, backward = predict(tape, model)[tape["0"].index]
        >>> abs(forward / 2**0.5 - 1) < 0.05
        True

    References:
        He, Zhang, Ren, Sun, *Delving Deep into Rectifiers*, ICCV 2015. Poole et al., NeurIPS 2016.
    """
    graph = Graph(tape)
    moments = _second_moments(model)
    forward = _Forward(graph, moments)
    levels = forward.run()
    gradients = _Backward(graph, moments, forward.signals).run()
    return {
        site.index: (_root(levels.get(site.index)), _root(gradients.get(site.index)))
        for site in tape
        if site.index in levels or site.index in gradients
    }


@dataclass
class _Weights:
    """Second moments of weights, by the name of their parameter."""

    graph: Graph
    moments: dict[str, float]

    def of(self, site: int) -> float | None:
        """The second moment of the weight that a site multiplies with; None for one that is computed."""
        call = self.graph.weights[site]
        name = self.graph.parameter_of(call.weight)
        return self.moments.get(name) if name is not None else None

    def taps(self, site: int) -> float:
        """Inputs that an output entry adds up: the fan in, less the taps of a convolution that hang over the edge."""
        call = self.graph.weights[site]
        return call.fans.fan_in * (coverage(self.graph, site, call) if call.family == "conv" else 1.0)

    def named(self, name: str | None) -> float | None:
        """The second moment of a parameter."""
        return None if name is None else self.moments.get(self.graph.tape.ties.get(name, name))


class _Forward(Levels):
    """`Levels` under the weights as they are; inputs have their measured level."""

    def __init__(self, graph: Graph, moments: dict[str, float]) -> None:
        self.weights = _Weights(graph, moments)
        super().__init__(graph, self._write, self._scale)

    def _of(self, site: Site) -> Signal | None:
        if site.kind == "input" and site.forward is not None:
            return Signal(site.index, sqrt(max(site.forward.mean_square, 0.0)) * Z)
        return super()._of(site)

    def _between(self, site: Site) -> Signal | None:
        reads = [self.signals[ref.site] for ref in self.graph.data(site.index) if ref.site in self.signals]
        op, summed = ops.of(site), len(self.graph.sums.terms(site.index)) > 1
        if op.steep and reads and site.forward is not None:
            return Signal(site.index, sqrt(site.forward.mean_square) * Z)
        if op.kind in ("average", "dropout") and len(reads) == 1 and not summed:
            return Signal(site.index, sqrt(self._measured_ratio(site) * reads[0].mean_square) * Z)
        return super()._between(site)

    def _write(self, site: int, level: float) -> float:
        call, measured = self.graph.weights[site], self.graph.sites[site].forward
        moment = self.weights.of(site)
        if moment is None:
            return measured.mean_square if measured else 1.0
        bias = self.weights.named(self.graph.parameter_of(call.bias)) if call.bias is not None else None
        return (moment if call.data is None else self.weights.taps(site) * moment * level) + (bias or 0.0)

    def _scale(self, site: int) -> float:
        moment = self.weights.named(self.graph.norm_calls.get(site, {}).get("scale"))
        return 1.0 if moment is None else sqrt(moment)


@dataclass
class _Backward:
    """Mean squares of gradients, from the last site to the first."""

    graph: Graph
    moments: dict[str, float]
    signals: dict[int, Signal]
    found: dict[int, float] = field(default_factory=dict)

    def run(self) -> dict[int, float]:
        self.weights = _Weights(self.graph, self.moments)
        ends = set(self.graph.outputs)
        for site in reversed(self.graph.sites):
            if site.kind in ("loss", "parameter", "buffer", "constant") or site.index in self.graph.constant:
                continue
            measured = self._measured(site)
            readers = [r for r in self.graph.consumers[site.index] if r in self.found]
            if not readers or site.index in ends:
                if measured is not None:
                    self.found[site.index] = measured
                continue
            arriving = [self._through(site, self.graph.sites[r]) for r in readers]
            if all(value is not None for value in arriving):
                self.found[site.index] = sum(value for value in arriving if value is not None)
            elif measured is not None:
                before = [m for r in readers if (m := self._measured(self.graph.sites[r]))]
                ratio = sum(self.found[r] for r in readers) / sum(before) if before else 1.0
                self.found[site.index] = measured * (ratio if isfinite(ratio) else 1.0)
        return self.found

    def _through(self, site: Site, reader: Site) -> float | None:
        """What reaches `site` of the gradient at one of its readers; None where theory does not say."""
        gradient, graph = self.found[reader.index], self.graph
        spread = _count(reader) / max(_count(site), 1)
        data = graph.data(reader.index)
        if call := graph.weights.get(reader.index):
            moment = self.weights.of(reader.index)
            if moment is None or call.data is None:
                return None
            return gradient * moment * self.weights.taps(reader.index) * spread
        op = ops.of(reader)
        if op.kind == "dropout":
            before, after = self.signals.get(site.index), self.signals.get(reader.index)
            return (
                gradient * after.mean_square / before.mean_square if before and after and before.mean_square else None
            )
        if factor := graph.sums.factor(reader.index, site.index):
            return gradient * factor**2
        if reader.kind == "view" or (graph.transparent(reader.index) and op.kind != "product") or op.kind == "add":
            return gradient * spread
        if graph.normalizes(reader.index):
            return None  # divides every sample or position by a level of its own; theory here follows their mean
        if op.name == "mul" and len(data) == 2 and data[0].site != data[1].site:
            other = data[0].site if data[1].site == site.index else data[1].site
            return gradient * spread * self.signals[other].mean_square if other in self.signals else None
        if op.kind == "average":
            return gradient * spread / _window(reader, spread)
        if op.kind == "max":
            return gradient * spread
        return self._slope(site, reader, gradient) if len(data) == 1 else None

    def _slope(self, site: Site, reader: Site, gradient: float) -> float | None:
        """Through an elementwise function: times the mean square of its slope."""
        signal, after = self.signals.get(site.index), self.signals.get(reader.index)
        if signal is None or after is None or signal.base != after.base:
            return None
        run, rise = (torch.gradient(s.values, spacing=(Z,))[0] for s in (signal, after))
        steep = run.abs() > 1e-12
        slope = torch.where(steep, rise / torch.where(steep, run, torch.ones_like(run)), torch.zeros_like(run))
        return gradient * normal_mean(slope.square())

    def _measured(self, site: Site) -> float | None:
        return site.backward.mean_square if site.backward is not None else None


def _window(site: Site, spread: float) -> float:
    """How many entries a pooling averages."""
    size = ops.argument(site, "kernel_size")
    if size is None:
        return 1 / spread  # a mean, or an adaptive pooling: each entry is read once
    axes = int(site.op[-2])
    return float(size**axes if isinstance(size, int) else size[0] ** axes if len(size) == 1 else prod(size))


def _count(site: Site) -> int:
    return prod(site.shape)


@torch.no_grad()
def _second_moments(model: nn.Module) -> dict[str, float]:
    """The mean square of every floating parameter, with one host synchronization."""
    chosen = {n: p for n, p in named_parameters(model) if p.is_floating_point() and not p.is_meta and p.numel()}
    squares: list[Tensor] = [
        (torch.linalg.vector_norm(p.float()) ** 2 / p.numel()).double().cpu() for p in chosen.values()
    ]
    return dict(zip(chosen, torch.stack(squares).tolist(), strict=True)) if squares else {}


def _root(mean_square: float | None) -> float | None:
    return None if mean_square is None or not isfinite(mean_square) else sqrt(max(mean_square, 0.0))
