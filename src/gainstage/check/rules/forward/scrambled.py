"""The rule about reshapes that were meant to move an axis."""

from collections.abc import Iterator
from math import prod

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.findings import Fix, Found, Value

_RESHAPES = frozenset({"reshape", "view", "unflatten", "flatten"})
Piece = tuple[int, int, bool]  # axis of the input, size, and whether it is all of that axis


@rule(
    "FWD215", "warning", explains=("DAT606", "DAT607"), no_number="an axis keeps its entries together, or it does not"
)
def scrambled_axis(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Follows the axes of every signal through its reshapes, and finds an axis that has come out as long as one that went
    in, but is made of pieces of two.

    ## Why is this bad?
    A reshape does not move numbers. `[N, T, C]` viewed as `[N, heads, T, C / heads]` has an axis of T entries again,
    but these are pieces of T / heads positions, and attention over it mixes parts of positions with each other.

    ## Known problems
    Where the number of heads and of positions are equal, both ways have the same shape and are not told apart.

    ## Example
    ```python
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.token, self.head = nn.Linear(1, 32), nn.Linear(32, 4)

        def forward(self, x):
            tokens = self.token(x[:, :, None])  # [N, 8, 32]
            heads = tokens.view(len(x), 4, 8, 8)
            mixed = F.scaled_dot_product_attention(heads, heads, heads)
            return self.head(mixed.reshape(len(x), 8, 32).mean(1))

    model = Model()
    ```

    ## Use instead
    ```python
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.token, self.head = nn.Linear(1, 32), nn.Linear(32, 4)

        def forward(self, x):
            tokens = self.token(x[:, :, None])
            heads = tokens.view(len(x), 8, 4, 8).transpose(1, 2)
            mixed = F.scaled_dot_product_attention(heads, heads, heads)
            return self.head(mixed.transpose(1, 2).reshape(len(x), 8, 32).mean(1))

    model = Model()
    ```

    ## References
    PyTorch documentation, *Tensor Views*; Vaswani et al., *Attention Is All You Need*, NeurIPS 2017, section 3.2.2.
    """
    seen, told = False, set[tuple[str, tuple[int, ...]]]()
    for site in evidence.tape.sites:
        if site.op not in _RESHAPES or len(reads := evidence.graph.data(site.index)) != 1 or not site.shape:
            continue
        seen = True
        before = evidence.graph.shapes[reads[0].site]
        if (path := (site.module, before)) in told or before[:1] != site.shape[:1] or prod(before) != prod(site.shape):
            continue
        for axis, pieces in enumerate(_pieces(before[1:], site.shape[1:]), 1):
            cut = [before[1 + source] for source, _, whole in pieces if not whole]
            if len(cut) < 2 or site.shape[axis] not in cut or site.shape[axis] in site.shape[1:axis]:
                continue
            told.add(path)
            yield Found(
                "warning",
                site.name,
                measured=f"{list(before)} becomes {list(site.shape)}: the {site.shape[axis]} entries along axis {axis} "
                f"are made of pieces of the axes of {' and '.join(map(str, cut))}",
                expected="an axis that is split or merged as a whole, and moved by transpose",
                message="a reshape does not move numbers: this axis is another than the one of the same length before",
                fix=Fix("split the last axis first, and move it: x.unflatten(-1, (heads, -1)).transpose(1, 2)"),
            )
            break
    if not seen:
        raise NotMeasured("nothing is reshaped")


def _pieces(before: tuple[int, ...], after: tuple[int, ...]) -> list[list[Piece]]:
    """For every axis after a reshape, the pieces of axes that it is made of; an uneven cut counts as one of each."""
    found: list[list[Piece]] = []
    axis, left = 0, before[0] if before else 1
    for size in after:
        pieces: list[Piece] = []
        while size > 1 and axis < len(before):
            step = min(size, left)
            pieces.append((axis, step, step == before[axis]))
            size, left = -(-size // step), -(-left // step)
            if left <= 1:
                axis += 1
                left = before[axis] if axis < len(before) else 1
        found.append(pieces)
    return found
