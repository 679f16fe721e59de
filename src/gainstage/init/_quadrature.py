"""Expectations under a normal distribution, by quadrature."""

from collections.abc import Callable
from functools import lru_cache
from math import pi, sqrt

import torch
from torch import Tensor

from ._errors import NotElementwise
from ._numbers import spread

Activation = Callable[[Tensor], Tensor]

_NODES = 17  # Gauss-Lobatto points a panel
_HALVINGS = 45  # of a panel with a jump inside, until it is too narrow to matter
_TOLERANCE = 1e-14  # of a panel, relative to the whole
_REACH = 12.0  # a standard normal beyond 12 sigma weighs less than 1e-32
_PANEL = 0.5  # width of a panel, in sigma


def gaussian_mean(f: Activation, variance: float = 1.0, mean: float = 0.0) -> float:
    r"""The expectation of an elementwise function of a normal variable.

    $$ \mathbb{E}[f(z)], \qquad z \sim \mathcal{N}(\mu, \sigma^2) $$

    Gauss-Lobatto in panels half a sigma wide, each halved until it agrees with its halves: exact to about 1e-12
    wherever the kinks and jumps of `f` lie.

    Args:
        f: takes a float64 tensor and returns one of the same shape.
        variance: of `z`, at least 0.
        mean: of `z`.

    Returns:
        The mean, a Python float (may be infinite where `f` overflows).

    Raises:
        CannotFill: a variance below 0.
        NotElementwise: `f` changes the shape, fails on a vector, or lets entries see each other.

    Example:
        >>> round(gaussian_mean(torch.relu), 6), round(gaussian_mean(torch.square, variance=4.0), 6)
        (0.398942, 4.0)
    """
    variance = spread("the variance of gaussian_mean()", variance)
    if variance == 0.0:
        return float(apply(f, torch.tensor([mean], dtype=torch.float64, device="cpu")))
    grid = torch.arange(-_REACH, _REACH + _PANEL / 2, _PANEL, dtype=torch.float64, device="cpu")
    left, right, total, tolerance = grid[:-1], grid[1:], 0.0, 0.0

    def integrals(left: Tensor, right: Tensor) -> Tensor:
        z, weight = _panels(left, right)
        return (weight * apply(f, (mean + sqrt(variance) * z).flatten()).view_as(z)).sum(-1)

    for _ in range(_HALVINGS):
        middle = (left + right) / 2
        coarse, fine = integrals(left, right), integrals(left, middle) + integrals(middle, right)
        tolerance = tolerance or _TOLERANCE * float(fine.abs().sum())
        rough = (coarse - fine).abs() > tolerance  # false for inf and nan, which no halving would mend
        total += float(fine[~rough].sum())
        left, right = torch.cat([left[rough], middle[rough]]), torch.cat([middle[rough], right[rough]])
        if not len(left):
            return total
    return total + float(integrals(left, right).sum())


@lru_cache
def normal_rule() -> tuple[Tensor, Tensor]:
    r"""Points $z_k$ and weights $w_k$ of $\mathbb{E}[f(z)] \approx \sum_k w_k f(z_k)$ for a standard normal.

    The panels of `gaussian_mean` out to 9 sigma, none of them halved: for functions that are known at given points
    only. Exact to 1e-12 for what is smooth or has its kinks at multiples of half a sigma, to about 1e-4 for a kink
    elsewhere.

    Example:
        >>> z, weight = normal_rule()
        >>> round(float((weight * z.relu()).sum()), 6)
        0.398942
    """
    z, weight = _nodes(torch.empty(1, 0, dtype=torch.float64, device="cpu"), panel=_PANEL, reach=9.0)
    return z[0], weight[0]


