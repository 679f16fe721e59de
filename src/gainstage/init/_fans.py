"""Fans: how many numbers a weight sums over, forwards and backwards, as the weight is *used*."""

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ._errors import CannotFill
from ._numbers import shown, whole

Axes = int | tuple[int, ...]


class Fans(NamedTuple):
    """`fan_in` products are summed into one output; one input reaches `fan_out` outputs.

    Both may be fractional: a transposed convolution of kernel 3 and stride 2 sums 1.5 taps on average.

    Example:
        >>> Fans(256, 64).fan_in
        256
    """

    fan_in: float
    fan_out: float


def fans(
    weight: Tensor | nn.Module | tuple[int, ...],
    *,
    in_axes: Axes | None = None,
    out_axes: Axes | None = None,
    batch_axes: Axes = (),
    stride: Axes = 1,
    groups: int = 1,
    transposed: bool = False,
) -> Fans:
    r"""The fans of a weight or of a module that holds one.

    $$ \text{fan\_in} = \frac{c_\text{in}}{g} \prod_d k_d, \qquad
       \text{fan\_out} = \frac{c_\text{out}}{g} \prod_d \frac{k_d}{s_d} $$

    for a convolution with kernel $k$, stride $s$ and $g$ groups; a transposed convolution exchanges the roles, so that
    its stride divides `fan_in`. Dilation changes neither. The receptive field is counted as if it lay inside the
    image; padding makes sums at the border shorter.

    Args:
        weight: a tensor or shape (output axis first, then input, then the kernel: torch's convention), or a module:
            `Linear`, `Conv*d`, `ConvTranspose*d`, `Bilinear`, `Embedding`, `EmbeddingBag`, `MultiheadAttention`
            (one projection of the packed weight), `RNN`, `LSTM`, `GRU` and their cells (the recurrent weight of one
            gate).
        in_axes: axes that are summed over, for einsum weights; every other axis that is neither in `out_axes` nor in
            `batch_axes` is a kernel axis, which counts in both fans.
        out_axes: axes of the output; `()` where all of it is summed into one number.
        batch_axes: axes that choose one of several independent weights (experts, heads that do not mix).
        stride: of the convolution the weight is used in, per axis or one for all.
        groups: of that convolution.
        transposed: the weight is used by a transposed convolution: `(in, out / groups, *kernel)`.

    Returns:
        `Fans(fan_in, fan_out)`.

    Raises:
        CannotFill: fewer than two axes and none named, or axes that overlap.

    Example:
        >>> fans(nn.Conv2d(64, 128, 3, groups=4))
        Fans(fan_in=144, fan_out=288)
        >>> fans(nn.ConvTranspose2d(64, 256, 4, stride=2))
        Fans(fan_in=256, fan_out=4096)
        >>> fans((8, 64, 512), in_axes=2, out_axes=(0, 1))  # "hdm,btm->bthd"
        Fans(fan_in=512, fan_out=512)
        >>> fans((64,), in_axes=0, out_axes=())  # a vector that is a dot product's weight
        Fans(fan_in=64, fan_out=1)
        >>> fans((16, 512, 2048), in_axes=1, out_axes=2, batch_axes=0)  # a bank of 16 experts
        Fans(fan_in=512, fan_out=2048)

    References:
        He et al., *Delving Deep into Rectifiers*, ICCV 2015, sections 2.2.
    """
    if isinstance(weight, nn.Module):
        return _of_module(weight)
    shape = _shape(weight)
    if in_axes is not None or out_axes is not None or batch_axes != ():
        return _of_axes(shape, in_axes, out_axes, batch_axes)
    if len(shape) < 2:
        raise CannotFill(
            f"fans need an output and an input axis, so at least 2 dimensions; got shape {shape}. A bias or a "
            "norm scale has no fans: give it init.zeros(), init.ones() or init.constant(value), pass "
            "fans=init.Fans(i, o), or say which axes are summed: in_axes=0, out_axes=()."
        )
    groups = whole("groups", groups)
    strides = stride if isinstance(stride, tuple | list) else (stride,) * len(shape[2:])
    taps = prod(shape[2:])
    reached = taps / prod(whole("stride", s) for s in strides)
    if transposed:
        return Fans(_whole(shape[0] // groups * reached), shape[1] * taps)
    return Fans(shape[1] * taps, _whole(shape[0] // groups * reached))


def _shape(weight: Tensor | Sequence[int]) -> tuple[int, ...]:
    if isinstance(weight, Tensor):
        if is_lazy(weight):
            raise CannotFill("a lazy weight has no shape yet, so no fans. Run the model once on an example, then ask.")
        return tuple(weight.shape)
    if not isinstance(weight, Sequence) or isinstance(weight, str):
        raise CannotFill(f"fans are those of a tensor, a shape or a module; got {shown(weight)}.")
    return tuple(whole("a size in the shape", n, low=0) for n in weight)


def _of_axes(shape: tuple[int, ...], in_axes: Axes | None, out_axes: Axes | None, batch_axes: Axes) -> Fans:
    used = [_axes(a, len(shape)) for a in (in_axes, out_axes, batch_axes)]
    if in_axes is None or out_axes is None or len({*used[0], *used[1], *used[2]}) < sum(map(len, used)):
        raise CannotFill(
            f"in_axes, out_axes and batch_axes of a weight of shape {shape} must be different axes, the first two "
            f"given; got in_axes={in_axes}, out_axes={out_axes}, batch_axes={batch_axes}."
        )
    kernel = prod(n for axis, n in enumerate(shape) if not any(axis in group for group in used))
    return Fans(kernel * prod(shape[a] for a in used[0]), kernel * prod(shape[a] for a in used[1]))


def _axes(axes: Axes | None, ndim: int) -> tuple[int, ...]:
    given = () if axes is None else tuple(axes) if isinstance(axes, tuple | list) else (axes,)
    for axis in given:
        whole("an axis", axis, low=-ndim)
        if not -ndim <= axis < ndim:
            raise CannotFill(f"a weight of {ndim} dimensions has no axis {axis}; write {-ndim} to {ndim - 1}.")
    return tuple(axis % ndim for axis in given)


def _of_module(module: nn.Module) -> Fans:
    if isinstance(module, nn.modules.conv._ConvNd) and not is_lazy(module.weight):
        shape = tuple(module.weight.shape)
        return fans(shape, stride=module.stride, groups=module.groups, transposed=module.transposed)
    if isinstance(module, nn.Bilinear):  # y_o = sum_ij x_i W_oij x'_j: a sum over pairs
        return Fans(module.in1_features * module.in2_features, module.out_features)
    if isinstance(module, nn.Embedding | nn.EmbeddingBag):  # a look-up, not a sum: the row itself is the output
        return Fans(1, module.embedding_dim)
    if isinstance(module, nn.MultiheadAttention):
        return Fans(module.embed_dim, module.embed_dim)
    if isinstance(module, nn.RNNBase | nn.RNNCellBase):
        return Fans(module.hidden_size, module.hidden_size)
    weight = getattr(module, "weight", None)
    if isinstance(weight, Tensor) and (is_lazy(weight) or weight.dim() >= 2):
        return fans(weight)
    raise CannotFill(
        f"{type(module).__name__} is not a module whose fans are known; pass its weight and say which axes are summed, "
        "as in init.fans(module.weight, in_axes=1, out_axes=0)."
    )


def _whole(x: float) -> float:
    return int(x) if x == int(x) else x
