"""What a call does with a weight, and which parameters a normalization has."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gainstage.init import Fans, fans
from gainstage.signal import ops
from gainstage.signal._sites import Ref, Site


@dataclass(frozen=True)
class WeightCall:
    """How one call uses a weight: `y = weight(data)`.

    Attributes:
        family: `linear`, `conv`, `conv_transpose`, `embedding`, `bilinear` or `matmul`.
        data: what is multiplied; None for a look-up.
        weight, bias: the arguments.
        fans: of the weight as it is used.
        transposed: the weight is stored as (in, out).
    """

    family: str
    data: Ref | None
    weight: Ref
    bias: Ref | None
    fans: Fans
    transposed: bool = False


def weight_call(site: Site, shapes: dict[int, tuple[int, ...]], constant: frozenset[int]) -> WeightCall | None:
    """What this site does with a weight; None where it multiplies no weight.

    Args:
        site: the call.
        shapes: shape of every site's first output.
        constant: sites that do not depend on the inputs (parameters and what is computed from them only).
    """
    kind = ops.of(site).kind
    if kind == "linear":
        data, weight, bias = _arguments(site, "input", "weight", "bias")
        return WeightCall("linear", data, weight, bias, fans(shapes[weight.site]))
    if kind in ("conv", "conv_transpose"):
        data, weight, bias = _arguments(site, "input", "weight", "bias")
        stride, groups = ops.argument(site, "stride", 1), ops.argument(site, "groups", 1)
        used = fans(shapes[weight.site], stride=stride, groups=groups, transposed=kind == "conv_transpose")
        return WeightCall(kind, data, weight, bias, used)
    if kind == "embedding":
        first, second = _arguments(site, "input", "weight")
        weight = second if site.op == "embedding" or second.site in constant else first
        return WeightCall("embedding", None, weight, None, Fans(1, shapes[weight.site][-1]))
    if kind == "bilinear":
        data, weight, bias = _arguments(site, "input1", "weight", "bias")
        out, left, right = shapes[weight.site]
        return WeightCall("bilinear", data, weight, bias, Fans(left * right, out))
    if site.op == "addmm":
        bias, data, weight = _arguments(site, "input", "mat1", "mat2")
        if _is_weight(weight, shapes, constant):
            return WeightCall("matmul", data, weight, bias, fans(shapes[weight.site], in_axes=0, out_axes=1), True)
        return None
    return _product(site, shapes, constant) if kind == "matmul" else None


def _arguments(site: Site, *names: str) -> list[Any]:
    return [ops.argument(site, name) for name in names]


def _is_weight(ref: object, shapes: dict[int, tuple[int, ...]], constant: frozenset[int]) -> bool:
    return isinstance(ref, Ref) and ref.site in constant and len(shapes[ref.site]) >= 2


def _product(site: Site, shapes: dict[int, tuple[int, ...]], constant: frozenset[int]) -> WeightCall | None:
    tensors = site.inputs[-2:] if site.op == "baddbmm" else site.inputs[:2]
    if len(tensors) != 2:
        return None
    weights = [ref for ref in tensors if _is_weight(ref, shapes, constant)]
    if len(weights) != 1:
        return None
    weight = weights[0]
    data = tensors[0] if tensors[1] == weight else tensors[1]
    shape = shapes[weight.site]
    if site.op == "einsum":
        return _einsum(site, data, weight, weight == tensors[0], shape)
    ndim, right = len(shape), weight == tensors[1]
    batch = tuple(range(ndim - 2))
    into, out = (ndim - 2, ndim - 1) if right else (ndim - 1, ndim - 2)
    return WeightCall("matmul", data, weight, None, fans(shape, in_axes=into, out_axes=out, batch_axes=batch), right)


def _einsum(site: Site, data: Ref, weight: Ref, weight_first: bool, shape: tuple[int, ...]) -> WeightCall | None:
    equation = site.args[0]
    if not isinstance(equation, str) or "." in equation or "->" not in equation:
        return None
    operands, result = equation.replace(" ", "").split("->")
    first, second = operands.split(",")
    own, other = (first, second) if weight_first else (second, first)
    into = tuple(i for i, letter in enumerate(own) if letter not in result)
    out = tuple(i for i, letter in enumerate(own) if letter in result and letter not in other)
    batch = tuple(i for i, letter in enumerate(own) if letter in result and letter in other)
    if not into or not out:
        return None
    used = fans(shape, in_axes=into, out_axes=out, batch_axes=batch)
    return WeightCall("matmul", data, weight, None, used, min(into) < min(out))


def norm_parameters(site: Site) -> Iterator[tuple[str, Ref]]:
    """The scale and shift of a normalization call, as far as it has them."""
    if ops.of(site).kind == "norm":
        for slot, name in (("scale", "weight"), ("shift", "bias")):
            if isinstance(ref := ops.argument(site, name), Ref):
                yield slot, ref


def coverage(site: Site, call: WeightCall, shapes: Mapping[int, tuple[int, ...]]) -> float:
    """Share of a convolution's products that read the image rather than its padding; 1 for every other weight."""
    if call.data is None or call.family != "conv":
        return 1.0
    kernel = shapes[call.weight.site][2:]
    sizes, outs = shapes[call.data.site][-len(kernel) :], site.shape[-len(kernel) :]
    share = 1.0
    for axis, (taps, size, out) in enumerate(zip(kernel, sizes, outs, strict=True)):
        stride, dilation = (_along(ops.argument(site, name, 1), axis) for name in ("stride", "dilation"))
        first = -_padding(site, axis, taps)
        inside = sum(0 <= first + i * stride + j * dilation < size for i in range(out) for j in range(taps))
        share *= inside / (out * taps)
    return share


def centred(site: Site, call: WeightCall, shapes: Mapping[int, tuple[int, ...]]) -> bool:
    """Whether the middle tap of a kernel reads the place that it writes, or the map shrinks; true of other weights."""
    kernel = shapes[call.weight.site][2:]
    if (
        call.family != "conv"
        or call.data is None
        or shapes[call.data.site][-len(kernel) :] != site.shape[-len(kernel) :]
    ):
        return True
    middles = [(taps - 1) // 2 * _along(ops.argument(site, "dilation", 1), axis) for axis, taps in enumerate(kernel)]
    return middles == [_padding(site, axis, taps) for axis, taps in enumerate(kernel)]


def _padding(site: Site, axis: int, taps: int) -> int:
    """How many places of padding stand before the first; torch's "same" puts the odd one behind."""
    padding = ops.argument(site, "padding", 0)
    if isinstance(padding, str):
        return (taps - 1) * _along(ops.argument(site, "dilation", 1), axis) // 2 if padding == "same" else 0
    return _along(padding, axis)


def _along(value: int | Sequence[int], axis: int) -> int:
    return value if isinstance(value, int) else value[axis % len(value)]
