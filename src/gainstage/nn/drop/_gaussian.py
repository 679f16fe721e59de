"""Gaussian noise: multiplied, as strong as dropout, or added."""

from math import sqrt

import torch
from torch import Tensor, nn

from gainstage.nn._errors import LayerError
from gainstage.nn._leaf import Leaf
from gainstage.nn.drop._mask import Drop, on_device, rate


def gaussian_dropout(
    x: Tensor, p: float = 0.5, training: bool = True, *, generator: torch.Generator | None = None
) -> Tensor:
    r"""Multiply each entry by a normal number of mean 1 and the variance that dropout of rate `p` has.

    $$ y_i = x_i\,(1 + \sigma \epsilon_i), \qquad \epsilon_i \sim N(0, 1), \quad \sigma^2 = \frac{p}{1 - p} $$

    Args:
        x: of any shape and floating dtype.
        p: the rate of the dropout whose mean and variance it has, 0 to below 1.
        training: `False` returns `x`.
        generator: where the random numbers come from, on the device of `x`; torch's own by default.

    Returns:
        A tensor like `x`.

    Raises:
        LayerError: `p` is not within 0 to below 1, or the generator is on another device.

    Example:
        >>> y = gaussian_dropout(torch.ones(100_000), 0.2, generator=torch.Generator().manual_seed(0))
        >>> abs(y.mean().item() - 1) < 0.01, abs(y.var().item() - 0.25) < 0.01
        (True, True)

    References:
        Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov, *Dropout*, JMLR 2014, section 10.
    """
    std = _std(p)
    return x if not training or p == 0 else x * (1 + std * _normal(x, generator)).to(x.dtype)


class GaussianDropout(Drop):
    r"""Keras' `GaussianDropout`; see `gaussian_dropout`.

    $$ y_i = x_i\,(1 + \sigma \epsilon_i), \qquad \sigma^2 = \frac{p}{1 - p} $$

    Args:
        p: the rate of the dropout whose mean and variance it has, 0 to below 1.
        generator: where the random numbers come from; torch's own by default.

    Raises:
        LayerError: `p` is not within 0 to below 1.

    Example:
        >>> GaussianDropout(0.1).eval()(torch.ones(3))
        tensor([1., 1., 1.])
    """

    def __init__(self, p: float = 0.5, *, generator: torch.Generator | None = None) -> None:
        super().__init__(p, generator=generator)
        _std(p)

    def forward(self, x: Tensor) -> Tensor:
        """`x` times noise, in training."""
        return gaussian_dropout(x, self.p, self.training, generator=self.generator)


class GaussianNoise(Leaf, nn.Module):
    r"""Keras' `GaussianNoise`: normal noise added while training.

    $$ y_i = x_i + \sigma \epsilon_i, \qquad \epsilon_i \sim N(0, 1) $$

    Args:
        std: $\sigma \ge 0$, in the units of the input.
        generator: where the random numbers come from; torch's own by default.

    Raises:
        LayerError: `std` is not a finite number from 0 on.

    Example:
        >>> layer = GaussianNoise(0.1, generator=torch.Generator().manual_seed(0))
        >>> round(layer(torch.zeros(100_000)).std().item(), 2), layer.eval()(torch.ones(2)).tolist()
        (0.1, [1.0, 1.0])

    References:
        Bishop, *Training with Noise is Equivalent to Tikhonov Regularization*, Neural Computation 1995.
    """

    def __init__(self, std: float, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        if not 0 <= std < float("inf"):
            raise LayerError(f"std is {std}: expected a finite standard deviation from 0 on")
        self.std, self.generator = std, generator

    def forward(self, x: Tensor) -> Tensor:
        """`x` with noise, in training."""
        if not self.training or self.std == 0:
            return x
        return x + (self.std * _normal(x, self.generator)).to(x.dtype)

    def extra_repr(self) -> str:
        """The standard deviation."""
        return f"std={self.std:g}"


def _std(p: float) -> float:
    if rate(p) == 1:
        raise LayerError("p is 1: noise of variance p / (1 - p) has no value there. Use a p below 1.")
    return sqrt(p / (1 - p))


def _normal(x: Tensor, generator: torch.Generator | None) -> Tensor:
    """Normal numbers like `x`, in float32 for half precision."""
    on_device(generator, x)
    dtype = torch.float32 if x.dtype in (torch.float16, torch.bfloat16) else x.dtype
    if generator is None:
        return torch.randn_like(x, dtype=dtype)
    return torch.empty_like(x, dtype=dtype).normal_(generator=generator)
