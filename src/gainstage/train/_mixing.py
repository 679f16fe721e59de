"""What mixup and cutmix share: the share that is kept, and who is mixed with whom."""

from math import pi
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten_with_path, tree_leaves, tree_map, tree_structure

from gainstage.train._errors import TrainError

Per = Literal["batch", "pair", "element"]


def symmetric_beta(alpha: float, shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    r"""Beta(alpha, alpha) numbers in float64, exact for every alpha > 0, from two uniform numbers each.

    $\lambda = \frac12 \left(1 + \cos(2 \pi V) / \sqrt{\cos^2(2 \pi V) + (U^{-1/\alpha} - 1)^{-1}}\right)$: Bailey's
    polar method for Student's t (1994), mapped to the beta distribution (Devroye 1996).
    """
    if not alpha > 0:
        raise TrainError(f"alpha is {alpha}: expected a number above 0. Use Mixer(..., stop_epoch=0) to mix nothing.")
    device = "cpu" if generator is None else generator.device
    u, v = (1 - torch.rand((2, *shape), dtype=torch.float64, device=device, generator=generator)).unbind()
    cos, rest = torch.cos(2 * pi * v), torch.expm1(-u.log() / alpha)
    return (1 + cos / torch.sqrt(cos.square() + 1 / rest)) / 2


def partners(n: int, per: Per, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """Whom each sample is mixed with, and the number of the draw (of lam, of the box) that it uses.

    Nobody is mixed with itself. `per="pair"` mixes two with each other, and where n is odd the last with the first;
    otherwise the samples form one ring in random order.
    """
    device = "cpu" if generator is None else generator.device
    order = torch.randperm(n, generator=generator, device=device)
    partner, draw = torch.empty_like(order), torch.zeros_like(order)
    if per == "pair":
        even, odd = order[0::2], order[1::2]
        partner[even[: len(odd)]], partner[odd] = odd, even[: len(odd)]
        partner[even[len(odd) :]] = order[:1]
        draw[even], draw[odd] = torch.arange(len(even), device=device), torch.arange(len(odd), device=device)
    else:
        partner[order] = order.roll(1)
        draw = draw if per == "batch" else torch.arange(n, device=device)
    return partner, draw


def batch_size(x: Any, y: Any, others: Any, per: Per) -> int:
    """The common first dimension of all tensors; teaches where there is none."""
    if per not in get_args(Per):
        raise TrainError(f"per is {per!r}: expected 'batch', 'pair' or 'element'.")
    sizes = {
        f"{part}{''.join(str(key) for key in path)}": leaf.shape[0] if leaf.dim() else None
        for part, tree in (("x", x), ("y", y))
        for path, leaf in tree_flatten_with_path(tree)[0]
        if isinstance(leaf, Tensor)
    }
    if not tensors(x):
        raise TrainError("x holds no tensor: expected a tensor, or a dict, tuple or list of tensors [n, ...].")
    if None in sizes.values() or len(set(sizes.values())) > 1:
        found = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise TrainError(f"the tensors differ in their first dimension, the number of samples: {found}.")
    n = next(iter(sizes.values()))
    assert n is not None
    if n < 2 and others is None:
        raise TrainError(
            f"a batch of {n} has no other sample to mix with. Give others=(x, y) of an earlier batch, or use Mixer, "
            "which remembers one."
        )
    return n


def tensors(tree: Any) -> list[Tensor]:
    """The tensors of a batch."""
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def take(tree: Any, index: Tensor) -> Any:
    """The samples `index` of every tensor."""
    return tree_map(lambda leaf: leaf[index.to(leaf.device)] if isinstance(leaf, Tensor) else leaf, tree)


def mixed_in(x: Any, y: Any, others: tuple[Any, Any] | None, partner: Tensor) -> tuple[Any, Any]:
    """The samples that each is mixed with: of the same batch, or `others` as they come."""
    if others is None:
        return take(x, partner), take(y, partner)
    if not alike((x, y), others):
        raise TrainError(
            "others differs from the batch in structure or in the shape of a tensor: expected (x, y) like it."
        )
    return others


def alike(a: Any, b: Any) -> bool:
    """Whether two trees have the same structure and shapes."""
    shapes = [tree_map(lambda leaf: str(leaf.shape) if isinstance(leaf, Tensor) else "", tree) for tree in (a, b)]
    return bool(tree_structure(a) == tree_structure(b) and tree_leaves(shapes[0]) == tree_leaves(shapes[1]))


def blend(a: Tensor, b: Tensor, lam: Tensor) -> Tensor:
    """`lam a + (1 - lam) b` along the first dimension, in float32 at least: bfloat16 would round the share."""
    exact = torch.promote_types(a.dtype, torch.float32)
    share = lam.to(a.device, torch.float64 if a.dtype in (torch.float64, torch.complex128) else torch.float32)
    share = share.view(-1, *[1] * (a.dim() - 1)) if share.dim() else share
    return (share * a.to(exact) + (1 - share) * b.to(exact)).to(a.dtype)
