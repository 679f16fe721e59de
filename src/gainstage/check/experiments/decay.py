"""Does weight decay act beside the gradient, or as a part of it? Three steps of the optimizer, and no pass."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gainstage.check.experiments.optimizer_step import make_step
from gainstage.run import named_parameters, undisturbed

_SAME = 0.1


def decays_alone(model: nn.Module, optimizer: Optimizer, gradients: Mapping[str, Tensor], *, seed: int) -> bool:
    r"""Whether a step without gradient takes a weight along itself, and twice the gradient is no step twice as long.

    With decay in the gradient, SGD moves by $-\eta (g + \lambda w)$, in proportion to the gradient, and Adam by signs;
    with decoupled decay Adam moves by $-\eta \lambda w$ where there is no gradient, and by as much more for any.
    Optimizers that need the loss again are not asked. Everything is put back.
    """
    named = {n: p for n, p in named_parameters(model) if n in gradients and p.dim() > 1 and bool(p.any())}
    held = {id(p) for group in optimizer.param_groups for p in group["params"] if group.get("weight_decay")}
    name = max((n for n, p in named.items() if id(p) in held), key=lambda n: named[n].numel(), default=None)
    if name is None:
        return False
    still, once, twice = (
        _moved(model, optimizer, named[name], f * gradients[name].to_dense(), seed) for f in (0, 1, 2)
    )
    weight = named[name].detach()
    along = torch.cosine_similarity(still.flatten(), weight.flatten(), dim=0)
    grown = torch.linalg.vector_norm(twice - still) / torch.linalg.vector_norm(once - still).clamp(min=1e-30)
    return bool(along < -1 + 1e-3) and not bool((grown - 2).abs() < _SAME)


def _moved(model: nn.Module, optimizer: Optimizer, parameter: Tensor, gradient: Tensor, seed: int) -> Tensor:
    with undisturbed(model, optimizer, seed=seed):
        before = parameter.detach().clone()
        for group in optimizer.param_groups:
            for other in group["params"]:
                other.grad = None
        parameter.grad = gradient.to(parameter).clone()
        for _ in range(2):  # the first step of some only fills a moment
            make_step(optimizer, lambda: torch.zeros(()))
        return parameter.detach() - before
