"""mixup: convex combinations of samples."""

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import keystr, tree_map, tree_map_with_path

from gainstage.train._errors import TrainError
from gainstage.train._mixed import Mixed
from gainstage.train._mixing import Per, batch_size, blend, mixed_in, partners, symmetric_beta, tensors


def mixup(
    x: Any,
    y: Any,
    alpha: float = 1.0,
    *,
    per: Per = "batch",
    others: tuple[Any, Any] | None = None,
    generator: torch.Generator | None = None,
) -> tuple[Any, Mixed]:
    r"""Mix each sample with another one.

    $$ \tilde x_i = \lambda x_i + (1 - \lambda) x_{\pi(i)}, \qquad \lambda \sim \text{Beta}(\alpha, \alpha) $$

    Nothing is changed in place, and nobody is mixed with itself.

    Args:
        x: floating `[n, ...]` of any shape: vectors, sequences, images, volumes; or a dict, tuple or list of such,
            which are mixed alike. What is no tensor is passed on.
        y: targets of any kind, a tensor `[n, ...]` or a dict, tuple or list of such; `None` if there are none.
        alpha: above 0. Small values leave most samples nearly as they are, 1 draws $\lambda$ uniformly.
        per: one $\lambda$ for the `"batch"`, for each `"pair"` (two samples mixed with each other), or for each
            `"element"`.
        others: `(x, y)` like the batch, to mix with instead of with samples of the batch itself.
        generator: where the random numbers come from; torch's own on the CPU by default.

    Returns:
        The mixed samples, and `Mixed(y_a, y_b, lam)`.

    Raises:
        TrainError: a tensor of `x` is not floating, sizes differ, or a batch of 1 has nobody to mix with.

    Example:
        >>> x, y = torch.eye(3), torch.tensor([0, 1, 2])
        >>> mixed, (y_a, y_b, lam) = mixup(x, y, generator=torch.Generator().manual_seed(0))
        >>> torch.allclose(mixed, lam * x[y_a] + (1 - lam) * x[y_b])
        True

    References:
        Zhang, Cisse, Dauphin, Lopez-Paz, *mixup: Beyond Empirical Risk Minimization*, ICLR 2018.
    """
    n = batch_size(x, y, others, per)
    tree_map_with_path(_mixable, x)
    partner, draw = partners(n, per, generator)
    lam = symmetric_beta(alpha, (int(draw.max()) + 1,), generator)[draw]
    lam = (lam[0] if per == "batch" else lam).float()
    x_b, y_b = mixed_in(x, y, others, partner)
    mixed = tree_map(lambda a, b: blend(a, b, lam) if isinstance(a, Tensor) else a, x, x_b)
    return mixed, Mixed(y, y_b, lam.to(tensors(x)[0].device))


def _mixable(path: Any, leaf: Any) -> None:
    if isinstance(leaf, Tensor) and not (leaf.is_floating_point() or leaf.is_complex()):
        raise TrainError(
            f"x{keystr(path)} is {leaf.dtype} and has no mean with another sample. Convert images with x.float(), mix "
            "embeddings instead of ids, leave masks out, or use cutmix."
        )
