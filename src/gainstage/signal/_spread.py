"""What theory carries of a signal or of its gradient: mean squares, means, and how alike entries are, by position.

Positions that see different things, as those of a causal decoder, are dealt into bins: all positions of a bin count as
alike. Networks without have one bin.
"""

from dataclasses import dataclass
from functools import cached_property
from math import exp

import torch
from torch import Tensor

from gainstage.init import normal_rule


@dataclass(frozen=True)
class Spread:
    """Moments of the entries of one tensor.

    Attributes:
        square: mean square in every bin, `[bins]`.
        mean: mean, `[bins]`.
        samples: mean product of two samples at one position, `[bins]`.
        positions: mean product of two positions of one sample, `[bins, bins]`.
        across: mean product of two positions of two samples, `[bins, bins]`.
    """

    square: Tensor
    mean: Tensor
    samples: Tensor
    positions: Tensor
    across: Tensor

    def times(self, factor: Tensor | float) -> "Spread":
        """Every product times a factor; of one by bins, two bins share the geometric mean. The mean is 0."""
        pairs = (factor[:, None] * factor).clamp_min(0).sqrt() if isinstance(factor, Tensor) else factor
        return Spread(
            self.square * factor,
            torch.zeros_like(self.mean),
            self.samples * factor,
            self.positions * pairs,
            self.across * pairs,
        )

    def __add__(self, other: "Spread") -> "Spread":
        """Of a sum of two that are independent."""
        both = 2 * self.mean * other.mean
        pairs = self.mean[:, None] * other.mean + other.mean[:, None] * self.mean
        return Spread(
            self.square + other.square + both,
            self.mean + other.mean,
            self.samples + other.samples + both,
            self.positions + other.positions + pairs,
            self.across + other.across + pairs,
        )

    def __mul__(self, other: "Spread") -> "Spread":
        """Of a product of two that are independent."""
        return Spread(
            self.square * other.square,
            self.mean * other.mean,
            self.samples * other.samples,
            self.positions * other.positions,
            self.across * other.across,
        )


def uniform(
    square: Tensor | float,
    mean: Tensor | float = 0.0,
    samples: Tensor | float = 0.0,
    positions: Tensor | float = 0.0,
    across: Tensor | float | None = None,
) -> Spread:
    """A spread that is the same everywhere, or by bins where a tensor is given."""
    across = samples if across is None and not isinstance(samples, Tensor) else 0.0 if across is None else across
    pairs = [torch.as_tensor(x, dtype=torch.float64) for x in (positions, across)]
    single = [torch.as_tensor(x, dtype=torch.float64) for x in (square, mean, samples)]
    bins = max(x.numel() if x.dim() == 1 else len(x) if x.dim() else 1 for x in (*single, *pairs))
    return Spread(*(x.expand(bins) for x in single), *(x.expand(bins, bins) for x in pairs))


@dataclass(frozen=True)
class Bins:
    """The positions of a sequence of which each sees those before it, in bins of growing size.

    Attributes:
        ends: the last position of every bin, counted from 1.
        causal: position t sees the positions up to t; else all see all.
    """

    ends: tuple[int, ...]
    causal: bool = True

    @classmethod
    def of(cls, length: int) -> "Bins":
        """Two bins an octave."""
        ends, at = [], 1.0
        while at < length:
            ends.append(round(at))
            at *= 2**0.5
        return cls(tuple(sorted({*ends, length})))

    @cached_property
    def counts(self) -> Tensor:
        """How many positions are in every bin."""
        ends = torch.tensor([0, *self.ends], dtype=torch.float64)
        return ends.diff()

    @cached_property
    def seen(self) -> Tensor:
        """How many positions a query sees, the middle of its bin; `[bins]`."""
        ends = torch.tensor(self.ends, dtype=torch.float64)
        return ends - (self.counts - 1) / 2 if self.causal else ends[-1].expand(len(ends))

    @cached_property
    def shares(self) -> Tensor:
        """The share of what a query of bin i sees that lies in bin k; `[i, k]`, rows add up to 1."""
        if not self.causal:
            return (self.counts / self.counts.sum()).expand(len(self.ends), -1)
        own = (self.counts + 1) / 2
        table = torch.tril(self.counts.expand(len(self.ends), -1), -1) + torch.diag(own)
        return table / table.sum(1, keepdim=True)

    def average(self, x: Tensor) -> float:
        """The mean over positions of something by bins."""
        return float((x * self.counts).sum() / self.counts.sum()) if len(x) == len(self.ends) else float(x.mean())


_Z, _WEIGHT = normal_rule()
_LOG_S = torch.linspace(-25.0, 12.0, 400, dtype=torch.float64)
_KNOWN: dict[tuple[int, int], tuple[float, float]] = {}


def softmax_sums(variance: float, n: float) -> tuple[float, float]:
    r"""$A = \mathbb{E} \sum_i a_i^2$ and $B = \mathbb{E} \sum_i a_i^2 (1 - 2 a_i + \sum_j a_j^2)$ of a softmax a.

    Over n independent normal logits of this variance; A is 1 / n and B $(1 - 1/n) / n$ where it is 0. Exact: with
    $x^{-m} = \int_0^\infty s^{m-1} e^{-s x} ds / (m - 1)!$ for the sum below the line and
    $M_k = \mathbb{E}[e^{k z} e^{-s e^z}]$, for instance $A = n \int s\, M_2 M_0^{n - 1} ds$, by quadrature. B is what
    the gradient of logits keeps of that of the weights, whose mean it loses.
    """
    if n <= 1:
        return 1.0, 0.0
    key = (round(200 * min(variance, 25.0) ** 0.5), round(2 * n))
    if key not in _KNOWN:
        term = exp(-((key[0] / 200) ** 2) / 2) * (_Z * (key[0] / 200)).exp()  # of mean 1
        s, n = _LOG_S.exp(), key[1] / 2
        kernel = (-s[:, None] * term).exp() * _WEIGHT
        none, two, three, four = (kernel @ term**k for k in (0, 2, 3, 4))
        others = none.clamp_min(1e-300) ** (n - 1)
        two_others = none.clamp_min(1e-300) ** max(n - 2, 0.0)
        square, cube, both = (
            float(torch.trapezoid(s**m * moment, _LOG_S))
            for m, moment in (
                (2, n * two * others),
                (3, n * three * others / 2),
                (4, (n * four * others + n * (n - 1) * two.square() * two_others) / 6),
            )
        )
        square = min(max(square, 1 / n), 1.0)
        _KNOWN[key] = square, max(square - 2 * cube + both, 0.0)
    return _KNOWN[key]
