"""Facts about softmax and sigmoid at the output that several rules share."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gainstage.signal import Site, ops

if TYPE_CHECKING:
    from gainstage.check.evidence import Evidence

SOFTMAX = ops.names("softmax")
PROBABILITY = frozenset(
    name for name in ops.names("softmax", "activation") if (ops.named(name).low, ops.named(name).high) == (0, 1)
)


def softmax_axis(site: Site) -> int:
    """The axis that a softmax sums over; torch's implicit choice where none is given."""
    dim, rank = ops.argument(site, "dim"), len(site.shape)
    if dim is None:
        return 0 if rank in (0, 1, 3) else 1
    return int(dim) % max(rank, 1)


def at_output(evidence: "Evidence", index: int) -> bool:
    """Whether a signal only leaves the model or goes into the loss."""
    kinds = {fate.kind for fate in evidence.graph.fates(index)}
    in_loss = evidence.tape.sites[index].kind == "loss"
    return in_loss or (bool(kinds) and kinds <= {"output", "loss"})


def are_probabilities(values: Tensor, axis: int = 1) -> bool:
    """Whether the numbers along one axis are probabilities: not negative, and their sum is 1."""
    if values.dim() <= axis or values.shape[axis] < 2 or not bool((values >= 0).all()):
        return False
    return bool(((values.double().sum(axis) - 1).abs() < ROUNDING).all())


def are_log_probabilities(values: Tensor, axis: int = 1) -> bool:
    """Whether the exponentials of the numbers along one axis have the sum 1."""
    if values.dim() <= axis:
        return False
    return bool((torch.logsumexp(values.double(), axis).abs() < ROUNDING).all())


ROUNDING = 1e-2  # bfloat16 keeps 8 bits
