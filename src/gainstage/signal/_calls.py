"""Facts about operations: which argument is the weight, what rearranges, what normalizes."""

from collections.abc import Iterator
from dataclasses import dataclass

from gainstage.init import Fans, fans
from gainstage.signal._tape import Ref, Site

NORMS = frozenset(
    {"batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm", "normalize", "native_layer_norm"}
)
DROPOUTS = frozenset(
    {"dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout", "native_dropout"}
)
SPLITS = frozenset({"chunk", "split", "tensor_split", "unbind", "getitem", "select", "narrow", "split_with_sizes"})
POOLS = frozenset(
    f"{prefix}{kind}_pool{n}d" for prefix in ("", "adaptive_") for kind in ("avg", "max") for n in (1, 2, 3)
) | {"mean", "max_pool2d_with_indices"}
RECURRENT = frozenset(
    {"lstm", "gru", "rnn_tanh", "rnn_relu", "lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell"}
)
LOSSES = frozenset(
    {"cross_entropy", "nll_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits", "mse_loss", "l1_loss"}
    | {"smooth_l1_loss", "huber_loss", "kl_div", "ctc_loss", "cosine_embedding_loss", "triplet_margin_loss"}
)
ADDS = frozenset({"add", "sub", "rsub"})
PRODUCTS = frozenset({"mul", "div", "truediv", "multiply"})
MATMULS = frozenset({"matmul", "mm", "bmm", "einsum", "baddbmm", "_grouped_mm", "grouped_mm"})

# Elementwise functions of one tensor, and of several when all come from one place.
ELEMENTWISE = (
    frozenset(
        [
            "relu",
            "relu6",
            "gelu",
            "silu",
            "mish",
            "elu",
            "selu",
            "celu",
            "leaky_relu",
            "rrelu",
            "prelu",
            "tanh",
            "sigmoid",
            "softplus",
            "softsign",
            "hardtanh",
            "hardswish",
            "hardsigmoid",
            "logsigmoid",
            "tanhshrink",
            "softshrink",
            "hardshrink",
            "threshold",
            "abs",
            "square",
            "sqrt",
            "rsqrt",
            "reciprocal",
            "exp",
            "expm1",
            "log",
            "log1p",
            "sin",
            "cos",
            "erf",
            "erfc",
            "pow",
            "neg",
            "clamp",
            "clamp_min",
            "clamp_max",
            "clip",
            "sign",
            "floor",
            "round",
            "maximum",
            "minimum",
            "where",
            "sinc",
        ]
    )
    | ADDS
    | PRODUCTS
    | DROPOUTS
)


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
    op = site.op
    if op == "linear":
        data, weight, bias = (site.argument(i, n) for i, n in enumerate(("input", "weight", "bias")))
        return WeightCall("linear", data, weight, bias, fans(shapes[weight.site]))
    if op.startswith("conv") and op[-1] == "d":
        data, weight, bias = (site.argument(i, n) for i, n in enumerate(("input", "weight", "bias")))
        transposed = "transpose" in op
        stride = site.argument(3, "stride", 1)
        groups = site.argument(6, "groups", 1)
        used = fans(shapes[weight.site], stride=stride, groups=groups, transposed=transposed)
        return WeightCall("conv_transpose" if transposed else "conv", data, weight, bias, used)
    if op in ("embedding", "embedding_bag"):
        first, second = site.argument(0, "input"), site.argument(1, "weight")
        weight = second if op == "embedding" or second.site in constant else first
        return WeightCall("embedding", None, weight, None, Fans(1, shapes[weight.site][-1]))
    if op == "bilinear":
        data, weight, bias = site.argument(0, "input1"), site.argument(2, "weight"), site.argument(3, "bias")
        out, left, right = shapes[weight.site]
        return WeightCall("bilinear", data, weight, bias, Fans(left * right, out))
    if op == "addmm":
        bias, data, weight = (site.argument(i, n) for i, n in enumerate(("input", "mat1", "mat2")))
        if _is_weight(weight, shapes, constant):
            return WeightCall("matmul", data, weight, bias, fans(shapes[weight.site], in_axes=0, out_axes=1), True)
        return None
    if op in MATMULS:
        return _product(site, shapes, constant)
    return None


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
    places = {
        "batch_norm": (3, 4),
        "instance_norm": (3, 4),
        "layer_norm": (2, 3),
        "group_norm": (2, 3),
        "rms_norm": (2, 9),
    }
    for slot, name, position in zip(("scale", "shift"), ("weight", "bias"), places.get(site.op, (9, 9)), strict=True):
        ref = site.argument(position, name)
        if isinstance(ref, Ref):
            yield slot, ref
