"""The losses of `torch.nn.functional` that take an output and a target, and what their targets are."""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gainstage._visible import shown
from gainstage.errors import GainstageError

# labels: whole numbers below the second axis of the output, which the target lacks; others have the output's shape.
LOSSES: Mapping[str, str] = {
    **dict.fromkeys(("cross_entropy", "nll_loss", "multi_margin_loss"), "labels"),
    "multilabel_margin_loss": "lists",
    **dict.fromkeys(
        ("binary_cross_entropy", "binary_cross_entropy_with_logits", "multilabel_soft_margin_loss"), "0 or 1"
    ),
    **dict.fromkeys(("soft_margin_loss", "hinge_embedding_loss"), "-1 or 1"),
    **dict.fromkeys(("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"), "numbers"),
    "poisson_nll_loss": "counts",
    "kl_div": "shares",
}


def loss_of(name: str) -> Callable[[Any, Any], Tensor]:
    """The loss of `torch.nn.functional` of this name.

    Raises:
        GainstageError: there is none that takes an output and a target; the nearest is suggested.

    Example:
        >>> loss_of("mse_loss")(torch.ones(2), torch.zeros(2))
        tensor(1.)
    """
    if name not in LOSSES:
        near = get_close_matches(name, LOSSES, n=1, cutoff=0.4)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise GainstageError(
            f"loss {shown(name)} is no loss of torch.nn.functional that takes an output and a target{hint} Known: "
            f"{', '.join(LOSSES)}"
        )
    function: Callable[[Any, Any], Tensor] = getattr(F, name)
    return function


def target_for(name: str, output: Tensor, generator: torch.Generator, classes: int | None = None) -> Tensor:
    """A target that the loss takes, drawn.

    Args:
        name: of a loss.
        output: of a model, `[n, ...]`; of losses of labels `[n, classes, ...]`.
        generator: on the CPU.
        classes: labels are below it; the output's own number by default.
    """
    kind, shape = LOSSES[name], output.shape
    match kind:
        case "labels":
            return torch.randint(classes or shape[1], (shape[0], *shape[2:]), generator=generator)
        case "lists":
            first = torch.randint(classes or shape[-1], shape, generator=generator)
            return first.where(torch.arange(shape[-1]) == 0, torch.tensor(-1))  # one label a sample; -1 ends its list
        case "0 or 1" | "-1 or 1":
            drawn = torch.randint(2, shape, generator=generator)
            return (drawn if kind == "0 or 1" else 2 * drawn - 1).to(output.dtype)
    numbers = torch.randn(shape, generator=generator)
    made = {"counts": numbers.abs().round(), "shares": numbers.softmax(-1)}.get(kind, numbers)
    return made.to(output.dtype)
