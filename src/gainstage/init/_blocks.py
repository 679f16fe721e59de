"""Packed parameters: several weights in one tensor."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ._errors import CannotFill
from ._fans import Fans
from ._law import Law, Shape, kind, named
from ._numbers import shown, whole
from ._write import draw
from .streams import Stream

_MOST_AXES = 64


@kind("blocks")
@dataclass(frozen=True)
class Blocks(Law):
    """The tensor split evenly along `dim`, each block filled by its own law."""

    laws: tuple[Law, ...] = ()
    dim: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.laws, tuple) or not self.laws or not all(isinstance(law, Law) for law in self.laws):
            raise CannotFill(
                f"blocks(laws) needs a sequence of laws, as in blocks((zeros(), ones())); got {shown(self.laws)}."
            )
        whole("the dim of blocks()", self.dim, low=-_MOST_AXES)

    def block_shape(self, shape: Shape) -> tuple[int, ...]:
        """The shape of one block."""
        block = list(shape)
        block[self.dim] //= len(self.laws)
        return tuple(block)

    def _check(self, shape: Shape, fans: Fans | None = None) -> None:
        if not -len(shape) <= self.dim < len(shape) or shape[self.dim] % len(self.laws):
            raise CannotFill(
                f"{self} needs an axis {self.dim} that {len(self.laws)} blocks divide; got shape {tuple(shape)}."
            )
        for law in self.laws:
            law.check(self.block_shape(shape), fans)

    def concrete(self, shape: Shape, fans: Fans | None = None) -> Law:
        return Blocks(tuple(law.concrete(self.block_shape(shape), fans) for law in self.laws), self.dim)

    def build(self, shape: Shape, fans: Fans | None, stream: Stream) -> Tensor:
        block, made = self.block_shape(shape), []
        for i, law in enumerate(self.laws):
            recipe = law.concrete(block, fans).recipe()
            own = stream.part(i)
            made.append(law.build(block, fans, own) if recipe is None else draw(recipe, own, block))
        return torch.cat(made, self.dim)

    def scaled(self, factor: float) -> Law:
        return Blocks(tuple(law.scaled(factor) for law in self.laws), self.dim)

    def __str__(self) -> str:
        dim = f", dim={self.dim}" if self.dim else ""
        if len(set(self.laws)) == 1:
            return f"{len(self.laws)} x {self.laws[0]}{dim}"
        return f"blocks({', '.join(map(str, self.laws))}{dim})"


@named
def blocks(laws: Sequence[Law], dim: int = 0) -> Law:
    """Split the tensor evenly along `dim` into `len(laws)` blocks, each filled by its law.

    For packed queries, keys and values, the gates of an LSTM, a bias whose forget gate starts at 1. Block `i` of the
    parameter `name` draws from the stream `name[i]`; its fans are those of the block's own shape, or the fans given to
    `fill_`, which are then those of one block.

    Args:
        laws: one per block.
        dim: the axis that is split.

    Returns:
        The law.

    Raises:
        CannotFill: no laws, or, when filling, an axis that they do not divide.

    Example:
        >>> from gainstage import init
        >>> import torch
        >>> gates = init.blocks((init.zeros(), init.ones(), init.zeros(), init.zeros()))
        >>> init.fill_(torch.empty(8), gates, name="lstm.bias_ih_l0")
        tensor([0., 0., 1., 1., 0., 0., 0., 0.])

    References:
        Jozefowicz et al., *An Empirical Exploration of Recurrent Network Architectures*, ICML 2015 (forget bias 1).
    """
    dim = whole("the dim of blocks()", dim, low=-_MOST_AXES)
    return Blocks(tuple(laws) if isinstance(laws, Iterable) else laws, dim)
