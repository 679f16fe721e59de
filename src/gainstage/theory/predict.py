r"""What theory says of a model's own weights: the level of signal and gradient at every site, beside the measured one.

Forward, a weight of second moment $m$ with $n$ inputs turns a level $q$ into $n m q$; backward, it turns a gradient of
mean square $g$ into $m g$ times the number of outputs that read each input. Both hold for weights that are independent
of the signal: where measurement and prediction part, the weights do not act like random ones.
"""

from dataclasses import dataclass
from math import isfinite, sqrt

import torch
from torch import Tensor, nn

from gainstage.run import named_parameters
from gainstage.signal import Graph, Tape, coverage
from gainstage.theory.propagate import Backward, Forward

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
    weights = _Weights(graph, _second_moments(model))
    forward = Forward(graph, weights.writes, weights.scale, real=True)
    levels = forward.run()
    gradients = Backward(forward, weights.back).run()
    return {
        site.index: (_root(levels.get(site.index)), _root(gradients.get(site.index)))
        for site in tape
        if site.index in levels or site.index in gradients
    }


@dataclass
class _Weights:
    """Second moments of parameters, by name, and what weights do with them."""

    graph: Graph
    moments: dict[str, float]

    def named(self, name: str | None) -> float | None:
        """The second moment of a parameter; None for one that is computed."""
        return None if name is None else self.moments.get(self.graph.tape.ties.get(name, name))

    def back(self, site: int) -> float | None:
        """The second moment times the inputs that an output adds up, less the taps that hang over the edge."""
        call = self.graph.weights[site]
        moment = self.named(self.graph.parameter_of(call.weight))
        if moment is None or call.data is None:
            return None
        return moment * call.fans.fan_in * coverage(self.graph.sites[site], call, self.graph.shapes)

    def writes(self, site: int, level: float) -> float:
        """What a weight makes of a level: of a table an entry, of any other a sum; and the bias."""
        call, measured = self.graph.weights[site], self.graph.sites[site].forward
        factor = self.named(self.graph.parameter_of(call.weight)) if call.data is None else self.back(site)
        if factor is None:
            return measured.mean_square if measured else 1.0
        bias = self.named(self.graph.parameter_of(call.bias)) if call.bias is not None else None
        return (factor if call.data is None else factor * level) + (bias or 0.0)

    def scale(self, site: int) -> float:
        """The root mean square of the scale of a normalization."""
        moment = self.named(self.graph.norm_calls.get(site, {}).get("scale"))
        return 1.0 if moment is None else sqrt(moment)


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
