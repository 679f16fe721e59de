"""The distribution of the entries at one site, and how alike two of them are."""

from dataclasses import dataclass, field
from functools import cached_property
from math import sqrt

import torch
from torch import Tensor

from gainstage.signal import Spread
from gainstage.theory.activation import WEIGHT, Z, normal_mean

_TERMS = 40


def _hermite() -> Tensor:
    """Normalized Hermite polynomials at `Z`, one a row: orthonormal under a standard normal."""
    rows = [torch.ones_like(Z), Z]
    for k in range(1, _TERMS - 1):
        rows.append((Z * rows[-1] - sqrt(k) * rows[-2]) / sqrt(k + 1))
    return torch.stack(rows)


_BASIS = _hermite() * WEIGHT
_NONE = torch.zeros(1, dtype=torch.float64)


@dataclass(frozen=True)
class Alike:
    """Correlations of the normals behind a signal, by bins: as `Spread` has the products."""

    samples: Tensor = field(default_factory=lambda: _NONE)
    positions: Tensor = field(default_factory=lambda: _NONE[:, None])
    across: Tensor = field(default_factory=lambda: _NONE[:, None])


@dataclass(frozen=True)
class Signal:
    r"""The distribution of the entries at one site: `values` where a standard normal is `Z`, in a forecast by bins.

    Signals of the same `base` are functions of one another's entries; others are treated as independent. Entries of two
    samples or positions are functions f and g of normals of a known correlation; by Mehler's formula
    $\mathbb{E}[f(z)\, g(z')] = \sum_k a_k b_k \rho^k$, with the coefficients of both in normalized Hermite polynomials.
    """

    base: int
    values: Tensor
    alike: Alike = field(default_factory=Alike)

    @cached_property
    def mean_square(self) -> float:
        """Their mean square, the level of the signal; of bins the mean."""
        return (
            normal_mean(self.values.square()) if self.values.dim() == 1 else float(_mean(self.values.square()).mean())
        )

    @cached_property
    def spread(self) -> Spread:
        """Mean square, mean, and the mean products of two samples and of two positions."""
        values = self.values if self.values.dim() == 2 else self.values[None]
        samples, positions, across = together(values, self.alike)
        return Spread(_mean(values.square()), _mean(values), samples, positions, across)


def _mean(values: Tensor) -> Tensor:
    return (values * WEIGHT).sum(-1)


def together(values: Tensor, alike: Alike) -> tuple[Tensor, Tensor, Tensor]:
    """The mean products of a function of two normals: of two samples, two positions, and both."""
    own = values @ _BASIS.T  # [bins, terms]
    left = (_mean(values.square()) - own.square().sum(1)).clamp_min(0)  # terms of a high order
    roots = left.sqrt()
    powers = torch.arange(_TERMS, dtype=torch.float64)
    samples = (own.square() * alike.samples[:, None].clamp(-1, 1) ** powers).sum(1)
    samples = samples + left * alike.samples.clamp_min(0) ** _TERMS
    found = []
    for rho in (alike.positions, alike.across):
        if bool((rho == rho[0, 0]).all()):  # one power for all pairs
            products = (own * rho[0, 0].clamp(-1, 1) ** powers) @ own.T
        else:
            products = torch.einsum("ik,jk,ijk->ij", own, own, rho.clamp(-1, 1)[..., None] ** powers)
        found.append(products + roots[:, None] * roots * rho.clamp(0, 1) ** _TERMS)
    return samples, found[0], found[1]


def normal(base: int, square: float, mean: float = 0.0) -> Signal:
    """A normal signal of this variance around its mean."""
    return Signal(base, sqrt(max(square, 0.0)) * Z + mean)


def of_spread(base: int, spread: Spread) -> Signal:
    """A normal signal with these moments."""
    variance = (spread.square - spread.mean.square()).clamp_min(0)
    variance = torch.where(variance <= 1e-12 * spread.square, torch.zeros_like(variance), variance)
    pairs = (variance[:, None] * variance).sqrt()
    centre = spread.mean[:, None] * spread.mean

    def correlation(product: Tensor, of: Tensor) -> Tensor:
        return torch.where(of > 0, product / of.clamp_min(1e-300), torch.ones_like(of)).clamp(-1, 1)

    alike = Alike(
        correlation(spread.samples - spread.mean.square(), variance),
        correlation(spread.positions - centre, pairs),
        correlation(spread.across - centre, pairs),
    )
    return Signal(base, variance.sqrt()[:, None] * Z + spread.mean[:, None], alike)
