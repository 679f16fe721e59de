"""Which steps of a sequence reach the output by their numbers, and which by a gradient?"""

from typing import Any

import torch
from torch import Tensor, nn

from gainstage.check.experiments._quiet import Quiet
from gainstage.run import call, call_on, tensors_in, undisturbed


def reaching(model: nn.Module, example: Tensor, *, seed: int = 0) -> tuple[Tensor, Tensor] | None:
    """For every position of an input `[N, T, F]`: how far its exchange between samples moves the output, and the norm
    of the gradient that arrives there.

    One pass forward and backward, and one forward pass in which all positions but the last are another sample's; the
    first number is of these together, and so the same for each. None where no gradient arrives at the input at all.
    """
    given = example.detach().clone().requires_grad_()
    with undisturbed(model, example, seed=seed), Quiet(), torch.enable_grad():
        before = _outputs(call_on(model, given.clone()))
        if not before or not all(y.requires_grad for y in before):
            return None
        generator = torch.Generator().manual_seed(0)
        total = sum(((y * torch.randn(y.shape, generator=generator).to(y)).sum() for y in before), torch.zeros(()))
        (pull,) = torch.autograd.grad(total, given, allow_unused=True)
        if pull is None:
            return None
        with torch.no_grad():
            other = torch.cat([example.roll(1, 0)[:, :-1], example[:, -1:]], 1)
            torch.manual_seed(seed)
            after = _outputs(call(model, other))
    moved = sum(float((a - b).detach().square().sum()) for a, b in zip(before, after, strict=False)) ** 0.5
    size = sum(float((a - a.roll(1, 0)).detach().square().sum()) for a in before) ** 0.5
    share = moved / size if size > 0 else 0.0
    norms = pull.square().sum((0, 2)).sqrt()
    return torch.full_like(norms, share), norms


def _outputs(output: Any) -> list[Tensor]:
    return [y for y in tensors_in(output) if y.is_floating_point() and y.dim()]
