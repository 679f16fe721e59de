"""The scalar that gradients are taken of: the user's loss, the model's own, or a documented surrogate."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gainstage.errors import GainstageError
from gainstage.run._entry import abroad
from gainstage.run._example import tensors_in
from gainstage.run._foreign import foreign
from gainstage.run._subject import Loss


def own_loss(output: Any) -> Tensor | None:
    """The loss that the model returned itself, as attribute or key `loss`."""
    value = output.get("loss") if isinstance(output, Mapping) else getattr(output, "loss", None)
    return value if isinstance(value, Tensor) and value.numel() == 1 else None


@foreign("the loss")
def objective(output: Any, target: Any, loss: Loss | None) -> tuple[Tensor, bool]:
    """The loss of one pass, and whether it is the surrogate; see `objective_of`.

    Raises:
        ForwardError: the loss raised.
    """
    return objective_of(output, target, loss)


def objective_of(output: Any, target: Any, loss: Loss | None) -> tuple[Tensor, bool]:
    """The loss of one pass, and whether it is the surrogate.

    With `loss`, it is `loss(output, target)`; else the output's own `.loss` or key `loss`; else the surrogate.

    Raises:
        GainstageError: the loss is no scalar.
    """
    if loss is not None:
        with abroad():
            value = loss(output, target)
        if not isinstance(value, Tensor) or value.numel() != 1:
            came = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise GainstageError(
                f"loss(output, target) must return a scalar tensor, it returned {came}; "
                "average it, for example with `.mean()`"
            )
        return value.reshape(()), False
    if (own := own_loss(output)) is not None:
        return own.reshape(()), False
    return surrogate(output), True


def surrogate(output: Any) -> Tensor:
    r"""A stand-in loss whose gradient reaches every output entry.

    $$ \ell = \frac{1}{\sqrt{n}} \sum_{t} \sum_i r_i\, y_{t,i}, \qquad r_i \sim \mathcal{N}(0, 1) $$

    over all real floating point tensors $t$ of the output that need a gradient, $n$ entries in all; the directions
    $r$ are fixed, so the same output gives the same loss. It says nothing about training.
    """
    outputs = [y for y in tensors_in(output) if y.requires_grad]
    if not outputs:
        raise GainstageError(
            "no output of the model needs a gradient, so there is no backward pass to record: "
            "unfreeze a parameter, or call `record(..., backward=False)`"
        )
    count = sum(y.numel() for y in outputs)
    generator = torch.Generator().manual_seed(0)
    terms = []
    for y in outputs:
        real = torch.view_as_real(y) if y.is_complex() else y
        direction = torch.randn(real.shape, generator=generator).to(real.device)
        terms.append((real.float() * direction).sum())
    total: Tensor = torch.stack([term.to(terms[0].device) for term in terms]).sum() / count**0.5
    return total
