"""Spatial dropout: whole channels."""

from typing import ClassVar

import torch
from torch import Tensor

from gainstage.nn._errors import LayerInputError
from gainstage.nn.drop._mask import Drop, drop, drop_mask, rate


def spatial_dropout(
    x: Tensor,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    dims: int = 2,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Set each channel of each sample to 0 with probability `p` and scale the others.

    $$ y_{nc\cdot} = \frac{m_{nc}\, x_{nc\cdot}}{1 - p}, \qquad m_{nc} \sim \text{Bernoulli}(1 - p) $$

    Neighbouring pixels carry nearly the same signal, so that dropping single ones hides little.

    Args:
        x: `[n, channels, *spatial]` or, without a batch, `[channels, *spatial]`.
        p: the probability of dropping, 0 to 1.
        training: `False` returns `x`.
        inplace: write into `x` and return it.
        dims: number of spatial dimensions.
        generator: where the random numbers come from, on the device of `x`; torch's own by default.

    Returns:
        A tensor like `x`.

    Raises:
        LayerError: `p` is not within 0 to 1, or `x` has another number of dimensions.

    Example:
        >>> y = spatial_dropout(torch.ones(1, 4, 2), 0.5, dims=1, generator=torch.Generator().manual_seed(0))
        >>> y[0].tolist()
        [[0.0, 0.0], [2.0, 2.0], [0.0, 0.0], [0.0, 0.0]]

    References:
        Tompson, Goroshin, Jain, LeCun, Bregler, *Efficient Object Localization Using Convolutional Networks*,
        CVPR 2015.
    """
    rate(p)
    check_layout(x, dims)
    if not training or p == 0:
        return x
    shape = (*x.shape[: x.dim() - dims], *[1] * dims)
    return drop(x, drop_mask(x, shape, p, generator), p, inplace=inplace)


def check_layout(x: Tensor, dims: int) -> None:
    """Raise unless `x` is `[n, channels, *spatial]` or `[channels, *spatial]`."""
    if x.dim() not in (dims + 1, dims + 2):
        spatial = ", ".join(("depth", "height", "width")[-dims:]) if dims > 1 else "length"
        raise LayerInputError(
            f"the input has shape {tuple(x.shape)}; with {dims} spatial dimension{'s' * (dims > 1)} it is "
            f"[n, channels, {spatial}], or without the batch [channels, {spatial}]."
        )


class _SpatialDropout(Drop):
    dims: ClassVar[int]

    def __init__(self, p: float = 0.5, inplace: bool = False, *, generator: torch.Generator | None = None) -> None:
        super().__init__(p, inplace=inplace, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """`x` with channels dropped, in training."""
        return spatial_dropout(x, self.p, self.training, self.inplace, dims=self.dims, generator=self.generator)


class SpatialDropout1d(_SpatialDropout):
    """`spatial_dropout` of whole channels of `[n, channels, length]`.

    Args:
        p: the probability of dropping, 0 to 1.
        inplace: write into the input and return it.
        generator: where the random numbers come from; torch's own by default.

    Example:
        >>> SpatialDropout1d(0.5)(torch.ones(8, 4, 10)).shape
        torch.Size([8, 4, 10])
    """

    dims = 1


class SpatialDropout2d(_SpatialDropout):
    """`spatial_dropout` of whole channels of `[n, channels, height, width]`.

    Args:
        p: the probability of dropping, 0 to 1.
        inplace: write into the input and return it.
        generator: where the random numbers come from; torch's own by default.

    Example:
        >>> SpatialDropout2d(0.5)(torch.ones(8, 4, 5, 5)).shape
        torch.Size([8, 4, 5, 5])
    """

    dims = 2


class SpatialDropout3d(_SpatialDropout):
    """`spatial_dropout` of whole channels of `[n, channels, depth, height, width]`.

    Args:
        p: the probability of dropping, 0 to 1.
        inplace: write into the input and return it.
        generator: where the random numbers come from; torch's own by default.

    Example:
        >>> SpatialDropout3d(0.5)(torch.ones(8, 4, 3, 5, 5)).shape
        torch.Size([8, 4, 3, 5, 5])
    """

    dims = 3


class Dropout1d(SpatialDropout1d):
    """`SpatialDropout1d` under torch's name, `torch.nn.Dropout1d` with a generator.

    Args:
        p: the probability of dropping, 0 to 1.
        inplace: write into the input and return it.
        generator: where the random numbers come from; torch's own by default.

    Example:
        >>> Dropout1d(0.5)(torch.ones(8, 4, 10)).shape
        torch.Size([8, 4, 10])
    """


class Dropout2d(SpatialDropout2d):
    """`SpatialDropout2d` under torch's name, `torch.nn.Dropout2d` with a generator.

    As in torch an input of three axes is `[n, channels, length]`, where `SpatialDropout2d` takes it for an image
    without a batch.

    Args:
        p: the probability of dropping, 0 to 1.
        inplace: write into the input and return it.
        generator: where the random numbers come from; torch's own by default.

    Example:
        >>> Dropout2d(0.5)(torch.ones(8, 4, 5, 5)).shape
        torch.Size([8, 4, 5, 5])
    """

    def forward(self, x: Tensor) -> Tensor:
        """`x` with channels dropped, in training."""
        dims = 1 if x.dim() == 3 else 2
        return spatial_dropout(x, self.p, self.training, self.inplace, dims=dims, generator=self.generator)


class Dropout3d(SpatialDropout3d):
    """`SpatialDropout3d` under torch's name, `torch.nn.Dropout3d` with a generator.

    Args:
        p: the probability of dropping, 0 to 1.
        inplace: write into the input and return it.
        generator: where the random numbers come from; torch's own by default.

    Example:
        >>> Dropout3d(0.5)(torch.ones(8, 4, 3, 5, 5)).shape
        torch.Size([8, 4, 3, 5, 5])
    """
