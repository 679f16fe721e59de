"""Weights without chance: identity, Dirac, ZerO. And one with: sparse."""

from dataclasses import dataclass
from math import ceil, log2

import torch
from torch import Tensor

from ._errors import CannotFill
from ._fans import Fans
from ._law import Law, Shape, kind, named
from ._numbers import number, shown, whole
from ._orthogonal import at_centre
from ._pointwise import Normal
from ._write import draw
from .streams import Stream


@kind("identity")
@dataclass(frozen=True)
class Identity(Law):
    """`gain` on the diagonal, in each group, at the centre of a kernel."""

    gain: float = 1.0
    groups: int = 1
    later: bool = False  # of an even kernel's two middle taps the second, as torch's dirac_

    def __post_init__(self) -> None:
        number("the gain of identity()", self.gain)
        if not isinstance(self.later, bool):
            raise CannotFill(f"later of identity() is True or False; got {shown(self.later)}.")
        whole("the groups of identity()", self.groups)

    def _check(self, shape: Shape, fans: Fans | None = None) -> None:
        if not 2 <= len(shape) <= 5 or shape[0] % self.groups:
            raise CannotFill(
                f"{self} needs shape (out, in) or (out, in, *kernel) with up to 3 kernel axes and `groups` dividing "
                f"out; got shape {tuple(shape)}."
            )

    def build(self, shape: Shape, fans: Fans | None, stream: Stream) -> Tensor:
        matrix = torch.eye(shape[0] // self.groups, shape[1], dtype=stream.dtype, device="cpu").repeat(self.groups, 1)
        matrix.mul_(self.gain)
        if not self.later or len(shape) == 2:
            return at_centre(matrix, shape)
        return at_centre(matrix, shape).flip(list(range(2, len(shape))))  # mirrors one middle tap into the other

    def scaled(self, factor: float) -> Law:
        return Identity(self.gain * number("identity.scaled(factor)", factor), self.groups, self.later)


@kind("zero")
@dataclass(frozen=True)
class ZerO(Law):
    """Identity where it fits, Hadamard where the width grows."""

    def _check(self, shape: Shape, fans: Fans | None = None) -> None:
        Identity().check(shape, fans)

    def build(self, shape: Shape, fans: Fans | None, stream: Stream) -> Tensor:
        out, into = shape[:2]
        if out <= into:
            return at_centre(torch.eye(out, into, dtype=stream.dtype, device="cpu"), shape)
        m = ceil(log2(out))
        hadamard = torch.ones(1, 1, dtype=stream.dtype, device="cpu")
        for _ in range(m):
            hadamard = torch.cat([torch.cat([hadamard, hadamard], 1), torch.cat([hadamard, -hadamard], 1)])
        return at_centre(hadamard[:out, :into] * 2 ** (-(m - 1) / 2), shape)


@kind("sparse")
@dataclass(frozen=True)
class Sparse(Law):
    """Normal entries, of which a fixed number in every column is zero."""

    sparsity: float = 0.9
    std: float = 0.01

    def __post_init__(self) -> None:
        number("the std of sparse()", self.std, low=0)
        if not 0 <= number("the sparsity of sparse()", self.sparsity) <= 1:
            raise CannotFill(f"the sparsity of sparse() is the share of zeros, from 0 to 1; got {self.sparsity!r}.")

    def _check(self, shape: Shape, fans: Fans | None = None) -> None:
        if len(shape) != 2:
            raise CannotFill(f"{self} fills matrices; got shape {tuple(shape)}.")

    def build(self, shape: Shape, fans: Fans | None, stream: Stream) -> Tensor:
        rows, columns = shape
        values = draw(Normal(0.0, self.std).recipe(), stream, shape)
        order = draw(Normal(0.0, 1.0).recipe(), stream.part("zeros"), (columns, rows)).argsort(dim=1, stable=True)
        zeros = order[:, : ceil(self.sparsity * rows)]
        values.t().scatter_(1, zeros, 0.0)
        return values

    def scaled(self, factor: float) -> Law:
        factor = number("sparse.scaled(factor)", factor)
        return super().scaled(factor) if factor < 0 else Sparse(self.sparsity, self.std * factor)


@named
def identity(gain: float = 1.0, groups: int = 1) -> Law:
    """`gain` times the identity: a matrix with ones on its diagonal, or a convolution that copies its input.

    Args:
        gain: the value on the diagonal.
        groups: of the convolution; each group copies its own channels.

    Example:
        >>> str(identity(0.5))
        'identity(gain=0.5)'

    References:
        Le, Jaitly & Hinton, *A Simple Way to Initialize Recurrent Networks of Rectified Linear Units*, 2015 (IRNN).
    """
    return Identity(number("gain", gain), whole("the groups of identity()", groups))


@named
def dirac(groups: int = 1) -> Law:
    """torch's `dirac_`: `identity` for convolutions, in an even kernel one tap later.

    Example:
        >>> str(dirac(groups=2))
        'identity(groups=2, later=True)'

    References:
        Zagoruyko & Komodakis, *DiracNets*, 2017.
    """
    return Identity(1.0, whole("the groups of dirac()", groups), later=True)


@named
def zero() -> Law:
    r"""ZerO: a start without random numbers: identity, or part of a Hadamard matrix where the width grows.

    $$ W = I^* \ (\text{out} \le \text{in}), \qquad
       W = 2^{-(m-1)/2}\, I^* H_m I^* \ (\text{out} > \text{in}), \quad m = \lceil \log_2 \text{out} \rceil $$

    The Hadamard matrix breaks the symmetry that a plain identity would keep. Not to be mistaken for `zeros`.

    Example:
        >>> str(zero())
        'zero'

    References:
        Zhao, Schäfer & Anandkumar, *ZerO Initialization*, TMLR 2022, algorithm 1.
    """
    return ZerO()


@named
def sparse(sparsity: float = 0.9, std: float = 0.01) -> Law:
    """Normal entries, of which `ceil(sparsity * rows)` in every column are zero.

    Args:
        sparsity: the share of zeros, from 0 to 1.
        std: of the others.

    Example:
        >>> str(sparse(0.75))
        'sparse(sparsity=0.75)'

    References:
        Martens, *Deep learning via Hessian-free optimization*, ICML 2010, section 5.
    """
    return Sparse(number("sparsity", sparsity), number("std", std))
