"""One forward pass that compares the stored statistics of batch normalizations with those of the batch."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gainstage.check.experiments._plain import plain
from gainstage.run import Loss, call, named_modules, objective


@dataclass(frozen=True)
class Stored:
    """Stored against actual statistics of one batch normalization.

    Attributes:
        path: of the module.
        shift: median over channels of |batch mean - running mean| in stored standard deviations.
        ratio: median over channels of the batch variance over the stored one.
    """

    path: str
    shift: float
    ratio: float


@dataclass(frozen=True)
class Run:
    """One forward pass in a mode: the loss (NaN where there is none), and what each batch normalization was given."""

    loss: float
    stored: tuple[Stored, ...]


def statistics(model: nn.Module, example: Any, *, target: Any, loss: Loss | None, training: bool, seed: int = 0) -> Run:
    """Run the model in a mode, without dropout and gradients, and read the input of every batch normalization.

    A third of the cost of a pass forward and backward. Every module is put into the mode, and back afterwards.
    """
    rows: list[tuple[str, Tensor]] = []
    handles = []
    with plain(model, seed=seed, training=training):
        try:
            for path, module in named_modules(model):
                if isinstance(module, _BatchNorm) and module.running_mean is not None:
                    handles.append(module.register_forward_pre_hook(_reader(path, rows)))
            output = call(model, example)
            value, stand_in = objective(output, target, loss) if loss is not None else _own(output)
        finally:
            for handle in handles:
                handle.remove()
    numbers = torch.stack([row for _, row in rows]).tolist() if rows else []
    stored = tuple(Stored(path, *pair) for (path, _), pair in zip(rows, numbers, strict=True))
    return Run(float("nan") if stand_in else float(value), stored)


def _own(output: Any) -> tuple[Tensor, bool]:
    from gainstage.run import own_loss

    value = own_loss(output)
    return (torch.zeros(()), True) if value is None else (value, False)


def _reader(path: str, rows: list[tuple[str, Tensor]]) -> Callable[[nn.Module, tuple[Any, ...]], None]:
    def read(rows: list[tuple[str, Tensor]], module: nn.Module, inputs: tuple[Any, ...]) -> None:
        assert isinstance(module, _BatchNorm)
        x, mean, variance = inputs[0], module.running_mean, module.running_var
        if x.numel() and mean is not None and variance is not None and x.shape[1] == len(mean):
            own_variance, own_mean = torch.var_mean(x.float(), [a for a in range(x.dim()) if a != 1], correction=0)
            size = variance.float() + module.eps
            shift = (own_mean - mean.float()).abs() / size.sqrt()
            rows.append((path, torch.stack([shift.median(), (own_variance / size).median()]).double().cpu()))

    return partial(read, rows)
