r"""What theory says of a model's own weights: the level of signal and gradient at every site, beside the measured one.

Forward, a weight of second moment $m$ with $n$ inputs turns a level $q$ into $n m q$; backward, it turns a gradient of
mean square $g$ into $m g$ times the number of outputs that read each input. Both hold for weights that are independent
of the signal: where measurement and prediction part, the weights do not act like random ones.
"""

from math import isfinite, sqrt

from torch import nn

from gainstage.signal import Graph, Tape
from gainstage.theory._weights import Weights, second_moments
from gainstage.theory.backward import Backward
from gainstage.theory.propagate import Forward

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
    weights = Weights(graph, second_moments(model))
    forward = Forward(graph, weights.writes, weights.scale, real=True)
    levels = forward.run()
    gradients = Backward(forward, weights.back).run()
    return {
        site.index: (_root(levels.get(site.index)), _root(gradients.get(site.index)))
        for site in tape
        if site.index in levels or site.index in gradients
    }


def _root(mean_square: float | None) -> float | None:
    return None if mean_square is None or not isfinite(mean_square) else sqrt(max(mean_square, 0.0))
