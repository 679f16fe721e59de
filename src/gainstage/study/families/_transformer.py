"""Transformer encoders over rows, pieces of a signal, or features."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gainstage.nn import depth_rates
from gainstage.study._arm import Arm
from gainstage.study._data import Data
from gainstage.study._errors import StudyError
from gainstage.study.families._parts import Residual, activation, centres, check_kind, dropout, named_sequence, norm

HEAD = 16  # features a head
HIDDEN = 4  # widths of the hidden layer of a block
PIECES = 8  # of a signal, at least


def transformer(arm: Arm, data: Data) -> nn.Module:
    r"""`depth` pre-norm encoder blocks of `width`, the mean over tokens, and a head.

    $$ x' = x + d(\text{attention}(\text{norm}(x))), \qquad x'' = x' + d(W_2\, \phi(W_1\, \text{norm}(x'))) $$

    Tokens are the rows of an image, pieces of a signal (the longest of equal length that make 8 or more), or the
    features of a vector; all go through one linear layer and have a learned position added. The hidden layer is four
    widths wide; a head has 16 features where the width is a multiple of 16, else attention has one head. `norm` is
    what the arm says, so that **without one there is none**: write `norm="layer"` for the usual transformer. A last
    normalization stands before the mean. The rates of `"path"` rise linearly with depth. `residual` changes nothing.

    References:
        Vaswani et al., *Attention Is All You Need*, NeurIPS 2017.
        Xiong et al., *On Layer Normalization in the Transformer Architecture*, ICML 2020 (pre-norm).
    """
    check_kind(arm, "transformer")
    return Transformer(arm, data)


class Transformer(nn.Module):
    """See `transformer`."""

    def __init__(self, arm: Arm, data: Data) -> None:
        super().__init__()
        self.tokens = Tokens(data)
        self.norm = nn.Identity() if arm.norm is None else norm(arm.norm, arm.width, "tokens")
        self.embed = nn.Linear(self.tokens.features, arm.width, bias=not centres(self.norm))
        self.positions = nn.Parameter(torch.empty(self.tokens.count, arm.width).normal_(std=0.02))
        rates = [arm.dropout] * 2 * arm.depth
        if arm.dropout_kind == "path":
            rates = [rate for rate in depth_rates(arm.dropout, arm.depth) for _ in range(2)]
        branches = [_branch(arm, i, rate) for i, rate in enumerate(rates)]
        self.blocks = nn.Sequential(
            *(
                named_sequence(attention=Residual(one), mlp=Residual(two))
                for one, two in zip(branches[::2], branches[1::2], strict=True)
            )
        )
        self.head = nn.Linear(arm.width, data.outputs)

    def forward(self, x: Tensor) -> Tensor:
        """`[n, *shape]` to `[n, outputs]`."""
        x = self.embed(self.tokens(x)) + self.positions
        y: Tensor = self.head(self.norm(self.blocks(x)).mean(1))
        return y


class Tokens(nn.Module):
    """Samples as sequences: rows of an image, pieces of a signal, or features of a vector; `[n, count, features]`."""

    def __init__(self, data: Data, pieces: int = PIECES) -> None:
        super().__init__()
        shape = data.shape
        if len(shape) not in (1, 2, 3):
            raise StudyError(f"the samples of {data.name!r} have shape {list(shape)}: expected 1, 2 or 3 axes.")
        along = shape[0] if len(shape) == 1 else shape[1]
        piece = max((p for p in range(1, along + 1) if along % p == 0 and along // p >= pieces), default=1)
        self.piece = piece if len(shape) == 2 else 1
        self.count = along // self.piece
        self.features = self.piece * (1 if len(shape) == 1 else shape[0] * (shape[2] if len(shape) == 3 else 1))

    def forward(self, x: Tensor) -> Tensor:
        """`[n, d]`, `[n, channels, length]` or `[n, channels, height, width]` to `[n, count, features]`."""
        if x.dim() == 2:
            return x.unsqueeze(-1)
        if x.dim() == 3:
            x = x.reshape(*x.shape[:2], self.count, self.piece)
        return x.transpose(1, 2).flatten(2)


class Attention(nn.Module):
    r"""Self-attention: $\text{softmax}(Q K^\top / \sqrt{d})\, V$ in every head, then a linear layer.

    Keys have no bias: it adds the same to all logits of a query, which the softmax does not see.
    """

    def __init__(self, width: int, *, bias: bool = True) -> None:
        super().__init__()
        self.heads = width // HEAD if width % HEAD == 0 else 1
        self.query, self.value = nn.Linear(width, width), nn.Linear(width, width, bias=bias)
        self.key = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Shape `[n, tokens, width]`, kept."""
        three = self.query(x), self.key(x), self.value(x)
        q, k, v = (y.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2) for y in three)
        y: Tensor = self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return y


def _branch(arm: Arm, index: int, rate: float) -> nn.Sequential:
    """The attention of a block where the index is even, its two linear layers where it is odd."""
    before = None if arm.norm is None else norm(arm.norm, arm.width, "tokens")
    after = dropout(arm.dropout_kind, rate) if arm.dropout else None
    bias = not centres(before)
    if index % 2 == 0:
        return named_sequence(norm=before, attention=Attention(arm.width, bias=bias), drop=after)
    return named_sequence(
        norm=before,
        linear1=nn.Linear(arm.width, HIDDEN * arm.width),
        activation=activation(arm.activation),
        linear2=nn.Linear(HIDDEN * arm.width, arm.width, bias=bias),
        drop=after,
    )
