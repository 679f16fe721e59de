r"""What function an activation is, however it is written: read off the graph, asked by planner, prediction and checks.

Means over a standard normal are sums over `Z` (`normal_mean`), slopes come from autograd (`derivative`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from gainstage.init import activation, normal_rule
from gainstage.signal import POINTS, Graph, Ref, ops, walk

Function = Callable[[Tensor], Tensor]
Z, WEIGHT = normal_rule()


def normal_mean(values: Tensor) -> float:
    """The mean of a function of a standard normal, given its values at `Z`."""
    return float((values * WEIGHT).sum())


def derivative(phi: Function) -> Function:
    """The slope of an elementwise function, as a function; 0 where it hands no gradient on."""

    def slope(z: Tensor) -> Tensor:
        with torch.enable_grad():
            x = z.detach().requires_grad_()
            y = phi(x)
            found = torch.autograd.grad(y.sum(), x, allow_unused=True)[0] if y.requires_grad else None
        return torch.zeros_like(z) if found is None else found

    return slope


@dataclass(frozen=True, eq=False)
class Activation:
    r"""An elementwise function between two weights.

    Attributes:
        name: for people, `"relu"`.
        phi: the function.
        values: what it gives at `signal.POINTS`.
    """

    name: str
    phi: Function
    values: Tensor

    @cached_property
    def gain(self) -> float:
        r"""$1 / \sqrt{\mathbb{E}[\phi(z)^2]}$: what keeps the mean square of a signal (He et al., ICCV 2015)."""
        return float(self.level() ** -0.5)

    @cached_property
    def odd(self) -> bool:
        r"""Whether $\phi(-z) = -\phi(z)$."""
        return torch.allclose(self.values, -self.values.flip(0), atol=1e-9)

    @cached_property
    def pair(self) -> "Activation":
        r"""What two units of opposite sign pass on together, $\phi(z) - \phi(-z)$; of an odd function itself."""
        phi, values = self.phi, self.values
        return self if self.odd else Activation(self.name, lambda z: phi(z) - phi(-z), values - values.flip(0))

    @cached_property
    def slope(self) -> float | None:
        """c where phi(z) = c z for all z, as for pairs of ReLU, GELU, SiLU, softplus (1) or leaky ReLU (1 + a)."""
        c = float(self.values[-1] / POINTS[-1])
        return c if abs(c) > 0.1 and torch.allclose(self.values, c * POINTS, atol=1e-5) else None

    @cached_property
    def squashes(self) -> bool:
        """It has its steepest slope at 0 and flattens outwards, as tanh and pairs of sigmoids."""
        steps = self.values.diff()
        return bool((steps >= -1e-9).all()) and float(steps[-1]) < 0.5 * float(steps[len(steps) // 2])

    def same(self, other: "Activation") -> bool:
        """Whether both are one function."""
        return torch.allclose(self.values, other.values, atol=1e-9)

    def level(self, q: float = 1.0) -> float:
        r"""$\mathbb{E}[\phi(\sqrt q z)^2]$: the mean square behind it, of a normal signal of mean square q."""
        return normal_mean(self.phi(q**0.5 * Z).square())

    def steepness(self, q: float = 1.0) -> float:
        r"""$\mathbb{E}[\phi'(\sqrt q z)^2]$: the factor on the mean square of the gradient."""
        return normal_mean(derivative(self.phi)(q**0.5 * Z).square())

    def critical_gain(self, depth: int) -> float:
        r"""The largest gain under which the gradient of a function like tanh does not grow over `depth` layers.

        Iterates $q \leftarrow g^2\, \mathbb{E}[\phi(\sqrt q z)^2]$ from 1 and keeps the product of
        $\chi = g^2\, \mathbb{E}[\phi'(\sqrt q z)^2]$ at 1. At infinite depth this is the edge of chaos at zero bias,
        $g = 1/\phi'(0)$; it is never more than the exact gain.

        References:
            Schoenholz et al., *Deep Information Propagation*, ICLR 2017; Pennington et al., *Resurrecting the sigmoid
            in deep learning through dynamical isometry*, NeurIPS 2017.
        """

        def growth(gain: float) -> float:
            q, total = 1.0, 1.0
            for _ in range(depth):
                q, total = gain**2 * self.level(q), total * gain**2 * self.steepness(q)
            return total

        steepest = float(derivative(self.phi)(torch.zeros(1, dtype=torch.float64, device="cpu")))
        low = 1.0 / steepest if steepest > 0 else self.gain
        return _largest(lambda gain: growth(gain) <= 1, low, max(low, self.gain))

    def calm_level(self) -> float:
        r"""The largest mean square q, at most 1, at which a layer at most doubles the gradient's.

        A layer that keeps the level q has $\sigma_w^2 = q / \mathbb{E}[\phi(\sqrt q z)^2]$, so it multiplies the
        gradient's mean square by $\chi(q) = q\, \mathbb{E}[\phi'(\sqrt q z)^2] / \mathbb{E}[\phi(\sqrt q z)^2]$. For
        the usual activations $\chi(1) < 2$; a fast oscillation such as $\sin(30 z)$ must be read where it is still
        nearly linear.

        References:
            Sitzmann et al., *Implicit Neural Representations with Periodic Activation Functions*, NeurIPS 2020.
        """

        def factor(q: float) -> float:
            level = self.level(q)
            return q * self.steepness(q) / level if level > 0 else 0.0

        if not factor(1.0) > 2:
            return 1.0
        return float(2.0 ** _largest(lambda log_q: factor(2.0**log_q) <= 2, -30.0, 0.0))


def region(graph: Graph, index: int) -> dict[int, Tensor]:
    """The elementwise functions of one site's output: every site that is one, with its values at `POINTS`.

    However it is written (`F.gelu`, `x * sigmoid(x)`, powers and tanh), the values are those of the composite function,
    found by calling the same functions again. Pooling hands the values on.
    """
    if (known := _REGIONS.setdefault(graph, {}).get(index)) is not None:
        return known
    values, todo = {index: POINTS}, sorted(graph.consumers[index])
    while todo:
        current = todo.pop(0)
        if current in values:
            continue
        value, reads = graph.evaluate(current, values), graph.data(current)
        if value is None and ops.of(graph.sites[current]).pools and reads and current not in graph.inside_norms:
            value = values.get(reads[0].site)
        if value is not None:
            values[current] = value
            todo = sorted({*todo, *graph.consumers[current]})
    _REGIONS[graph][index] = values
    return values


_REGIONS: WeakKeyDictionary[Graph, dict[int, dict[int, Tensor]]] = WeakKeyDictionary()


def leaves(graph: Graph, index: int) -> int | None:
    """The one site at which everything elementwise behind `index` leaves; None if it leaves at several or not.

    `index` itself is returned where nothing elementwise follows.
    """
    inner = region(graph, index)
    leaving = [i for i in inner if i in graph.outputs or any(r not in inner for r in graph.consumers[i])]
    return leaving[0] if len(leaving) == 1 else None


def name_behind(graph: Graph, index: int) -> str:
    """Name of the activation behind a site: the operation, or the module where it is several; empty for none."""
    return _name(graph, [i for i in region(graph, index) if i != index])


def _name(graph: Graph, path: list[int]) -> str:
    acts = [graph.sites[i] for i in path if ops.of(graph.sites[i]).elementwise and not graph.transparent(i)]
    if not acts:
        return ""
    return acts[0].op if len(acts) == 1 else acts[-1].module.lower()


def behind(graph: Graph, index: int) -> Activation | None:
    """The function between a site and the one at which everything elementwise behind it leaves; None for several."""
    if (end := leaves(graph, index)) is None:
        return None
    path = [i for i in sorted(region(graph, index)) if i != index]
    return Activation(name_behind(graph, index), _function(graph, index, path, end), region(graph, index)[end])


def read_by(graph: Graph, ref: Ref) -> Activation | None:
    """The activation that made a signal, with the arguments of its calls, behind views, dropout and pooling."""
    index = graph.source(ref)
    while ops.of(graph.sites[index]).pools and (reads := graph.data(index)):
        index = graph.source(reads[0])
    source, path = made_of(graph, index)
    if not (name := _name(graph, path)):
        return None
    if ops.of(graph.sites[index]).name == "prelu":  # its slope is learned: the one torch starts with
        phi: Function = activation("prelu")
        return Activation(name, phi, phi(POINTS))
    phi = _function(graph, source, path, index)
    return Activation(name, phi, phi(POINTS))


def made_of(graph: Graph, index: int) -> tuple[int, list[int]]:
    """The one site that a signal is an elementwise function of, and the sites on the way; the signal's own for none."""

    def through(current: int) -> bool:
        site = graph.sites[current]
        elementwise = site.kind == "view" or ops.of(site).elementwise or graph.transparent(current)
        return elementwise and bool(graph.data(current)) and current not in graph.weights

    reached = set(walk([index], lambda i: [ref.site for ref in graph.data(i)] if through(i) else []))
    ends = {current for current in reached if not through(current)}
    return (min(ends), sorted(reached - ends)) if len(ends) == 1 else (index, [])


def _function(graph: Graph, start: int, path: list[int], end: int) -> Function:
    """What the sites of a path make of one signal; those that refuse to be called again hand it on."""

    def phi(z: Tensor) -> Tensor:
        values = {start: z}
        for i in path:
            value = graph.evaluate(i, values)
            values[i] = values[graph.data(i)[0].site] if value is None else value
        return values[end]

    return phi


def _largest(fits: Callable[[float], bool], low: float, high: float) -> float:
    """The largest number between the two that fits, to 12 bits; `low` fits."""
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
