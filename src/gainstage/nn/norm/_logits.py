"""What keeps the logits of attention in range: normalized queries and keys, and a soft cap."""

import torch
from torch import Tensor, nn

from gainstage.nn._errors import LayerError
from gainstage.nn._leaf import Leaf
from gainstage.nn.norm._axes import upcast
from gainstage.nn.norm._rms import RMSNorm


class QKNorm(Leaf, nn.Module):
    r"""Root mean square normalization of the queries and keys of each head, so that attention cannot blow up.

    $$ q' = \frac{q}{\sqrt{\frac1d \sum_i q_i^2 + \epsilon}}\,\gamma_q, \qquad
       k' = \frac{k}{\sqrt{\frac1d \sum_i k_i^2 + \epsilon}}\,\gamma_k $$

    By the Cauchy-Schwarz inequality $|q'^\top k'| \le d\, \max|\gamma_q| \max|\gamma_k|$, so that the logits
    $q'^\top k' / \sqrt d$ are within $\pm \sqrt d$ at the start, whatever the projections are.

    Args:
        head_dim: $d$, size of a head: the last axis of both.
        eps: added to the mean square; the rounding unit of the statistics' dtype by default.
        elementwise_affine: learn $\gamma_q$ and $\gamma_k$, shared by the heads.

    Example:
        >>> q, k = QKNorm(64)(100 * torch.randn(2, 8, 10, 64), torch.randn(2, 2, 10, 64))
        >>> q.shape, k.shape, bool((q[:, :2] @ k.mT / 8).abs().max() <= 8)
        (torch.Size([2, 8, 10, 64]), torch.Size([2, 2, 10, 64]), True)

    References:
        Henry, Dachapally, Pawar, Chen, *Query-Key Normalization for Transformers*, Findings of EMNLP 2020.
        Dehghani et al., *Scaling Vision Transformers to 22 Billion Parameters*, ICML 2023.
    """

    def __init__(
        self,
        head_dim: int,
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.num_features = head_dim
        self.q = RMSNorm(head_dim, eps, elementwise_affine, device, dtype)
        self.k = RMSNorm(head_dim, eps, elementwise_affine, device, dtype)

    def forward(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        """Queries and keys, `[..., head_dim]` each, kept."""
        return self.q(q), self.k(k)


def soft_cap(x: Tensor, cap: float) -> Tensor:
    r"""Logits bent to within plus and minus `cap`.

    $$ y = c \tanh(x / c) $$

    Args:
        x: logits of any shape.
        cap: $c > 0$; Gemma 2 takes 50 for attention and 30 for the output.

    Returns:
        A tensor like `x`.

    Raises:
        LayerError: `cap` is not a number above 0.

    Example:
        >>> soft_cap(torch.tensor([0.1, 1000.0]), 50.0)
        tensor([ 0.1000, 50.0000])

    References:
        Gemma Team, *Gemma 2: Improving Open Language Models at a Practical Size*, 2024, section 2.
    """
    return (_positive(cap) * torch.tanh(upcast(x) / cap)).to(x.dtype)


class SoftCap(Leaf, nn.Module):
    r"""Logits bent to within plus and minus `cap`; see `soft_cap`.

    $$ y = c \tanh(x / c) $$

    Args:
        cap: $c > 0$.

    Raises:
        LayerError: `cap` is not a number above 0.

    Example:
        >>> SoftCap(30.0)(torch.tensor([-1000.0, 0.0])).tolist()
        [-30.0, 0.0]
    """

    def __init__(self, cap: float) -> None:
        super().__init__()
        self.cap = _positive(cap)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape, kept."""
        return soft_cap(x, self.cap)

    def extra_repr(self) -> str:
        """The cap."""
        return f"cap={self.cap:g}"


def _positive(cap: float) -> float:
    if not 0 < cap < float("inf"):
        raise LayerError(f"cap is {cap}: expected the largest logit that may come out, a number above 0, such as 50.0")
    return cap
