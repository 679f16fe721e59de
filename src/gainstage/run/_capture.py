"""Observe a training loop that we did not write: `with gs.capture() as seen: train()`."""

import sys
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.optim import Optimizer
from torch.overrides import TorchFunctionMode

from gainstage.run._hub import Listener, listening
from gainstage.run._lines import line_of_user
from gainstage.run._living import living, schedules, trains_any
from gainstage.run._pair import Pass, pair_of
from gainstage.run._program import Tracer
from gainstage.run._seen import Pair, rows, total_norm
from gainstage.run._subject import Subject
from gainstage.run._traced import Traced

Finder = Callable[[tuple[Tensor, ...]], Subject | None]


class Stopped(BaseException):
    """Ends a training loop that has been seen for long enough; no `except Exception` catches it."""


class capture(Traced, Listener):
    """A block that observes what a foreign loop trains, up to its first optimizer steps, and then leaves it.

    It stands at `backward` and at the optimizer's step, so that it does not matter who calls them: a plain loop,
    Lightning, Hugging Face's Trainer. What the script computes between its data and `backward` is kept as a program,
    from which each optimizer gets a `Subject`. The loop ends right before the update of its k-th step, so that for one
    step the model is checked as it starts. Where several optimizers exist, each is let through to its k-th step first,
    and the parameters are set back to what they were before theirs.

    Args:
        steps: k.
        go_on: let the loop go on, and only observe.
        patience: seconds to wait for the first step.
        finders: asked after every backward pass for a subject, for loops whose optimizer is not torch's.
        on_swallowed: called where the loop has caught our stop several times and goes on.
        on_complete: called, instead of a stop, when every optimizer was seen; it may `leave`.

    Attributes:
        pairs: for each optimizer what it trains.
        counts: what happened.
        swallowed: how often the loop caught our stop.

    Example:
        >>> import torch, gainstage as gs
        >>> def train():
        ...     model = torch.nn.Linear(4, 2)
        ...     optimizer = torch.optim.SGD(model.parameters(), 0.1)
        ...     while True:
        ...         torch.nn.functional.cross_entropy(model(torch.randn(8, 4)), torch.arange(8) % 2).backward()
        ...         optimizer.step()
        >>> with gs.capture() as seen:
        ...     train()
        >>> subject = seen.subjects[0]
        >>> subject.model, subject.example.shape, subject.target.shape
        (Linear(in_features=4, out_features=2, bias=True), torch.Size([8, 4]), torch.Size([8]))
    """

    def __init__(
        self,
        steps: int = 1,
        *,
        go_on: bool = False,
        patience: float | None = None,
        finders: Sequence[Finder] = (),
        on_swallowed: Callable[[], None] | None = None,
        on_complete: Callable[[], None] | None = None,
    ) -> None:
        super().__init__()
        self.steps, self.go_on, self.patience = steps, go_on or on_complete is not None, patience
        self.on_complete = on_complete
        self.finders, self.on_swallowed = finders, on_swallowed
        self.pairs: list[Pair] = []
        self.scaler: Any = None
        self.swallowed = 0
        self.done = self._open = False
        self._passes: list[Pass] = []
        self._norm: dict[int, Tensor] = {}
        self._made: dict[int, int] = {}
        self._trained: set[int] = set()  # parameters that were stepped
        self._before: list[tuple[Tensor, Tensor]] = []
        self._raw: dict[int, Tensor] = {}

    @property
    def subjects(self) -> tuple[Subject, ...]:
        """One an optimizer, in the order of their steps."""
        return tuple(pair.subject for pair in self.pairs if pair.subject is not None)

    def table(self, pair: Pair) -> list[tuple[str, str, str]]:
        """What was seen of a pair: a row a thing, with the script's line."""
        return rows(pair, self.scaler, schedules(pair.optimizer))

    # --- the block -------------------------------------------------------------------------------------------------

    def __enter__(self) -> "capture":
        self._thread, self._begun, self._stack = threading.get_ident(), time.monotonic(), ExitStack()
        self._stack.enter_context(listening(self))
        self._stack.callback(register_module_forward_pre_hook(self._enter).remove)
        leave = register_module_forward_hook(self._leave, with_kwargs=True, always_call=True)
        self._stack.callback(leave.remove)
        self._stack.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", "Using `torch.compile.*when there are global hooks")
        if "torch._dynamo" in sys.modules:
            self._stack.enter_context(torch.compiler.set_stance("force_eager"))
        TorchFunctionMode.__enter__(self)  # type: ignore[no-untyped-call]
        self._open = True
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> bool:
        self.leave()
        with torch.no_grad():
            for tensor, before in self._before if not self.go_on else ():
                tensor.copy_(before)
        self._before.clear()
        return kind is not None and issubclass(kind, Stopped)

    def leave(self) -> None:
        """Observe no more; the loop goes on by itself."""
        if self._open and self._running:
            self._closing = True  # inside a function that this mode was asked about: at the next pass
        elif self._open:
            self._open = False
            TorchFunctionMode.__exit__(self, None, None, None)  # type: ignore[no-untyped-call]
            self._stack.close()
            self._tracer = Tracer()

    def _stop(self) -> None:
        """Leave the loop; where it caught this before, again, and after three times by `on_swallowed`."""
        if self.go_on:
            if self.on_complete is not None and not self.done:
                self.done = True
                with self._question():
                    self.on_complete()
            return
        self.swallowed += self.done
        self.done = True
        if self.swallowed >= 3 and self.on_swallowed is not None:
            with self._question():
                self.on_swallowed()
        raise Stopped("gainstage has seen enough of this loop")

    def _look(self) -> bool:
        if threading.get_ident() != self._thread or self._asking or self._closing:
            return False
        if self.done and not self.go_on:
            self._stop()
        if self.patience is not None and time.monotonic() - self._begun > self.patience and not self.counts.steps:
            self._stop()
        return True

    # --- the backward pass and the step ----------------------------------------------------------------------------

    def scaled(self, scaler: Any, loss: Tensor, scaled: Tensor) -> None:
        """The scaler's factor is no part of the loss."""
        if scaler.is_enabled():
            self.scaler = scaler
            self._tracer.alias(scaled, loss)
            self._raw[id(scaled)] = loss

    def before_backward(self, losses: tuple[Tensor, ...]) -> None:
        """Keep the program behind the loss."""
        if not self._look() or len(losses) != 1 or losses[0].numel() != 1:
            return
        loss = losses[0]
        var = self._tracer.var(loss)
        if var is not None and len(self._passes) < 8:
            with torch._C.DisableTorchFunction():
                value = float(self._raw.get(id(loss), loss).detach())
            self._passes.append(Pass(self._tracer.behind(loss), var, value, line_of_user(), self._generator))
        self._raw.clear()

    def after_backward(self, losses: tuple[Tensor, ...]) -> None:
        """Gradients have arrived: note their norms, which clipping may change, and ask the finders."""
        if threading.get_ident() != self._thread or self._asking or self._closing:
            return
        self.counts.backwards += 1
        self._generator = None
        for finder in () if self.done else self.finders:
            if (subject := finder(losses)) is not None:
                pair = Pair(subject.optimizer, subject, subject.model, loss=float(losses[0].detach()), backwards=1)
                pair.lines["step"] = line_of_user() or ("", 0)
                self.pairs.append(pair)
                self._stop()
        with torch._C.DisableTorchFunction():
            for optimizer in living():
                if (norm := total_norm(optimizer)) is not None:
                    self._norm[id(optimizer)] = norm

    def before_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> Any:
        """An optimizer is about to step: this is where a loop ends. A closure is run to its backward pass first."""
        if not self._look():
            return None
        closure = args[1] if len(args) > 1 else kwargs.get("closure")  # the first is the optimizer itself
        if closure is None:
            self._stepped(optimizer)
            return None
        waiting = [optimizer]  # a closure may be asked for several points of one step

        def observed() -> Any:
            value = closure()
            if waiting:
                self._stepped(waiting.pop())
            return value

        return ((args[0], observed, *args[2:]), kwargs) if len(args) > 1 else (args, {**kwargs, "closure": observed})

    def _stepped(self, optimizer: Optimizer) -> None:
        self.counts.steps += 1
        number = self._made[id(optimizer)] = self._made.get(id(optimizer), 0) + 1
        with torch._C.DisableTorchFunction():
            if number == self.steps:
                with self._question():
                    self.pairs.append(pair_of(optimizer, self._passes, self.scaler, self._norm.get(id(optimizer))))
            self._passes.clear()
            held = [p for g in optimizer.param_groups for p in g["params"]]
            self._trained |= {id(p) for p in held}
            others = [o for o in living() if trains_any(o, self._called - self._trained)]
            enough = number > self.steps or (number == self.steps and not others and min(self._made.values()) == number)
            if number == self.steps and not self.go_on and not enough:
                self._before += [(p, p.detach().clone()) for p in held]
        if enough:
            self._stop()
