"""The gradients of a model's parameters, whichever way they arrive."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from gainstage.run._foreign import foreign
from gainstage.run._names import named_parameters
from gainstage.run._wrappers import is_fsdp2


def gradients(
    model: nn.Module, total: Tensor, *, further: Iterable[Tensor] = (), accumulate: bool = False
) -> dict[str, Tensor]:
    """The gradient of `total` with respect to every parameter that gets one, by name; called inside `undisturbed`.

    They are asked for, so that `.grad` stays as it is, except where they arrive in no other way: a reentrant checkpoint
    runs a backward pass of its own, and FSDP2 reduces what has been accumulated.

    Args:
        further: tensors that the gradient is to reach as well, where no parameter may need one.
        accumulate: let them arrive in `.grad`.
    """
    named = {name: p for name, p in named_parameters(model) if p.requires_grad}
    arrived: Iterable[tuple[str, Tensor | None]]
    if accumulate or is_fsdp2(model):
        for parameter in model.parameters():
            parameter.grad = None
        foreign("the backward pass")(torch.autograd.backward)(total)
        arrived = ((name, p.grad) for name, p in named_parameters(model) if name in named)
    else:
        ends = [*named.values(), *further]
        if not ends:
            return {}
        found = foreign("the backward pass")(torch.autograd.grad)(total, ends, allow_unused=True)
        arrived = zip(named, found, strict=False)
    return {name: gradient for name, gradient in arrived if gradient is not None}
