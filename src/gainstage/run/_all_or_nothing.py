"""Changes to a model that are taken back when the block does not come to its end."""

from collections.abc import Iterable
from types import TracebackType

from torch import Tensor, nn

from gainstage.run._interrupts import Interrupts, uninterrupted
from gainstage.run._plainly import plainly
from gainstage.run._state import Failures, NotRestored, State


class all_or_nothing:
    """A block that changes a model; if it raises, also by Ctrl-C, the model is as it was.

    Example:
        >>> layer = nn.Linear(2, 1)
        >>> before = layer.bias.item()
        >>> try:
        ...     with all_or_nothing(layer) as undo:
        ...         undo.before_write(layer.bias)
        ...         _ = nn.init.constant_(layer.bias, 3.0), 1 / 0
        ... except ZeroDivisionError:
        ...     print(layer.bias.item() == before)
        True
    """

    def __init__(self, model: nn.Module) -> None:
        self._model, self._state, self._interrupts = model, State(), Interrupts()

    @uninterrupted
    def __enter__(self) -> "all_or_nothing":
        self._interrupts.install()
        try:
            with plainly():
                self._state.keep(self._model)
        except BaseException:
            self._interrupts.deliver()
            raise
        return self

    @uninterrupted
    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        failed: Failures = []
        if kind is not None:
            with plainly():
                failed = self._state.restore()
        self._interrupts.deliver()
        if failed:
            raise NotRestored.of(failed)

    def before_write(self, *tensors: Tensor | Iterable[Tensor]) -> None:
        """Copy these tensors of the model, which are about to be written to."""
        with plainly():
            for given in tensors:
                for tensor in (given,) if isinstance(given, Tensor) else given:
                    self._state.before_write(tensor.detach())

    def before(self, tensor: Tensor) -> Tensor:
        """The values that a tensor of the model had."""
        with plainly():
            return self._state.before(tensor)
