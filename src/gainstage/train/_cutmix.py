"""cutmix: a box of one sample pasted into another, the labels shared by the exact number of pixels."""

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from gainstage.train._errors import TrainError
from gainstage.train._mixed import Mixed
from gainstage.train._mixing import Per, batch_size, mixed_in, partners, symmetric_beta, tensors


def cutmix(
    x: Any,
    y: Any,
    alpha: float = 1.0,
    *,
    per: Per = "batch",
    dims: Sequence[int] | None = None,
    others: tuple[Any, Any] | None = None,
    generator: torch.Generator | None = None,
) -> tuple[Any, Mixed]:
    r"""Paste a box of another sample into each sample.

    $$ \tilde x_i = M \odot x_i + (1 - M) \odot x_{\pi(i)}, \qquad \lambda = \text{mean}(M) $$

    The box has the edges $\text{round}(L_k (1 - \lambda')^{1/d})$ with $\lambda' \sim \text{Beta}(\alpha, \alpha)$, its
    centre is uniform over all positions and what lies outside is cut off. `lam` is counted afterwards: it is the exact
    share of positions that are left of the sample.

    Nothing is changed in place, and nobody is mixed with itself.

    Args:
        x: `[n, channels, *spatial]` or vectors `[n, features]`, of any dtype; or a dict, tuple or list of tensors,
            which get the same box, for instance an image and its segmentation map with `dims=(-2, -1)`.
        y: targets of any kind, a tensor `[n, ...]` or a dict, tuple or list of such; `None` if there are none.
        alpha: above 0.
        per: one box for the `"batch"`, for each `"pair"` (two samples mixed with each other), or for each `"element"`.
        dims: the dimensions that are cut; by default all from 2 on, for vectors 1. For `[n, length, features]` write
            `dims=(1,)`.
        others: `(x, y)` like the batch, to paste from instead of from samples of the batch itself.
        generator: where the random numbers come from; torch's own on the CPU by default.

    Returns:
        The mixed samples, and `Mixed(y_a, y_b, lam)`.

    Raises:
        TrainError: a dimension is missing, sizes differ, or a batch of 1 has nobody to mix with.

    Example:
        >>> x, y = torch.tensor([[0.0] * 8, [1.0] * 8]), torch.tensor([0, 1])
        >>> mixed, (y_a, y_b, lam) = cutmix(x, y, generator=torch.Generator().manual_seed(4))
        >>> mixed[0].tolist(), lam.item()
        ([1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0], 0.625)

    References:
        Yun, Han, Oh, Chun, Choe, Yoo, *CutMix: Regularization Strategy to Train Strong Classifiers with Localizable
        Features*, ICCV 2019.
    """
    n = batch_size(x, y, others, per)
    size = _size(x, dims)
    partner, draw = partners(n, per, generator)
    boxes = int(draw.max()) + 1
    kept = symmetric_beta(alpha, (boxes,), generator)
    inside: list[Tensor] = []
    for length in size:
        edge = (length * (1 - kept) ** (1 / len(size))).round().long()
        centre = torch.randint(length, (boxes,), generator=generator, device=kept.device)
        low = (centre - edge // 2)[draw, None]
        at = torch.arange(length, device=kept.device)
        inside.append((at >= low) & (at < low + edge[draw, None]))
    counts = [part.sum(1, dtype=torch.float64) for part in inside]
    lam = 1 - torch.stack(counts).prod(0) / prod(size)
    x_b, y_b = mixed_in(x, y, others, partner)
    mixed = tree_map(lambda a, b: _pasted(a, b, inside, dims) if isinstance(a, Tensor) else a, x, x_b)
    lam = (lam[0] if per == "batch" else lam).float()
    return mixed, Mixed(y, y_b, lam.to(tensors(x)[0].device))


def _cut(x: Tensor, dims: Sequence[int] | None) -> list[int]:
    """The dimensions of `x` that are cut, counted from 0."""
    if dims is None:
        return list(range(2, x.dim())) or [1]
    return [dim % x.dim() if -x.dim() <= dim < x.dim() else -1 for dim in dims]


def _size(x: Any, dims: Sequence[int] | None) -> list[int]:
    sizes = []
    for leaf in tensors(x):
        cut = _cut(leaf, dims)
        if not cut or min(cut) < 1 or max(cut) >= leaf.dim() or len(set(cut)) < len(cut):
            raise TrainError(
                f"dims={dims} does not fit a tensor of shape {tuple(leaf.shape)}: expected different dimensions from 1 "
                "on, the first being the sample. Leave other tensors out of x."
            )
        sizes.append([leaf.shape[dim] for dim in cut])
    if any(size != sizes[0] for size in sizes) or not prod(sizes[0]):
        found = ", ".join(str(tuple(leaf.shape)) for leaf in tensors(x))
        raise TrainError(
            f"one box must fit all tensors of x, of shapes {found}: give the dimensions to cut, for instance "
            "dims=(-2, -1) for an image and its map."
        )
    return sizes[0]


def _pasted(a: Tensor, b: Tensor, inside: Sequence[Tensor], dims: Sequence[int] | None) -> Tensor:
    box = torch.ones((), dtype=torch.bool, device=a.device)
    for dim, part in zip(_cut(a, dims), inside, strict=True):
        shape = [1] * a.dim()
        shape[0], shape[dim] = part.shape
        box = box & part.to(a.device).view(shape)
    return torch.where(box, b, a)
