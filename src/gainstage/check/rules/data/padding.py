"""The rule about masks of padding that hide the wrong positions."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.experiments import rerun
from gainstage.check.facts.modes import in_eval
from gainstage.check.findings import Fix, Found, Value
from gainstage.check.quantity import Limit, Quantity
from gainstage.run import map_tensors, tensors_in

PADDING = Quantity(
    "change of the outputs for other numbers at a padded position, over that at a real one (mean squares)",
    warning=Limit(0.02, "A mask that is obeyed gives 0; one that is added as 0 and 1 gives 0.14."),
    error=Limit(1.0, "More is read of what is no part of the sample than of what is."),
)


@rule("DAT613", "error")
def padding_read(evidence: Evidence) -> Iterator[Found | Value]:
    r"""## What it does
    Finds an input that marks, with ones and zeros, the positions of another up to the end of each sample, puts other
    numbers first at the padded, then at the real positions, and compares how far the outputs move in evaluation mode:
    $\overline{\Delta^2_{\text{padded}}} / \overline{\Delta^2_{\text{real}}}$ for a position.

    ## Why is this bad?
    Padding is what happened to fill the batch. A mask that is inverted, or added to the scores as ones and zeros, lets
    it be read in place of the sample, or beside it.

    ## Known problems
    Needs a batch in which some sample fills all positions and others do not. What a model is given besides, such as
    lengths, is not looked at. Two forward passes.

    ## Example
    ```python
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.token, self.head = nn.Embedding(8, 16), nn.Linear(16, 4)

        def forward(self, ids, real):
            scores = torch.zeros(ids.shape).masked_fill(real, -1e9)  # hides what is real
            return self.head((scores.softmax(1)[:, :, None] * self.token(ids)).sum(1))

    model, length = Model(), torch.randint(3, 10, (64, 1))
    x = (torch.randint(0, 8, (64, 9)), torch.arange(9) < length)
    ```

    ## Use instead
    ```python
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.token, self.head = nn.Embedding(8, 16), nn.Linear(16, 4)

        def forward(self, ids, real):
            scores = torch.zeros(ids.shape).masked_fill(~real, -1e9)
            return self.head((scores.softmax(1)[:, :, None] * self.token(ids)).sum(1))

    model, length = Model(), torch.randint(3, 10, (64, 1))
    x = (torch.randint(0, 8, (64, 9)), torch.arange(9) < length)
    ```

    ## References
    PyTorch documentation of `MultiheadAttention`: `key_padding_mask` is True where a key is to be ignored;
    `scaled_dot_product_attention` takes the opposite.
    """
    inputs = list(tensors_in(evidence.example))
    marked = [(real, t) for mask in inputs if (real := _real(mask)) is not None for t in inputs if _along(t, mask)]
    if not marked:
        raise NotMeasured("no input marks which positions of another are padding")
    evidence.varied_outputs()
    real, tokens = marked[0]
    padded, own = (_effect(evidence, tokens, where, real) for where in (~real, real))
    if padded == own == 0:
        raise NotMeasured("the outputs depend on no position of this input")
    value = PADDING(padded / own if own > 0 else 1e6, _name(inputs, tokens))
    if value.number <= PADDING.warning:
        yield value
        return
    inverted = value.number > PADDING.error
    yield Found(
        "error" if inverted else "warning",
        value.where,
        measured=f"other numbers at a padded position move the outputs {value.number:.2g} times as far as at a real "
        "one (mean squares)",
        expected="outputs that do not depend on padding",
        message=f"the mask {'hides what is real and shows' if inverted else 'does not hide'} the padding",
        fix=Fix(
            "turn the mask round: MultiheadAttention ignores where it is True, scaled_dot_product_attention keeps"
            if inverted
            else "give attention a boolean mask, or a float one of 0 and -inf, which is added to the scores"
        ),
        value=value,
    )


def _real(mask: Tensor) -> Tensor | None:
    """Which positions are real, where an input marks runs to one end of each sample; None where it is no such mask."""
    if mask.dim() != 2 or mask.shape[1] < 3 or mask.is_complex() or bool(((mask != 0) & (mask != 1)).any()):
        return None
    ones = mask.bool()
    if bool((ones[:, 1:] != ones[:, :-1]).sum(1).gt(1).any()):
        return None
    counts = ones.sum(1)
    if bool((counts > 0).all()) and int(counts.max()) == mask.shape[1] > int(counts.min()):
        return ones
    zeros = mask.shape[1] - counts
    return ~ones if bool((zeros > 0).all()) and int(zeros.max()) == mask.shape[1] > int(zeros.min()) else None


def _along(tensor: Tensor, mask: Tensor) -> bool:
    return (
        tensor is not mask and tensor.shape[:2] == mask.shape and tensor.dtype != torch.bool and _real(tensor) is None
    )


def _effect(evidence: Evidence, tokens: Tensor, where: Tensor, real: Tensor) -> float:
    """Mean square of the change of the outputs of real positions, for each position that gets another's numbers."""
    rows, generator = tokens[real], torch.Generator().manual_seed(0)
    others = rows[torch.randint(len(rows), (int(where.sum()),), generator=generator).to(rows.device)]

    def change(tensor: Tensor) -> Tensor:
        return tensor.masked_scatter(_wide(where, tensor), others) if tensor is tokens else tensor

    given: Any = map_tensors(evidence.example, change)
    after = rerun(evidence.model, given, training=False, seed=evidence.seed)
    found = 0.0
    for a, b in zip(in_eval(evidence), after, strict=False):
        if a.shape != b.shape or a.shape[:1] != real.shape[:1] or not bool(b.isfinite().all()):
            continue
        moved = (a - b).double().square()
        if a.shape[:2] == real.shape:
            moved = moved[real]
        found += float(moved.mean())
    return found / max(float(where.sum()), 1.0)


def _wide(where: Tensor, tensor: Tensor) -> Tensor:
    return where.reshape(*where.shape, *[1] * (tensor.dim() - 2)).expand(tensor.shape)


def _name(inputs: list[Tensor], tensor: Tensor) -> str:
    return f"input#{next(i for i, t in enumerate(inputs) if t is tensor)}"
