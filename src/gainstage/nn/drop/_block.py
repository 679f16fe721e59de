"""DropBlock at the rate that was asked for, at every position alike."""

from collections.abc import Sequence
from math import expm1, log1p, prod
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from gainstage.nn._errors import LayerError
from gainstage.nn._layout import laid_out_like
from gainstage.nn.drop._mask import Drop, drop, drop_mask, rate
from gainstage.nn.drop._spatial import check_layout

_POOL = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}


def seed_rate(p: float, block_size: Sequence[int]) -> float:
    r"""The probability $\gamma$ that a block starts at a position, so that a share `p` of the map is dropped.

    $$ 1 - (1 - \gamma)^{\prod_i b_i} = p $$

    Blocks overlap, which the first-order formula of the paper, $\gamma = p / b^d$, leaves out, and they start outside
    the map too, so that every position lies under $\prod_i b_i$ possible blocks. The result is exact for every size.

    Args:
        p: the share to drop, 0 to 1.
        block_size: edge lengths of a block.

    Returns:
        A number from 0 to 1.

    Example:
        >>> round(seed_rate(0.1, (7, 7)), 6), round(1 - (1 - seed_rate(0.1, (7, 7))) ** 49, 6)
        (0.002148, 0.1)
    """
    return 1.0 if p == 1 else -expm1(log1p(-p) / prod(block_size))


def drop_block(
    x: Tensor,
    p: float,
    block_size: int | Sequence[int],
    training: bool = True,
    *,
    dims: int = 2,
    couple_channels: bool = False,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Set blocks of each channel to 0, so that every position is dropped with probability `p`; scale the rest.

    $$ y_i = \frac{m_i x_i}{1 - p}, \qquad P(m_i = 0) = 1 - (1 - \gamma)^{b^d} = p \ \text{ for every position } i $$

    Blocks start inside and up to $b - 1$ before the map, and are cut off at its border: corners are dropped as often
    as the centre. The scale is that of the *expected* share kept, 1 - p, which makes $E[y] = x$ at every position;
    the share of one draw scatters around it, and a map that is dropped whole gives zeros.

    Args:
        x: `[n, channels, *spatial]` or, without a batch, `[channels, *spatial]`.
        p: the probability of dropping, 0 to 1.
        block_size: edge of a block, or one for each spatial dimension. It may be larger than the map.
        training: `False` returns `x`.
        dims: number of spatial dimensions, 1 to 3.
        couple_channels: draw one mask for all channels of a sample; they are drawn independently by default.
        generator: where the random numbers come from, on the device of `x`; torch's own by default.

    Returns:
        A tensor like `x`.

    Raises:
        LayerError: `p` is not within 0 to 1, a block has no extent, or `x` has another number of dimensions.

    Example:
        >>> y = drop_block(torch.ones(1, 1, 8), 0.5, 3, dims=1, generator=torch.Generator().manual_seed(1))
        >>> y.flatten().tolist()
        [2.0, 2.0, 0.0, 0.0, 0.0, 2.0, 2.0, 2.0]

    References:
        Ghiasi, Lin, Le, *DropBlock: A Regularization Method for Convolutional Networks*, NeurIPS 2018.
    """
    rate(p)
    check_layout(x, dims)
    blocks = _blocks(block_size, dims)
    if not training or p == 0 or x.numel() == 0:
        return x
    lead, spatial = tuple(x.shape[: x.dim() - dims]), x.shape[x.dim() - dims :]
    if couple_channels:
        lead = (*lead[:-1], 1)
    if p == 1 or prod(blocks) == 1:
        return drop(x, drop_mask(x, (*lead, *spatial), p, generator), p)
    starts = [length + block - 1 for length, block in zip(spatial, blocks, strict=True)]
    seeds = drop_mask(x, (*lead, *starts), seed_rate(p, blocks), generator)
    return drop(x, laid_out_like(x, _cover(seeds.to(torch.float32), blocks) > 0), p)


def _cover(seeds: Tensor, blocks: Sequence[int]) -> Tensor:
    """1 where a block covers: the largest seed of the last `block` starts, one dimension after the other."""
    dims = len(blocks)
    for dim, block in enumerate(blocks):
        window = [1] * dims
        window[dim] = block
        if block > 1:
            seeds = _POOL[dims](seeds, window, stride=1)
    return seeds


def _blocks(block_size: int | Sequence[int], dims: int) -> tuple[int, ...]:
    blocks = (block_size,) * dims if isinstance(block_size, int) else tuple(block_size)
    if len(blocks) != dims or not all(isinstance(b, int) and b >= 1 for b in blocks):
        raise LayerError(f"block_size is {block_size!r}: expected a whole number from 1, or {dims} of them.")
    return blocks


class _DropBlock(Drop):
    dims: ClassVar[int]

    def __init__(
        self,
        p: float,
        block_size: int | Sequence[int],
        couple_channels: bool = False,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(p, generator=generator)
        self.block_size = _blocks(block_size, self.dims)
        self.couple_channels = couple_channels

    def forward(self, x: Tensor) -> Tensor:
        """`x` with blocks dropped, in training."""
        how = {"dims": self.dims, "couple_channels": self.couple_channels, "generator": self.generator}
        return drop_block(x, self.p, self.block_size, self.training, **how)  # type: ignore[arg-type]

    def extra_repr(self) -> str:
        """The rate and the block."""
        return f"p={self.p:g}, block_size={self.block_size}" + ", couple_channels=True" * self.couple_channels


class DropBlock1d(_DropBlock):
    """`drop_block` on `[n, channels, length]`.

    Args:
        p: the probability of dropping, 0 to 1; delivered at every position.
        block_size: length of a block.
        couple_channels: draw one mask for all channels of a sample, as timm does by default.
        generator: where the random numbers come from; torch's own by default.

    Example:
        >>> DropBlock1d(0.1, 5)(torch.ones(8, 4, 20)).shape
        torch.Size([8, 4, 20])
    """

    dims = 1


class DropBlock2d(_DropBlock):
    """`drop_block` on `[n, channels, height, width]`.

    Args:
        p: the probability of dropping, 0 to 1; delivered at every position.
        block_size: edge of a block, or (height, width).
        couple_channels: draw one mask for all channels of a sample, as timm does by default.
        generator: where the random numbers come from; torch's own by default.

    Example:
        >>> DropBlock2d(0.1, 7)(torch.ones(8, 4, 14, 14)).shape
        torch.Size([8, 4, 14, 14])
    """

    dims = 2


class DropBlock3d(_DropBlock):
    """`drop_block` on `[n, channels, depth, height, width]`.

    Args:
        p: the probability of dropping, 0 to 1; delivered at every position.
        block_size: edge of a block, or (depth, height, width).
        couple_channels: draw one mask for all channels of a sample, as timm does by default.
        generator: where the random numbers come from; torch's own by default.

    Example:
        >>> DropBlock3d(0.1, (1, 3, 3))(torch.ones(8, 4, 2, 7, 7)).shape
        torch.Size([8, 4, 2, 7, 7])
    """

    dims = 3
