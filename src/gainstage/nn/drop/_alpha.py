"""Alpha dropout: dropping that keeps mean 0 and variance 1."""

from math import sqrt

import torch
from torch import Tensor

from gainstage.nn.drop._mask import Drop, drop_mask, rate

_DROPPED = -1.7580993408473766  # SELU's limit at minus infinity: -scale * alpha


def alpha_dropout(
    x: Tensor, p: float = 0.5, training: bool = True, *, generator: torch.Generator | None = None
) -> Tensor:
    r"""Set each entry to SELU's negative limit with probability `p`, then scale and shift.

    $$ y = a\,(m x + (1 - m)\,\alpha') + b, \quad
       a = \frac{1}{\sqrt{(1 - p)(1 + p \alpha'^2)}}, \quad b = -a p \alpha', \quad \alpha' = -1.7581 $$

    An input of mean 0 and variance 1, as SELU makes it, comes out with mean 0 and variance 1.

    Args:
        x: of any shape and floating dtype.
        p: the probability of dropping, 0 to 1. 1 gives zeros.
        training: `False` returns `x`.
        generator: where the random numbers come from, on the device of `x`; torch's own by default.

    Returns:
        A tensor like `x`.

    Raises:
        LayerError: `p` is not within 0 to 1, or the generator is on another device.

    Example:
        >>> x = torch.randn(100_000, generator=torch.Generator().manual_seed(0))
        >>> y = alpha_dropout(x, 0.2, generator=torch.Generator().manual_seed(1))
        >>> abs(y.mean().item()) < 0.02, abs(y.var().item() - 1) < 0.02
        (True, True)

    References:
        Klambauer, Unterthiner, Mayr, Hochreiter, *Self-Normalizing Neural Networks*, NeurIPS 2017.
    """
    rate(p)
    if not training or p == 0:
        return x
    dropped = drop_mask(x, x.shape, p, generator)
    if p == 1:
        return torch.where(dropped, 0.0, x)
    a = 1 / sqrt((1 - p) * (1 + p * _DROPPED**2))
    return torch.where(dropped, a * (1 - p) * _DROPPED, a * x - a * p * _DROPPED)


class AlphaDropout(Drop):
    r"""`torch.nn.AlphaDropout` with a generator; see `alpha_dropout`.

    $$ y = a\,(m x + (1 - m)\,\alpha') + b $$

    Args:
        p: the probability of dropping, 0 to 1.
        generator: where the random numbers come from; torch's own by default.

    Example:
        >>> AlphaDropout(0.1).eval()(torch.ones(3))
        tensor([1., 1., 1.])
    """

    def __init__(self, p: float = 0.5, *, generator: torch.Generator | None = None) -> None:
        super().__init__(p, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """`x` with entries dropped, in training."""
        return alpha_dropout(x, self.p, self.training, generator=self.generator)
