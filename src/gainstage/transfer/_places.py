"""Multipliers that no parameter takes up, held by the modules that compute what is to be multiplied."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from gainstage.errors import GainstageError
from gainstage.run import named_modules
from gainstage.transfer._multipliers import Multiplier


class Times:
    """A forward hook that multiplies what a module returns.

    It is pickled, copied and compiled with its module, and adds nothing to the state dict: after loading weights into a
    new model, `apply` it there.
    """

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(self, module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        return output * self.factor


def multiply_(model: nn.Module, multipliers: Iterable[Multiplier]) -> None:
    """Add to `model` the multipliers that are not worked into parameters, all or none.

    Raises:
        GainstageError: the place is inside a module rather than its output; the message says what to write there.
    """
    modules = dict(named_modules(model))
    work = []
    for multiplier in multipliers:
        if multiplier.folded:
            continue
        module = modules.get(multiplier.module)
        if module is None or any(True for _ in module.children()) or not multiplier.module:
            raise GainstageError(
                f"{multiplier.what} at {multiplier.place!r} are to be multiplied by {multiplier.factor:.6g} "
                f"({multiplier.why}); no parameter can take this up and no module returns it. Write the factor into "
                f"the code of {multiplier.module or 'the model'!r}, as a number that the factory gets from the width"
            )
        work.append((module, multiplier.factor))
    for module, factor in work:
        if not any(isinstance(hook, Times) for hook in module._forward_hooks.values()):
            module.register_forward_hook(Times(factor))
