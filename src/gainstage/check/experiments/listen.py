"""A pass and its loss, overheard: what every loss was given, so that it can be asked again."""

import inspect
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gainstage.check.experiments._plain import plain
from gainstage.run import Loss, call, objective, tensors_among, tensors_in
from gainstage.signal import op_name, ops

_SQUARES = frozenset({"pow", "square", "abs"})


@dataclass(frozen=True)
class LossCall:
    """One comparison of a prediction with a target.

    Attributes:
        op: the loss function, `"mse_loss"`; `"difference"` for a hand-written `(prediction - target)` that is squared
            or whose absolute value is taken.
        number: how often this operation has run before, which finds its site on the tape.
        prediction, target: what it compares; of a difference, in this order whichever was subtracted.
        options: the other arguments by name.
        function: called with a prediction, a target and the options.
    """

    op: str
    number: int
    prediction: Tensor
    target: Tensor
    options: Mapping[str, Any]
    function: Callable[..., Any] = field(repr=False)

    @torch.no_grad()
    def again(self, prediction: Tensor, target: Tensor | None = None) -> float:
        """The loss of another prediction, averaged where the call gives one number for each sample; NaN if refused."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                value = self.function(prediction, self.target if target is None else target, **self.options)
            except (RuntimeError, ValueError, IndexError, TypeError):
                return float("nan")
        return float(value.double().mean())


@dataclass(frozen=True)
class Heard:
    """What one pass gives.

    Attributes:
        loss: its value; None where there is no loss but the surrogate.
        calls: the comparisons in the order in which they ran.
        output: what the loss was called with, without gradients; None where it was not called.
        leaves: what the gradient of the outputs ends at; None without a loss.
    """

    loss: float | None
    calls: tuple[LossCall, ...]
    output: Any = field(default=None, repr=False)
    leaves: tuple[Tensor, ...] | None = field(default=None, repr=False)


def listen(model: nn.Module, example: Any, *, target: Any, loss: Loss | None, seed: int = 0) -> Heard:
    """Run the model in the mode that it is in, without dropout and gradients, and note every comparison of its loss.

    A third of the cost of a pass forward and backward; predictions and targets are kept, and nothing else.
    """
    ear = Ear()
    with plain(model, seed=seed), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with ear:
            output = call(model, example)
            if loss is not None:
                total, _ = objective(output, target, ear.during(loss))
                return Heard(float(total), tuple(ear.calls))
        own = output.get("loss") if isinstance(output, Mapping) else getattr(output, "loss", None)
        if isinstance(own, Tensor) and own.numel() == 1:
            return Heard(float(own), tuple(ear.calls))
    return Heard(None, ())


@lru_cache
def _known(func: Any) -> tuple[str, bool]:
    """The name of a torch function, and whether it is a loss."""
    op = op_name(func)
    return op, ops.named(op).kind == "loss"


class Ear(TorchFunctionMode):
    """Notes calls of loss functions anywhere, and differences that are squared in the loss."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[LossCall] = []
        self.count: Counter[str] = Counter()
        self.in_loss = False
        self.derived: dict[int, Tensor] = {}  # what is computed from the model's outputs, kept so that ids stay unique
        self.differences: dict[int, LossCall] = {}
        self.output: Any = None

    def during(self, loss: Loss) -> Loss:
        """The same loss; while it runs, what it computes of the model's outputs is followed."""

        def followed(output: Any, target: Any) -> Tensor:
            self.in_loss = True
            self.output = output
            self.derived = {id(tensor): tensor for tensor in tensors_in(output)}
            try:
                return loss(output, target)
            finally:
                self.in_loss = False
                self.derived, self.differences = {}, {}

        return followed

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        op, judges = _known(func)
        if judges and torch._C._current_graph_task_id() == -1:  # not where a checkpoint runs again
            self._note(func, op, args, kwargs)
            self.count[op] += 1
        result = func(*args, **kwargs)
        if self.in_loss and isinstance(result, Tensor):
            self._follow(op, args, kwargs, result)
        return result

    def _note(self, func: Any, op: str, args: Any, kwargs: Any) -> None:
        try:
            bound = inspect.signature(func).bind(*args, **kwargs).arguments
        except (TypeError, ValueError):
            return
        prediction, target = bound.pop("input", None), bound.pop("target", None)
        if isinstance(prediction, Tensor) and isinstance(target, Tensor):
            call = LossCall(op, self.count[op], prediction.detach(), target.detach(), bound, func)
            self.calls.append(call)

    def _follow(self, op: str, args: Any, kwargs: Any, result: Tensor) -> None:
        reads = list(tensors_among((args, kwargs)))
        ours = [id(t) in self.derived for t in reads]
        if not any(ours):
            return
        self.derived[id(result)] = result
        if op == "sub":
            if len(reads) == 2 and ours.count(True) == 1 and "alpha" not in kwargs:
                prediction, target = (t.detach() for t in (reads if ours[0] else reads[::-1]))
                made = LossCall("difference", self.count[op], prediction, target, {}, _squared_difference)
                self.differences[id(result)] = made
            self.count[op] += 1
        squared = op in _SQUARES or (op == "mul" and len(reads) == 2 and reads[0] is reads[1])
        if squared and (found := self.differences.pop(id(reads[0]), None)) is not None:
            self.calls.append(found)


def _squared_difference(prediction: Tensor, target: Tensor) -> Tensor:
    return (prediction - target).square()
