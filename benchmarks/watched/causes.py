"""Nineteen causes, each injected into a training that runs: what it changes, and where it can be."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from watched.nets import Attend, Batch, Experts


@dataclass
class Training:
    """What a cause may change.

    Attributes:
        model, optimizer: that train.
        step: number of the step that begins.
        held: what a cause remembers.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    step: int = 0
    held: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Cause:
    """One cause.

    Attributes:
        code: of the finding that names it.
        start: done to the training once, at the step of the injection.
        batch: what becomes of the batch from then on; its second argument counts steps since.
        fits: whether a model can have it.
        half: the training runs in half precision with a gradient scaler.
        validates: the loop logs the loss of unseen batches, every ten steps.
    """

    code: str
    start: Callable[[Training], None] = lambda training: None
    batch: Callable[[Training, int, Batch], Batch] = lambda training, since, batch: batch
    fits: Callable[[nn.Module], bool] = lambda model: True
    half: bool = False
    validates: bool = False


def has(*kinds: type) -> Callable[[nn.Module], bool]:
    return lambda model: any(isinstance(m, kinds) for m in model.modules())


def setting(name: str, change: Callable[[Any], Any]) -> Callable[[Training], None]:
    def start(training: Training) -> None:
        for group in training.optimizer.param_groups:
            if name in group:
                group[name] = change(group[name])

    return start


def momentum(training: Training) -> None:
    setting("momentum", lambda _: 0.999)(training)
    setting("betas", lambda betas: (0.999, betas[1]))(training)


def linears(model: nn.Module) -> list[nn.Module]:
    return [m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d)]


