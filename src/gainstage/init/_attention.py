"""Mimetic initialization: attention that starts as trained attention looks."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gainstage._memory import array_over

from ._errors import CannotFill
from ._fans import Fans
from ._law import Law, Shape, kind, named
from ._numbers import number, shown, whole
from ._pointwise import Normal
from ._write import draw
from .streams import Stream

_PARTS = ("q", "k", "v", "o")


@kind("mimetic")
@dataclass(frozen=True)
class Mimetic(Law):
    """One of the four square projections of an attention layer; the streams of two of them are shared."""

    part: str = ""
    heads: int = 1
    pair: str = ""
    alpha: float = 0.7
    beta: float = 0.7

    def __post_init__(self) -> None:
        if not isinstance(self.part, str) or self.part not in _PARTS:
            raise CannotFill(f"mimetic(part) is one of 'q', 'k', 'v', 'o'; got {shown(self.part)}.")
        if not isinstance(self.pair, str) or not self.pair:
            raise CannotFill("mimetic needs pair=, the name of the layer whose q and k (v and o) belong together.")
        whole("the heads of mimetic()", self.heads)
        number("the alpha of mimetic()", self.alpha, low=0)
        number("the beta of mimetic()", self.beta)

    def _check(self, shape: Shape, fans: Fans | None = None) -> None:
        if len(shape) != 2 or shape[0] != shape[1] or shape[0] % self.heads:
            raise CannotFill(
                f"{self} fills square projections whose width {self.heads} heads divide; got shape {tuple(shape)}. For "
                "packed weights write init.blocks((init.mimetic('q', ...), init.mimetic('k', ...), ...))."
            )

    def build(self, shape: Shape, fans: Fans | None, stream: Stream) -> Tensor:
        width, shared = shape[0], Stream(stream.seed, self.pair)
        out = torch.empty(width, width, dtype=torch.float32, device="cpu")
        memory = array_over(out)
        if self.part in "vo":  # W_o W_v = alpha Z - beta I
            left, right = _halves(shared.part("vo"), width, width, self.alpha, -self.beta)
            memory[:] = left if self.part == "o" else right
            return out
        rank = width // self.heads
        for head in range(self.heads):  # W_q' W_k = alpha Z + beta I, as near as the rank of a head allows
            left, right = _halves(shared.part("qk").part(head), width, rank, self.alpha, self.beta)
            memory[head * rank : (head + 1) * rank] = left.T if self.part == "q" else right
        return out


@named
def mimetic(part: str, heads: int = 1, *, pair: str, alpha: float | None = None, beta: float | None = None) -> Law:
    r"""The query, key, value or output projection of an attention layer that starts as trained ones look.

    $$ W_q^\top W_k \approx \alpha Z + \beta I \ \text{(per head)}, \qquad W_o W_v = \alpha Z - \beta I, \qquad
       Z_{ij} \sim \mathcal{N}(0, 1/d) $$

    Each product is factored by a singular value decomposition, shared evenly between its two sides; for a head, the
    leading $d / \text{heads}$ singular values are kept. The two sides must know of each other, so both draw from the
    stream of `pair` (with the seed of `fill_`) and not from their own names.

    The decomposition is gainstage's own, in sums of fixed order, so that the bits depend on the seed, `pair`, the shape
    and these arguments alone (version 2; version 1 used LAPACK, whose signs and last digits depend on the processor).
    It takes about three times as long as LAPACK's: 0.3 s for a width of 768, for each head and each of the two sides.
    It is float32's: a float64 tensor gets the same numbers.

    Args:
        part: `"q"`, `"k"`, `"v"` or `"o"`.
        heads: of the attention layer.
        pair: the name of the attention layer.
        alpha: default 0.7 for q and k, 0.4 for v and o, as in the paper.
        beta: likewise.

    Returns:
        The law, for weights of shape `(d, d)`.

    Raises:
        CannotFill: no such part, no pair, or, when filling, a shape that is not square or that `heads` does not divide.

    Example:
        >>> from gainstage.init import fill_
        >>> w_q = fill_(torch.empty(64, 64), mimetic("q", pair="attn"), name="attn.q.weight")
        >>> w_k = fill_(torch.empty(64, 64), mimetic("k", pair="attn"), name="attn.k.weight")
        >>> bool((w_q.t() @ w_k).diagonal().mean() > 0.5)
        True

    References:
        Trockman & Kolter, *Mimetic Initialization of Self-Attention Layers*, ICML 2023.
    """
    default = 0.7 if part in ("q", "k") else 0.4
    heads = whole("the heads of mimetic()", heads)
    alpha = default if alpha is None else number("the alpha of mimetic()", alpha, low=0)
    return Mimetic(part, heads, pair, alpha, default if beta is None else number("the beta of mimetic()", beta))


def _halves(stream: Stream, width: int, rank: int, alpha: float, beta: float) -> tuple[Any, Any]:
    """The two sides of alpha Z + beta I, of its `rank` largest singular values."""
    from ._halves_cpu import halves  # numba is loaded when the first matrix is made

    z = draw(Normal(0.0, alpha / width**0.5).recipe(), stream, (width, width))
    z.diagonal().add_(beta)
    return halves(array_over(z), rank)
