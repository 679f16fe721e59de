"""What several members say together."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from gainstage.train._errors import TrainError

Average = Literal["probabilities", "logits", "outputs"]


def combine(
    outputs: Tensor, *, average: Average = "probabilities", weights: Sequence[float] | Tensor | None = None
) -> Tensor:
    r"""One answer from those of several members.

    $$ \text{probabilities: } \log \sum_k w_k\, \text{softmax}(z_k) \qquad
       \text{logits: } \log \text{softmax} \sum_k w_k z_k \qquad \text{outputs: } \sum_k w_k z_k $$

    The first two are log-probabilities: `softmax` of them is the distribution, so `cross_entropy` and `argmax` are
    right on them as they are. They are computed in logarithms throughout: a probability of 1e-100 is not lost.

    Args:
        outputs: of every member, `[members, n, classes, ...]` logits or log-probabilities; with `"outputs"`, of any
            meaning and shape `[members, ...]`.
        average: what is averaged.
        weights: one for each member, not negative; scaled to sum to 1. Equal by default. A member of weight 0 is left
            out, whatever it says.

    Returns:
        A tensor as one member gives it; half precision comes out in float32.

    Raises:
        TrainError: weights that do not fit or sum to 0, or an unknown `average`.

    Example:
        >>> both = torch.tensor([[[0.9, 0.1]], [[0.5, 0.5]]]).log()
        >>> combine(both).exp()
        tensor([[0.7000, 0.3000]])
    """
    w = weights_of(weights, len(outputs))
    heard = w.nonzero()[:, 0]
    if len(heard) < len(w):  # a member of weight 0 is not asked: what it says may be NaN
        w, outputs = w[heard], outputs[heard.to(outputs.device)]
    w = w.to(outputs.device)
    z = outputs.float() if outputs.dtype in (torch.float16, torch.bfloat16) else outputs
    shaped = w.to(z.dtype).view(-1, *[1] * (z.dim() - 1))
    if average == "outputs":
        return (shaped * z).sum(0)
    if average == "logits":
        return (shaped * z).sum(0).log_softmax(1)
    if average == "probabilities":
        return (z.log_softmax(2) + shaped.log()).logsumexp(0)
    raise TrainError(f"average is {average!r}, expected 'probabilities', 'logits' or 'outputs'")


def vote(outputs: Tensor, *, weights: Sequence[float] | Tensor | None = None) -> Tensor:
    """The class that most members predict; among classes with as many votes, the one of larger mean probability.

    A member whose scores are not finite has no vote.

    Args:
        outputs: of every member, `[members, n, classes]`.
        weights: of the votes and of the probabilities; equal by default.

    Returns:
        Classes, `[n]`.

    Raises:
        TrainError: another number of axes, or weights that do not fit.

    Example:
        >>> a, b = [0.6, 0.4, 0.0], [0.3, 0.7, 0.0]
        >>> vote(torch.tensor([[a], [b]]).log()), vote(torch.tensor([[a], [a], [b]]).log())
        (tensor([1]), tensor([0]))
    """
    if outputs.dim() != 3:
        raise TrainError(f"the outputs have shape {tuple(outputs.shape)}, expected [members, n, classes]")
    w = weights_of(weights, len(outputs)).to(outputs.device)
    probabilities = outputs.double().softmax(2)
    counted = w[:, None] * probabilities.isnan().any(2).logical_not()
    mean = (counted[..., None] * probabilities.nan_to_num(0.0)).sum(0)
    votes = torch.zeros_like(mean)
    for own, share in zip(outputs.argmax(2), counted, strict=True):
        votes.scatter_add_(1, own[:, None], share[:, None])
    tied = votes >= votes.amax(1, keepdim=True) - 1e-9
    return mean.masked_fill(~tied, -1.0).argmax(1)


def weights_of(weights: Sequence[float] | Tensor | None, count: int) -> Tensor:
    """Float64 weights that sum to 1."""
    if weights is None:
        return torch.full((count,), 1 / count, dtype=torch.double)
    w = torch.as_tensor(weights, dtype=torch.double).cpu()
    if w.shape != (count,):
        raise TrainError(f"weights has shape {tuple(w.shape)} for {count} members: give one number for each")
    if not bool((w >= 0).all()) or not 0 < float(w.sum()) < float("inf"):
        raise TrainError(f"weights is {w.tolist()}: expected finite numbers, none negative, not all 0")
    return w / w.sum()