def middle(model: nn.Module) -> nn.Module:
    """A layer in the middle."""
    found = linears(model)
    return found[(len(found) - 1) // 2]


def nan_in_a_site(training: Training) -> None:
    def hook(module: nn.Module, args: Any, output: Tensor) -> Tensor:
        output = output.clone()
        output.view(-1)[0] = torch.nan
        return output

    middle(training.model).register_forward_hook(hook)


def before_rectifier(model: nn.Module) -> nn.Module | None:
    """A layer whose output a ReLU module reads at once, or the norm between."""
    modules = [m for m in model.modules() if not list(m.children())]
    pairs = [(a, b) for a, b in pairwise(modules) if isinstance(b, nn.ReLU) and getattr(a, "bias", None) is not None]
    return (
        pairs[-1][0]
        if pairs
        else getattr(model, "norm1", None)
        or next(
            (m.norm1 for m in model.modules() if isinstance(getattr(m, "norm1", None), nn.BatchNorm2d)),
            getattr(model, "middle", None),
        )
    )


def dead_layer(training: Training) -> None:
    layer: Any = before_rectifier(training.model)
    with torch.no_grad():
        layer.bias.fill_(-1e3)


def frozen_statistics(training: Training) -> None:
    for module in training.model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = 0.0


def overflow(training: Training) -> None:
    last = linears(training.model)[-1]
    last.register_forward_hook(lambda module, args, output: output * 3e5)


def router_collapse(training: Training) -> None:
    router: Any = training.model.router  # type: ignore[union-attr]
    with torch.no_grad():
        router.bias += torch.tensor([30.0, 0.0, 0.0, 0.0])


def sharp_attention(training: Training) -> None:
    def grow(module: nn.Module, args: Any) -> None:
        module.sharpness *= 1.1  # type: ignore[operator,assignment]

    for module in training.model.modules():
        if isinstance(module, Attend):
            module.register_forward_pre_hook(grow)


def detached(training: Training) -> None:
    middle(training.model).register_forward_hook(lambda module, args, output: output.detach())


def evaluation(training: Training) -> None:
    training.held["evaluation"] = True


def has_a_mode(model: nn.Module) -> bool:
    kinds = (nn.modules.batchnorm._BatchNorm,)
    return any(isinstance(m, kinds) or (isinstance(m, nn.Dropout) and m.p > 0) for m in model.modules())


def bad_batch(training: Training, since: int, batch: Batch) -> Batch:
    x, y = batch
    if since:
        return batch
    shuffled = y.flatten()[torch.randperm(y.numel(), generator=torch.Generator().manual_seed(1))].view(y.shape)
    return (x * 30 if x.is_floating_point() else x.flip(0), y if y is x else shuffled)


def label_noise(training: Training, since: int, batch: Batch) -> Batch:
    x, y = batch
    generator = torch.Generator().manual_seed(since)
    return x, y.flatten()[torch.randperm(y.numel(), generator=generator)].view(y.shape)


def stuck(training: Training, since: int, batch: Batch) -> Batch:
    return training.held.setdefault("batch", batch)


def slow_statistics(training: Training) -> None:
    for module in training.model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = 1e-3


def brighter(training: Training, since: int, batch: Batch) -> Batch:
    """Data that change, as a camera ages, which statistics follow too slowly."""
    x, y = batch
    moved = x + 1.5 * min(1.0, since / 60)
    return moved, moved if y is x else y


def creeping_decay(training: Training, since: int, batch: Batch) -> Batch:
    """A schedule that multiplies the decay by 1.15 at every step: never a jump."""
    for group in training.optimizer.param_groups:
        group["weight_decay"] = min(group["weight_decay"] * 1.15, 0.5 / group["lr"])
    return batch


def goes_round(training: Training, since: int, batch: Batch) -> Batch:
    kept = training.held.setdefault("batches", [])
    if len(kept) < 6:
        kept.append(batch)
    return kept[since % 6]


def few_samples(training: Training, since: int, batch: Batch) -> Batch:
    """Two batches are all that is left, in a random order of samples."""
    kept = training.held.setdefault("batches", [])
    if len(kept) < 2:
        kept.append(batch)
    x, y = (torch.cat([b[place] for b in kept]) for place in (0, 1))
    chosen = torch.randperm(len(x), generator=torch.Generator().manual_seed(since))[: len(batch[0])]
    return x[chosen], y[chosen]


def growing_head(training: Training, since: int, batch: Batch) -> Batch:
    """The last layer is pushed outwards a little at every step."""
    last: Any = linears(training.model)[-1]
    with torch.no_grad():
        last.weight *= 1.05
    return batch


CAUSES = {
    "rate x 10": Cause("OPT804", setting("lr", lambda rate: rate * 10)),
    "bad batch": Cause("RUN002", batch=bad_batch),
    "label noise": Cause("RUN003", batch=label_noise),
    "NaN in a site": Cause("FWD206", nan_in_a_site),
    "dead layer": Cause("FWD204", dead_layer, fits=lambda model: before_rectifier(model) is not None),
    "weight decay x 100": Cause("RUN005", setting("weight_decay", lambda decay: decay * 100)),
    "frozen statistics": Cause("NRM404", frozen_statistics, fits=has(nn.modules.batchnorm._BatchNorm)),
    "fp16 overflow": Cause("BWD304", overflow, fits=lambda model: not has(nn.LSTM)(model), half=True),
    "router collapse": Cause("RUN007", router_collapse, fits=has(Experts)),
    "attention logits": Cause("FWD208", sharp_attention, fits=has(Attend)),
    "detached branch": Cause("BWD303", detached),
    "stuck loader": Cause("OPT818", batch=stuck),
    "momentum 0.999": Cause("RUN005", momentum),
    "evaluation mode": Cause("OPT809", evaluation, fits=has_a_mode),
    "slow statistics": Cause("NRM410", slow_statistics, brighter, fits=has(nn.modules.batchnorm._BatchNorm)),
    "creeping decay": Cause("RUN010", batch=creeping_decay),
    "loader goes round": Cause("RUN012", batch=goes_round),
    "few samples": Cause("RUN011", batch=few_samples, validates=True),
    "growing head": Cause("RUN009", batch=growing_head),
}
