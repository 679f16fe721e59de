"""Plain chains: weights in a row with nothing but activations between, the nets that are hard to start at depth."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from gainstage.plan._levels import Z, normal_mean
from gainstage.signal import Graph
from gainstage.signal._again import POINTS

Activation = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Chain:
    """Weight sites in a row, each reading the activation of the one before, and nothing else reading in between.

    Attributes:
        sites: at least two weight sites, first to last.
        name: the activation for people, `"relu"`.
        phi: what one unit passes on; for mirrored units what a pair does, $\\phi(z) - \\phi(-z)$.
        mirrored: the activation is not odd, so units start in pairs of opposite sign.
        slope: c where phi(z) = c z for all z, as for pairs of ReLU, GELU, SiLU, softplus (1) or leaky ReLU (1 + a).
        tanh_like: phi has its steepest slope at 0 and flattens outwards, as tanh and pairs of sigmoids.
    """

    sites: tuple[int, ...]
    name: str
    phi: Activation
    mirrored: bool
    slope: float | None
    tanh_like: bool


def chains(graph: Graph) -> list[Chain]:
    """Every maximal plain chain of a graph, longest first."""
    following = {index: after for index in graph.weights if (after := _next(graph, index)) is not None}
    found: list[Chain] = []
    for head in sorted(set(following) - set(following.values())):
        row = [head]
        while row[-1] in following and following[row[-1]] not in row:
            row.append(following[row[-1]])
        found.extend(_by_activation(graph, row))
    return sorted(found, key=lambda chain: -len(chain.sites))


def _next(graph: Graph, index: int) -> int | None:
    """The one weight that reads this weight's output through an activation, whole units in their order."""
    leaves = graph.activation(index)
    if leaves is None or leaves in graph.outputs:
        return None
    readers = [r for r in graph.consumers[leaves] if graph.sites[r].kind != "loss"]
    if len(readers) != 1 or readers[0] not in graph.weights:
        return None
    before, after = graph.weights[index], graph.weights[readers[0]]
    if before.family in ("embedding", "bilinear") or after.data is None or after.family == "bilinear":
        return None
    units, reads = graph.units(before)[0], graph.units(after)[1]
    return readers[0] if reads % units == 0 else None


def _by_activation(graph: Graph, row: list[int]) -> Iterator[Chain]:
    """Cut a row of weights where the activation changes."""
    values = [_values(graph, index) for index in row[:-1]]
    start = 0
    for end in range(1, len(row)):
        if end == len(row) - 1 or not torch.allclose(values[end], values[start], atol=1e-9):
            yield _chain(graph, row[start : end + 1], values[start])
            start = end


def _values(graph: Graph, index: int) -> Tensor:
    leaves = graph.activation(index)
    assert leaves is not None  # it has a next weight
    return graph.region(index)[leaves]


def activation_function(graph: Graph, index: int) -> Activation:
    """What happens to a weight's output up to the site where everything elementwise leaves, to be called again."""
    leaves = graph.activation(index)
    path = [i for i in sorted(graph.region(index)) if i != index]

    def phi(z: Tensor) -> Tensor:
        values = {index: z}
        for i in path:
            value = graph.evaluate(i, values)
            values[i] = values[graph.data(i)[0].site] if value is None else value
        return values[leaves] if leaves is not None else z

    return phi


def _chain(graph: Graph, row: list[int], values: Tensor) -> Chain:
    phi = activation_function(graph, row[0])
    mirrored = not torch.allclose(values, -values.flip(0), atol=1e-9)
    passed = values - values.flip(0) if mirrored else values
    c = float(passed[-1] / POINTS[-1])
    slope = c if abs(c) > 0.1 and torch.allclose(passed, c * POINTS, atol=1e-5) else None
    steps = passed.diff()
    tanh_like = bool((steps >= -1e-9).all()) and float(steps[-1]) < 0.5 * float(steps[len(steps) // 2])
    effective: Activation = (lambda z: phi(z) - phi(-z)) if mirrored else phi
    return Chain(tuple(row), graph.activation_name(row[0]) or "no activation", effective, mirrored, slope, tanh_like)


def critical_gain(phi: Activation, depth: int) -> float:
    r"""The largest gain under which the gradient of a tanh-like activation does not grow over `depth` layers.

    Iterates $q \leftarrow g^2\, \mathbb{E}[\phi(\sqrt q z)^2]$ from 1 and keeps the product of
    $\chi = g^2\, \mathbb{E}[\phi'(\sqrt q z)^2]$ at 1. At infinite depth this is the edge of chaos at zero bias,
    $g = 1/\phi'(0)$; it is never more than the exact gain.

    References:
        Schoenholz et al., *Deep Information Propagation*, ICLR 2017; Pennington et al., *Resurrecting the sigmoid in
        deep learning through dynamical isometry*, NeurIPS 2017.
    """
    low = 1.0 / float(_slope(phi)(torch.zeros(1, dtype=torch.float64)))
    high = max(low, normal_mean(phi(Z).square()) ** -0.5)
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if _gradient_factor(phi, middle, depth) <= 1 else (low, middle)
    return low


def calm_level(phi: Activation) -> float:
    r"""The largest mean square q, at most 1, at which a layer at most doubles the gradient's.

    A layer that keeps the level q has $\sigma_w^2 = q / \mathbb{E}[\phi(\sqrt q z)^2]$, so it multiplies the gradient's
    mean square by $\chi(q) = q\, \mathbb{E}[\phi'(\sqrt q z)^2] / \mathbb{E}[\phi(\sqrt q z)^2]$. For the usual
    activations $\chi(1) < 2$; a fast oscillation such as $\sin(30 z)$ must be read where it is still nearly linear.

    References:
        Sitzmann et al., *Implicit Neural Representations with Periodic Activation Functions*, NeurIPS 2020.
    """

    def factor(q: float) -> float:
        z = q**0.5 * Z
        level = normal_mean(phi(z).square())
        return q * normal_mean(_slope(phi)(z).square()) / level if level > 0 else 0.0

    if not factor(1.0) > 2:
        return 1.0
    low, high = -30.0, 0.0  # of log2 q
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if factor(2.0**middle) <= 2 else (low, middle)
    return float(2.0**low)


def _gradient_factor(phi: Activation, gain: float, depth: int) -> float:
    q, total = 1.0, 1.0
    for _ in range(depth):
        z = q**0.5 * Z
        total *= gain**2 * normal_mean(_slope(phi)(z).square())
        q = gain**2 * normal_mean(phi(z).square())
    return total


def _slope(phi: Activation, step: float = 1e-4) -> Activation:
    return lambda z: (phi(z + step) - phi(z - step)) / (2 * step)
