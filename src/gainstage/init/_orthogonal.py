"""Orthogonal weights: matrices, one tap of a convolution, and mirrored pairs."""

from dataclasses import dataclass
from math import prod, sqrt

import torch
from torch import Tensor

from ._errors import CannotFill
from ._fans import Fans
from ._haar import haar
from ._law import Law, Shape, kind, named, usable_fans
from ._numbers import number, shown, whole
from .streams import Stream

_SCALES = ("singular", "fan_in")


@kind("orthogonal")
@dataclass(frozen=True)
class Orthogonal(Law):
    """Orthonormal rows or columns, times a gain."""

    gain: float = 1.0
    scale: str = "singular"
    heads: int = 1

    def __post_init__(self) -> None:
        _check_orthogonal(self, self.gain, self.scale, self.heads, "heads")

    def _check(self, shape: Shape, fans: Fans | None = None) -> None:
        if len(shape) < 2:
            raise CannotFill(
                f"{self} needs at least 2 dimensions; got shape {tuple(shape)}. Write init.zeros() for a bias."
            )
        if fans is not None:
            usable_fans(self, shape, fans)
        _divisible(self, shape, self.heads, "heads")

    def build(self, shape: Shape, fans: Fans | None, stream: Stream) -> Tensor:
        rows, columns = shape[0] // self.heads, prod(shape[1:])
        factor = self.gain
        if self.scale == "fan_in":
            factor *= sqrt(max(rows, columns) / (usable_fans(self, shape, fans).fan_in if fans else columns))
        parts = [haar(rows, columns, s) for s in _streams(stream, self.heads)]
        return torch.cat(parts).mul_(factor).view(tuple(shape))

    def scaled(self, factor: float) -> Law:
        return Orthogonal(self.gain * number("orthogonal.scaled(factor)", factor), self.scale, self.heads)


@kind("delta_orthogonal")
@dataclass(frozen=True)
class DeltaOrthogonal(Law):
    """An orthogonal matrix at the centre of the kernel, zeros around it."""

    gain: float = 1.0
    scale: str = "singular"
    groups: int = 1

    def __post_init__(self) -> None:
        _check_orthogonal(self, self.gain, self.scale, self.groups, "groups")

    def _check(self, shape: Shape, fans: Fans | None = None) -> None:
        if not 3 <= len(shape) <= 5:
            raise CannotFill(
                f"{self} is for convolution kernels, shape (out, in, *kernel) with 1 to 3 kernel axes; got shape "
                f"{tuple(shape)}. Write init.orthogonal() for a matrix."
            )
        _divisible(self, shape, self.groups, "groups")

    def build(self, shape: Shape, fans: Fans | None, stream: Stream) -> Tensor:
        rows, columns = shape[0] // self.groups, shape[1]
        factor = self.gain * (sqrt(max(rows, columns) / columns) if self.scale == "fan_in" else 1.0)
        parts = [haar(rows, columns, s) for s in _streams(stream, self.groups)]
        return at_centre(torch.cat(parts).mul_(factor), shape)

    def scaled(self, factor: float) -> Law:
        return DeltaOrthogonal(self.gain * number("delta_orthogonal.scaled(factor)", factor), self.scale, self.groups)


@kind("mirrored")
@dataclass(frozen=True)
class Mirrored(Law):
    """[W; -W], [W, -W] or [[W, -W], [-W, W]] with W orthogonal (at the centre of a kernel)."""

    gain: float = 1.0
    rows: bool = True
    columns: bool = True

    def __post_init__(self) -> None:
        number("the gain of mirrored()", self.gain)
        for side in (self.rows, self.columns):
            if not isinstance(side, bool):
                raise CannotFill(f"rows and columns of mirrored() are True or False; got {shown(side)}.")
        if not (self.rows or self.columns):
            raise CannotFill(
                "mirrored(rows=False, columns=False) mirrors nothing; write init.orthogonal(gain, scale='fan_in')."
            )

    def _check(self, shape: Shape, fans: Fans | None = None) -> None:
        if not 2 <= len(shape) <= 5:
            raise CannotFill(
                f"{self} needs a matrix or a convolution kernel, 2 to 5 dimensions; got shape {tuple(shape)}."
            )
        for mirrored, axis, side in ((self.rows, 0, "rows"), (self.columns, 1, "columns")):
            if mirrored and shape[axis] % 2:
                raise CannotFill(
                    f"{self} pairs each unit with its mirror image, so axis {axis} must be even; got shape "
                    f"{tuple(shape)}. Write mirrored({side}=False), or give the layer {shape[axis] + 1} units."
                )

    def build(self, shape: Shape, fans: Fans | None, stream: Stream) -> Tensor:
        rows, columns = shape[0] // (1 + self.rows), shape[1] // (1 + self.columns)
        w = haar(rows, columns, stream).mul_(self.gain * sqrt(max(rows, columns) / columns))
        if self.columns:
            w = torch.cat([w, -w], 1)
        if self.rows:
            w = torch.cat([w, -w], 0)
        return at_centre(w, shape)

    def scaled(self, factor: float) -> Law:
        return Mirrored(self.gain * number("mirrored.scaled(factor)", factor), self.rows, self.columns)


