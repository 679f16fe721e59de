"""One forward pass with the dropout that is on in that mode, and the rates at which it dropped."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gainstage.check.experiments._plain import floats, plain
from gainstage.check.experiments._quiet import _OFF
from gainstage.run import call


class _Watch(TorchFunctionMode):
    """Notes the rate of every dropout that changes its input."""

    def __init__(self) -> None:
        super().__init__()
        self.rates: set[float] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in _OFF:
            x, rate = (args[0] if args else kwargs["input"]), args[1] if len(args) > 1 else kwargs.get("p", 0.5)
            if result is not x or kwargs.get("inplace"):
                self.rates.add(float(rate))
        if func is F.scaled_dot_product_attention:
            rate = args[4] if len(args) > 4 else (kwargs or {}).get("dropout_p", 0.0)
            if rate:
                self.rates.add(float(rate))
        return result


def noisy(model: nn.Module, example: Any, *, training: bool, seed: int = 0) -> tuple[list[Tensor], set[float]]:
    """The floating point tensors of the output in this mode, with dropout as it is, and the rates that were active.

    A third of the cost of a pass forward and backward. Every module is put into the mode, and back afterwards.
    """
    watch = _Watch()
    with plain(model, seed=seed, training=training, dropout=True), watch:
        outputs = floats(call(model, example))
    return outputs, watch.rates
