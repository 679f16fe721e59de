"""What to write instead, for the errors that a wrong loss, label or input makes torch raise."""

import re
import traceback
from pathlib import Path

import torch

_HINTS = (
    (
        r"Target -?\d+ is out of bounds",
        "for C outputs the labels are 0 to C - 1: give the model as many outputs as there are classes, or count the "
        "labels from 0 (ignore_index marks those to leave out)",
    ),
    (
        r"all elements of input should be between 0 and 1",
        "the model returns logits: use binary_cross_entropy_with_logits, or end the model with a sigmoid",
    ),
    (
        r"all elements of target should be between 0 and 1",
        "a binary cross-entropy compares with 0 or 1: divide labels "
        "of 0 and 255 by 255, and for more than two classes use cross_entropy with one output a class",
    ),
    (
        r"[Tt]arget size \(torch\.Size.*(different to|the same as|same as) (the )?input size",
        "output and target need one shape: target.unsqueeze(1) or output.squeeze(1)",
    ),
    (r"expected target dtype to be Long", "class labels are whole numbers: target.long()"),
    (
        r"multi-target not supported",
        "cross_entropy takes labels of shape [N], or one row of probabilities a sample: target.squeeze(1)",
    ),
    (r"result type Float can't be cast", "this loss takes numbers: target.float()"),
    (r"index out of range in self", "a token id is not below the size of the embedding's table"),
    (r"must have the same dtype, but got (Double|Long|Int|Byte) and Float", "the weights are float32: x.float()"),
    (
        r"Cannot swap t\d|Expected use_count of t\d|poisoned by swap_tensors",
        "the forward pass calls torch.utils.swap_tensors, which allows nobody else to hold a tensor, and observing "
        "holds all: assign to .data, or swap outside forward",
    ),
    (
        r"_will_engine_execute_node",
        "a mode around this call follows modules (FlopCounterMode, ModuleTracker) and allows only backward(): leave it "
        "before the call",
    ),
    (
        r"expected input\[.*\] to have \d+ channels",
        "images are [N, C, H, W]: x.movedim(-1, 1) for channels on the last axis",
    ),
)


_LIBRARIES = (str(Path(torch.__file__).parent), str(Path(__file__).parents[1]), "<")
_WITHOUT_VALUES = r"(?i)meta tensor|meta device|unallocated storage"


def hint(error: BaseException) -> str:
    """Advice on an error that torch raised, as the end of a sentence; empty where there is none."""
    if re.search(_WITHOUT_VALUES, str(error)):
        return f"; {needs_value('values', error)}"
    found = next((advice for pattern, advice in _HINTS if re.search(pattern, str(error))), "")
    return f". Perhaps {found}" if found else ""


def needs_value(asked: str, error: BaseException | None = None) -> str:
    """What to say where a model without values asks for one, with the line that does.

    Args:
        asked: the operation.
        error: what was raised; default: the line that runs now.
    """
    what = "a number" if asked in ("_local_scalar_dense", "values") else f"{asked}()"
    frames = traceback.extract_stack() if error is None else traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(_LIBRARIES)]
    line = f" at {Path(own[-1].filename).name}:{own[-1].lineno}: {own[-1].line}" if own else ""
    return (
        f"the model's parameters have no values, and its code asks for {what} that depends on them{line}. Build it "
        "with values (a smaller one of the same kind will do), or pass real inputs if these are on the meta device"
    )
