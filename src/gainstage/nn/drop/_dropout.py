"""Dropout: every entry on its own."""

import torch
import torch.nn.functional as F
from torch import Tensor

from gainstage.nn.drop._mask import Drop, drop, drop_mask, rate


def dropout(
    x: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Set each entry to 0 with probability `p` and scale the others, so that the expectation stays.

    $$ y_i = \frac{m_i x_i}{1 - p}, \qquad m_i \sim \text{Bernoulli}(1 - p) $$

    Without a generator this is torch's fused kernel.

    Args:
        x: of any shape and floating or complex dtype.
        p: the probability of dropping, 0 to 1. 1 gives zeros, also where `x` is not finite.
        training: `False` returns `x`.
        inplace: write into `x` and return it.
        generator: where the random numbers come from, on the device of `x`; torch's own by default.

    Returns:
        A tensor like `x`.

    Raises:
        LayerError: `p` is not within 0 to 1, or the generator is on another device.

    Example:
        >>> dropout(torch.ones(6), 0.5, generator=torch.Generator().manual_seed(0))
        tensor([0., 2., 0., 0., 0., 2.])

    References:
        Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov, *Dropout: A Simple Way to Prevent Neural Networks
        from Overfitting*, JMLR 2014.
    """
    rate(p)
    if not training or p == 0:
        return x
    if generator is None and p < 1:
        return F.dropout(x, p, True, inplace)
    return drop(x, drop_mask(x, x.shape, p, generator), p, inplace=inplace)


class Dropout(Drop):
    r"""`torch.nn.Dropout` with a generator; see `dropout`.

    $$ y_i = \frac{m_i x_i}{1 - p}, \qquad m_i \sim \text{Bernoulli}(1 - p) $$

    Args:
        p: the probability of dropping, 0 to 1.
        inplace: write into the input and return it.
        generator: where the random numbers come from; torch's own by default. A copy or a pickle of the layer has a
            generator of its own that goes on from the same state.

    Example:
        >>> Dropout(0.9).eval()(torch.ones(3))
        tensor([1., 1., 1.])
    """

    def __init__(self, p: float = 0.5, inplace: bool = False, *, generator: torch.Generator | None = None) -> None:
        super().__init__(p, inplace=inplace, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """`x` with entries dropped, in training."""
        return dropout(x, self.p, self.training, self.inplace, generator=self.generator)