@named
def orthogonal(gain: float = 1.0, scale: str = "singular", heads: int = 1) -> Law:
    r"""A random (Haar) matrix with orthonormal rows or columns, times `gain`.

    Axes after the first are taken together, as `torch.nn.init.orthogonal_` does: $R$ rows by $C$ columns.

    Args:
        gain: every singular value, if `scale` is `"singular"`.
        scale: `"singular"` is torch's convention: a tall matrix then shrinks the mean square of a signal by $C / R$.
            `"fan_in"` gives entries of variance $g^2 / \text{fan\_in}$ for any rectangle, so
            that the mean square of a white signal is kept: singular values are $g \sqrt{\max(R, C) / \text{fan\_in}}$.
        heads: split the first axis into so many matrices, drawn independently (streams `name[0]`, `name[1]`, ...).

    Returns:
        The law. Under sharding every rank makes the whole matrix and keeps its part: $O(R C \min(R, C))$ operations and
        about three matrices of memory, for this one parameter at a time. The ranks may be of different processors: the
        sums have a fixed order, and the bits depend on the seed, the name and the shape alone.

    Raises:
        CannotFill: when filling: fewer than 2 dimensions, or a first axis that `heads` does not divide.

    Example:
        >>> str(orthogonal(gain=2**0.5))
        'orthogonal(gain=1.41)'

    References:
        Saxe, McClelland & Ganguli, *Exact solutions to the nonlinear dynamics of learning in deep linear neural
        networks*, ICLR 2014.
    """
    return Orthogonal(number("gain", gain), scale, whole("heads of orthogonal()", heads))


@named
def delta_orthogonal(gain: float = 1.0, scale: str = "singular", groups: int = 1) -> Law:
    r"""A convolution kernel that is an orthogonal matrix at its centre and zero elsewhere.

    With torch's "same" padding, for even kernels too, it keeps the norm of every pixel's channels, so it starts
    networks of thousands of layers. With a stride it does so for the pixels that the stride keeps; with more inputs
    than outputs it projects.

    Args:
        gain: every singular value of the centre, if `scale` is `"singular"`.
        scale: `"fan_in"` instead gives the entries of the centre variance `gain**2 / in_channels`, which keeps the mean
            square of a white signal for any number of channels.
        groups: of the convolution; each group gets its own matrix (streams `name[0]`, `name[1]`, ...).

    Returns:
        The law, for 1-D, 2-D and 3-D kernels.

    Raises:
        CannotFill: when filling: not 3 to 5 dimensions, or an output axis that `groups` does not divide.

    Example:
        >>> str(delta_orthogonal(groups=4))
        'delta_orthogonal(groups=4)'

    References:
        Xiao et al., *Dynamical Isometry and a Mean Field Theory of CNNs*, ICML 2018, algorithm 1.
    """
    return DeltaOrthogonal(number("gain", gain), scale, whole("groups of delta_orthogonal()", groups))


@named
def mirrored(gain: float = 1.0, rows: bool = True, columns: bool = True) -> Law:
    r"""Looks-linear: units in pairs of opposite sign, so that a rectifier network starts as a linear isometry.

    $$ \text{first } \begin{bmatrix} W \\ -W \end{bmatrix}, \qquad
       \text{hidden } \begin{bmatrix} W & -W \\ -W & W \end{bmatrix}, \qquad
       \text{last } \begin{bmatrix} W & -W \end{bmatrix} $$

    Where $\phi(z) - \phi(-z) = z$ (ReLU, GELU, SiLU; leaky ReLU up to a factor $1 + a$), a hidden layer after $\phi$
    maps $(z, -z)$ to $(Wz, -Wz)$. $W$ is orthogonal, scaled so that a rectangle keeps the mean square of a white
    signal; in a convolution it stands at the centre of the kernel.

    Args:
        gain: multiplies everything.
        rows: mirror the output axis: every layer but the last.
        columns: mirror the input axis: every layer but the first.

    Returns:
        The law.

    Raises:
        CannotFill: when filling: an odd number of units on a mirrored axis.

    Example:
        >>> str(mirrored(columns=False))
        'mirrored(columns=False)'

    References:
        Balduzzi et al., *The Shattered Gradients Problem*, ICML 2017, section 4 (looks-linear).
        Zagoruyko & Komodakis, *DiracNets*, 2017.
    """
    return Mirrored(number("gain", gain), rows, columns)


def at_centre(matrix: Tensor, shape: Shape) -> Tensor:
    """The kernel of `shape` with `matrix` at its centre; a 2-D shape is the matrix itself.

    Of an even kernel's two middle taps it is the first, which reads the place it writes under torch's
    `padding="same"`: that pads (k - 1) // 2 places in front.
    """
    if len(shape) == 2:
        return matrix
    kernel = torch.zeros(tuple(shape), dtype=matrix.dtype, device="cpu")
    centre = kernel
    for n in reversed(shape[2:]):
        centre = centre.select(-1, (n - 1) // 2)
    centre.copy_(matrix)
    return kernel


def _streams(stream: Stream, parts: int) -> list[Stream]:
    return [stream] if parts == 1 else [stream.part(i) for i in range(parts)]


def _check_orthogonal(law: Law, gain: float, scale: str, parts: int, what: str) -> None:
    number(f"the gain of {law.kind}()", gain)
    if not isinstance(scale, str) or scale not in _SCALES:
        raise CannotFill(
            f'scale of {law.kind}() is "singular" (torch) or "fan_in" (keeps the mean square); got {shown(scale)}.'
        )
    whole(f"{what} of {law.kind}()", parts)


def _divisible(law: Law, shape: Shape, parts: int, what: str) -> None:
    if shape[0] % parts:
        raise CannotFill(f"{law} needs a first axis that {parts} {what} divide; got shape {tuple(shape)}.")
