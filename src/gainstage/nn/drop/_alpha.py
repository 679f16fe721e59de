"""Alpha dropout: dropping that keeps mean 0 and variance 1."""

from math import sqrt

import torch
from torch import Tensor

from gainstage.nn._errors import LayerInputError
from gainstage.nn.drop._mask import Drop, drop, drop_mask, rate

_DROPPED = -1.7580993408473766  # SELU's limit at minus infinity: -scale * alpha


def alpha_dropout(
    x: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    features: bool = False,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Set each entry to SELU's negative limit with probability `p`, then scale and shift.

    $$ y = a\,(m x + (1 - m)\,\alpha') + b, \quad
       a = \frac{1}{\sqrt{(1 - p)(1 + p \alpha'^2)}}, \quad b = -a p \alpha', \quad \alpha' = -1.7581 $$

    An input of mean 0 and variance 1, as SELU makes it, comes out with mean 0 and variance 1.

    Args:
        x: of any shape and floating dtype.
        p: the probability of dropping, 0 to 1. 1 gives zeros.
        training: `False` returns `x`.
        inplace: write into `x` and return it.
        features: drop whole channels of `[n, channels, ...]`, which share one draw.
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
    if features and x.dim() < 2:
        raise LayerInputError(f"the input has shape {tuple(x.shape)}; to drop channels it is [n, channels, ...].")
    shape = (*x.shape[:2], *[1] * (x.dim() - 2)) if features else x.shape
    dropped = drop_mask(x, shape, p, generator)
    if p == 1:
        return drop(x, dropped, p, inplace=inplace)
    a = 1 / sqrt((1 - p) * (1 + p * _DROPPED**2))
    if inplace:
        return x.mul_(a).sub_(a * p * _DROPPED).masked_fill_(dropped, a * (1 - p) * _DROPPED)
    return torch.where(dropped, a * (1 - p) * _DROPPED, a * x - a * p * _DROPPED)


class AlphaDropout(Drop):
    r"""`torch.nn.AlphaDropout` with a generator; see `alpha_dropout`.

    $$ y = a\,(m x + (1 - m)\,\alpha') + b $$

    Args:
        p: the probability of dropping, 0 to 1.
        inplace: write into the input and return it.
        generator: where the random numbers come from; torch's own by default.

    Example:
        >>> AlphaDropout(0.1).eval()(torch.ones(3))
        tensor([1., 1., 1.])
    """

    _features = False

    def __init__(self, p: float = 0.5, inplace: bool = False, *, generator: torch.Generator | None = None) -> None:
        super().__init__(p, inplace=inplace, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """`x` with entries dropped, in training."""
        how = {"features": self._features, "generator": self.generator}
        return alpha_dropout(x, self.p, self.training, self.inplace, **how)  # type: ignore[arg-type]


class FeatureAlphaDropout(AlphaDropout):
    r"""`torch.nn.FeatureAlphaDropout` with a generator: alpha dropout of whole channels of `[n, channels, ...]`.

    $$ y_{nc\cdot} = a\,(m_{nc}\, x_{nc\cdot} + (1 - m_{nc})\,\alpha') + b $$

    Args:
        p: the probability of dropping, 0 to 1.
        inplace: write into the input and return it.
        generator: where the random numbers come from; torch's own by default.

    Example:
        >>> FeatureAlphaDropout(0.5)(torch.ones(8, 4, 5)).shape
        torch.Size([8, 4, 5])
    """

    _features = True
