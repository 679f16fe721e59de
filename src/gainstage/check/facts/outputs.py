"""Facts about softmax and sigmoid at the output that several rules share."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gainstage.signal import Site

if TYPE_CHECKING:
    from gainstage.check.evidence import Evidence

# What a wrong loss or an unscaled target does to the step and to a short training run.
EFFECTS = ("OPT804", "OPT805", "OPT806", "OPT808", "OPT815", "TRN")
SOFTMAX = frozenset({"softmax", "log_softmax"})
PROBABILITY = frozenset({"softmax", "sigmoid", "hardsigmoid"})


def softmax_axis(site: Site) -> int:
    """The axis that a softmax sums over; torch's implicit choice where none is given."""
    dim, rank = site.argument(1, "dim"), len(site.shape)
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
