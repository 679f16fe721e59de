"""A table with a row that stays 0."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ._errors import CannotFill
from ._fans import Fans
from ._law import Law, Shape, kind, named
from ._numbers import shown, whole
from ._write import draw
from .streams import Stream


@kind("padded")
@dataclass(frozen=True)
class Padded(Law):
    """A law with one row of zeros."""

    inner: Law = None  # type: ignore[assignment]
    row: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.inner, Law):
            raise CannotFill(f"padded(law, row) needs a law, as in padded(normal(), 0); got {shown(self.inner)}.")
        whole("the row of padded()", self.row, low=0)

    def _check(self, shape: Shape, fans: Fans | None = None) -> None:
        if len(shape) < 2 or self.row >= shape[0]:
            raise CannotFill(f"{self} needs a table with a row {self.row}; got shape {tuple(shape)}.")
        self.inner.check(shape, fans)

    def concrete(self, shape: Shape, fans: Fans | None = None) -> Law:
        return Padded(self.inner.concrete(shape, fans), self.row)

    def build(self, shape: Shape, fans: Fans | None, stream: Stream) -> Tensor:
        recipe = self.inner.concrete(shape, fans).recipe()
        made = self.inner.build(shape, fans, stream) if recipe is None else draw(recipe, stream, tuple(shape))
        made[self.row] = torch.zeros(())
        return made

    def scaled(self, factor: float) -> Law:
        return Padded(self.inner.scaled(factor), self.row)

    def __str__(self) -> str:
        return f"padded({self.inner}, row={self.row})"


@named
def padded(law: Law, row: int = 0) -> Law:
    """A law for a table of which one row stays 0, as `nn.Embedding(padding_idx=row)` starts.

    No gradient reaches that row, so numbers drawn there would be added for ever. The other rows are those that `law`
    draws by itself.

    Args:
        law: of the table.
        row: that is 0, counted from 0.

    Returns:
        The law.

    Raises:
        CannotFill: no law, or, when filling, a table without that row.

    Example:
        >>> from gainstage import init
        >>> import torch
        >>> table = init.fill_(torch.empty(3, 2), init.padded(init.ones(), 1), name="table")
        >>> table.tolist()
        [[1.0, 1.0], [0.0, 0.0], [1.0, 1.0]]
    """
    return Padded(law, whole("the row of padded()", row, low=0))
