"""Run a foreign model and leave no trace."""

from collections.abc import Callable
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from gainstage.run._entry import ONE_AT_A_TIME
from gainstage.run._guard import Guard
from gainstage.run._interrupts import Interrupts, uninterrupted
from gainstage.run._plainly import plainly
from gainstage.run._seeded import chance, seed_all
from gainstage.run._settings import settings
from gainstage.run._state import Failures, NotRestored, State
from gainstage.run._wrappers import ready, refuse


class undisturbed:
    """A block that runs foreign code under a fixed random state, and after which everything is as it was.

    Kept and put back, each on its own, whatever the block raises (`KeyboardInterrupt` and `SystemExit` too):

    - of the model: attributes, hooks and mode of every module, the memory, shape, gradient, hooks and `requires_grad`
      of every parameter and buffer, and what its attributes hold (lists, dictionaries, tensors, random generators);
    - of what else is given: optimizers, schedules, scalers, and all that a function can reach (see `State`);
    - the random states of Python, NumPy and torch on every initialized device, and torch's global settings.

    Only what has changed is touched. Large tensors are copied when an operation is about to write to them (`Guard`
    reads it off the schemas), small ones at once. What a foreign kernel writes to a tensor of more than 256 KB past
    torch is not seen. Inside, compiled parts run eagerly, DDP does not synchronize, and FSDP2 is sharded again at the
    end. Ctrl-C while things are put back waits until they are. One thread at a time: a second one waits.

    Args:
        model: any module.
        reached: what else the block may change.
        seed: of the random state inside.

    Raises:
        NotRestored: something could not be put back; all else is.
        GainstageError: the model is in a wrapper that cannot be run without a trace.

    Example:
        >>> model = nn.BatchNorm1d(2)
        >>> with undisturbed(model):
        ...     _ = model(torch.randn(4, 2))
        >>> int(model.num_batches_tracked)
        0
    """

    def __init__(self, model: nn.Module, *reached: Any, seed: int = 0) -> None:
        self._model, self._reached, self._seed = model, reached, seed
        self._state, self._interrupts = State(), Interrupts()
        self._inside: list[tuple[str, Callable[[], object]]] = []  # left before the state is put back
        self._outside: list[tuple[str, Callable[[], object]]] = []  # and after
        self.guard = Guard(self._state.before_write)

    @uninterrupted
    def __enter__(self) -> "undisturbed":
        refuse(self._model)
        self._interrupts.install()
        try:
            ONE_AT_A_TIME.acquire()
            self._outside.append(("the lock", ONE_AT_A_TIME.release))
            with plainly():
                self._outside += [("a setting of torch", put_back) for put_back in settings()]
                self._outside += [("a random state", put_back) for put_back in chance()]
                for thing in (self._model, *self._reached):
                    self._state.keep(thing)
                seed_all(self._seed)
            self._inside.append(("a wrapper", ready(self._model).close))
            hook = register_optimizer_step_pre_hook(lambda optimizer, args, kwargs: self.keep(optimizer))
            self._inside.append(("a hook", hook.remove))
            self.guard.__enter__()  # type: ignore[no-untyped-call]
            self._inside.append(("a mode", lambda: self.guard.__exit__(None, None, None)))  # type: ignore[no-untyped-call]
        except BaseException:
            self._restore()
            self._interrupts.deliver()
            raise
        if self._interrupts.waiting:
            self._restore()
            self._interrupts.deliver()
        return self

    @uninterrupted
    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        failed = self._restore()
        self._interrupts.deliver()
        if failed:
            raise NotRestored.of(failed)

    def keep(self, thing: Any) -> None:
        """Answer for `thing` too, as it is now."""
        with plainly():
            self._state.keep(thing)

    def before_write(self, *tensors: Tensor) -> None:
        """Copy kept tensors that are about to be written to past torch."""
        with plainly():
            for tensor in tensors:
                self._state.before_write(tensor.detach())

    def before(self, tensor: Tensor) -> Tensor:
        """The values that a kept tensor had."""
        with plainly():
            return self._state.before(tensor)

    @property
    def scalers(self) -> list[torch.amp.GradScaler]:
        """The gradient scalers that were reached."""
        return self._state.scalers

    def _restore(self) -> Failures:
        failed = _leave(self._inside)
        with plainly():
            failed += self._state.restore()
            return failed + _leave(self._outside)


def _leave(entered: list[tuple[str, Callable[[], object]]]) -> Failures:
    """Undo the last first, each on its own."""
    failed: Failures = []
    while entered:
        what, undo = entered[-1]
        try:
            undo()
        except BaseException as error:
            failed.append((what, error))
        entered.pop()
    return failed