def gaussian_product_mean(
    f: Activation, g: Activation, variance_f: float = 1.0, variance_g: float = 1.0, correlation: float = 0.0
) -> float:
    r"""The expectation of a product of elementwise functions of two correlated normal variables of mean 0.

    $$ \mathbb{E}[f(u)\, g(v)], \qquad \operatorname{Var} u = \sigma_f^2,\ \operatorname{Var} v = \sigma_g^2,\
       \operatorname{corr}(u, v) = c $$

    Gauss-Lobatto in panels that are cut where `u` or `v` is 0, ±0.5, ±1, ±3, ±6 or ±20: the kinks of the activations
    of `torch.nn`. The error is below 1e-9 for those, and about 1e-5 for a kink elsewhere.

    Args:
        f: of `u`; takes and returns a float64 tensor.
        g: of `v`.
        variance_f: of `u`, at least 0.
        variance_g: of `v`, at least 0.
        correlation: from -1 to 1.

    Returns:
        The mean.

    Raises:
        CannotFill: a variance below 0.
        NotElementwise: as `gaussian_mean`.

    Example:
        >>> round(gaussian_product_mean(torch.relu, torch.relu, correlation=0.0) * 2 * pi, 6)
        1.0
    """
    variance_f = spread("variance_f of gaussian_product_mean()", variance_f)
    variance_g = spread("variance_g of gaussian_product_mean()", variance_g)
    if variance_f == 0.0 or variance_g == 0.0:
        return gaussian_mean(f, variance_f) * gaussian_mean(g, variance_g)
    c, s = max(-1.0, min(1.0, correlation)), sqrt(max(0.0, 1.0 - correlation * correlation))
    sigma_f, sigma_g = sqrt(variance_f), sqrt(variance_g)
    kinks = torch.tensor(_KINKS, dtype=torch.float64, device="cpu")
    cuts = kinks / sigma_f
    if s < 0.5 and c != 0.0:  # where u fixes v up to s, a kink of g is a bend of that width in the integral over v
        bends = torch.tensor([-8.0, -3.0, -1.0, 1.0, 3.0, 8.0], dtype=torch.float64, device="cpu") * s
        cuts = torch.cat([cuts, (kinks[:, None] / sigma_g + bends).flatten() / c])
    z, weight = _nodes(cuts[None], panel=1.0, reach=9.0)
    outer = weight[0] * apply(f, sigma_f * z[0])
    if s < 1e-7:
        return float((outer * apply(g, sigma_g * c * z[0])).sum())
    keep = outer != 0
    z, outer = z[0, keep], outer[keep]
    inner_z, inner_weight = _nodes((kinks[None] / sigma_g - c * z[:, None]) / s, nodes=11, panel=1.5, reach=9.0)
    v = sigma_g * (c * z[:, None] + s * inner_z)
    return float((outer[:, None] * inner_weight * apply(g, v.flatten()).view_as(v)).sum())


_KINKS = (-20.0, -6.0, -3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0, 6.0, 20.0)


def apply(f: Activation, z: Tensor) -> Tensor:
    """`f(z)` in float64 without a graph, or an error that says why `f` is no function of one number."""
    with torch.no_grad():
        try:
            y = f(z.clone())
        except Exception as error:
            raise NotElementwise(
                f"expected a function that takes a tensor and works entry by entry; on a float64 vector it raised "
                f"{type(error).__name__}: {error}. Write a lambda of one tensor, e.g. lambda z: f(z, other=...)."
            ) from error
    if not isinstance(y, Tensor) or y.shape != z.shape:
        came = f"shape {tuple(y.shape)}" if isinstance(y, Tensor) else type(y).__name__
        raise NotElementwise(
            f"expected an elementwise function (shape {tuple(z.shape)} in and out); got {came} back. For a gated unit "
            "(GLU, SwiGLU) write init.glu_gain(gate)."
        )
    return y.double()


def _nodes(kinks: Tensor, nodes: int = _NODES, panel: float = _PANEL, reach: float = _REACH) -> tuple[Tensor, Tensor]:
    """Points and weights of E[f(z)] for a standard normal, a row for each row of `kinks`, which no panel has inside."""
    grid = torch.arange(-reach, reach + panel / 2, panel, dtype=torch.float64, device="cpu")
    edges = torch.cat([grid.expand(len(kinks), -1), kinks.clamp(-reach, reach)], 1).sort(1).values
    z, weight = _panels(edges[:, :-1], edges[:, 1:], nodes)
    return z.flatten(1), weight.flatten(1)


def _panels(left: Tensor, right: Tensor, nodes: int = _NODES) -> tuple[Tensor, Tensor]:
    """Points and weights, along a new last axis, of the integral over each panel against the normal density."""
    x, w = _lobatto(nodes)
    half = ((right - left) / 2)[..., None]
    z = (left + right)[..., None] / 2 + half * x
    return z, half * w * torch.exp(-z.square() / 2) / sqrt(2 * pi)


@lru_cache
def _lobatto(n: int) -> tuple[Tensor, Tensor]:
    """Gauss-Lobatto points and weights on [-1, 1], exact to degree 2n - 3.

    They include the ends, so that a jump cannot hide between an end and the first point; the ends are drawn in by
    1e-10, so that a jump *at* an end, where most activations have theirs, is not seen by either side.
    """
    k = torch.arange(1, n - 2, dtype=torch.float64, device="cpu")
    beta = torch.sqrt(k * (k + 2) / ((2 * k + 1) * (2 * k + 3)))  # of the Jacobi polynomials (1, 1) (Golub-Welsch)
    one = torch.ones(1, dtype=torch.float64, device="cpu")
    x = torch.cat([-one, torch.linalg.eigvalsh(torch.diag(beta, 1) + torch.diag(beta, -1)), one])
    before, legendre = torch.ones_like(x), x
    for degree in range(1, n - 1):
        before, legendre = legendre, ((2 * degree + 1) * x * legendre - degree * before) / (degree + 1)
    weights = 2 / (n * (n - 1) * legendre.square())
    return x * (1 - 1e-10), weights
