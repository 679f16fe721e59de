"""Exceptions thrown inside the model, its loss, its backward pass or the user's training step."""

import dataclasses
import random
import sys
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from fuzz.tally import ARMED, PASSED, RAISED


class Stop(BaseException):
    """Like `SystemExit`: not an `Exception`."""


def _kinds() -> dict[str, type[BaseException]]:
    from gainstage import GainstageError

    return {
        "RuntimeError": RuntimeError,
        "ValueError": ValueError,
        "KeyboardInterrupt": KeyboardInterrupt,
        "SystemExit": SystemExit,
        "MemoryError": MemoryError,
        "StopIteration": StopIteration,
        "AssertionError": AssertionError,
        "Stop": Stop,
        "GainstageError": GainstageError,
    }


KINDS = ("RuntimeError", "ValueError", "KeyboardInterrupt", "SystemExit", "MemoryError", "StopIteration",
         "AssertionError", "Stop", "GainstageError")  # fmt: skip
PLACES = ("function", "module", "module_end", "hook", "loss", "backward", "tensor_hook", "step_before", "step_after")


@dataclasses.dataclass(frozen=True)
class Fault:
    """Raises `kind` the n-th time that `place` is passed.

    It counts in a module that is found by name only (`fuzz.tally`): what a call undoes must not undo the count.
    """

    outside_of_the_model: ClassVar[bool] = True
    key: int
    place: str
    kind: str
    n: int

    def tick(self) -> None:
        tally = sys.modules["fuzz.tally"]
        if self.key not in tally.ARMED or self.key in tally.RAISED:
            return
        tally.PASSED[self.key] = tally.PASSED.get(self.key, 0) + 1
        if tally.PASSED[self.key] >= self.n:
            tally.RAISED[self.key] = _kinds()[self.kind](f"thrown by the fuzzer at {self.place}")
            raise tally.RAISED[self.key]

    def arm(self, ready: bool) -> None:
        """Begin to count, or stop and forget."""
        PASSED.pop(self.key, None)
        RAISED.pop(self.key, None)
        (ARMED.add if ready else ARMED.discard)(self.key)

    @property
    def raised(self) -> BaseException | None:
        return RAISED.get(self.key)

    def __deepcopy__(self, memo: Any) -> "Fault":
        return self

    def __repr__(self) -> str:
        return f"{self.kind} at the {self.n}. {self.place}"


def draw_fault(draw: random.Random, call: str, key: int) -> Fault | None:
    """None three times of four."""
    if draw.random() < 0.75:
        return None
    places = [p for p in PLACES if ("step" in p) <= (call == "check_step")]
    place = draw.choice(places)
    n = draw.choice((1, 1, 2, 3, 5, 9, 14, 20)) if place == "function" else draw.choice((1, 1, 1, 2, 3, 4))
    return Fault(key, place, draw.choice(KINDS), n)


class _Raising(TorchFunctionMode):
    def __init__(self, fault: Fault) -> None:
        super().__init__()
        self.fault = fault

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.fault.tick()
        return func(*args, **(kwargs or {}))


class _Backward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, fault: Fault) -> Tensor:
        ctx.fault = fault
        return x.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        ctx.fault.tick()
        return grad, None


class Faulty(nn.Module):
    """The body of a model, with the place where the exception is thrown."""

    def __init__(self, inner: nn.Module, fault: Fault) -> None:
        super().__init__()
        self.inner, self.fault = inner, fault
        if fault.place == "hook":
            inner.register_forward_hook(lambda m, i, o: fault.tick())

    def forward(self, x: Tensor) -> Tensor:
        if self.fault.place == "module":
            self.fault.tick()
        if self.fault.place == "function":
            with _Raising(self.fault):
                x = self.inner(x)
        else:
            x = self.inner(x)
        if self.fault.place == "module_end":
            self.fault.tick()
        if self.fault.place == "backward":
            x = _Backward.apply(x, self.fault)
        if self.fault.place == "tensor_hook" and x.requires_grad:
            x = x * 1.0
            x.register_hook(lambda g: self.fault.tick())
        return x
