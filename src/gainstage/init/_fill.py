"""`fill_` and `sample`: a law, a seed and a name give the same numbers everywhere."""

from collections.abc import Iterable, Sequence
from operator import index
from typing import Any

import torch
from torch import Tensor

from gainstage._memory import array_over

from ._blocks import Blocks
from ._errors import CannotFill
from ._fans import Fans
from ._law import Law
from ._numbers import shown, whole
from ._padded import Padded
from ._write import write_
from .fillable import prepared
from .streams import Stream, bare_name

_SEED_BITS = 4096


def fill_(tensor: Tensor, law: Law | str, *, seed: int = 0, name: str, fans: Fans | None = None) -> Tensor:
    """Fill a tensor in place by a law, with the keyed stream of a parameter.

    Element `i` (in row-major order of the whole parameter) is a pure function of `(seed, name, i)` and the law: the
    same bits on any device and processor, in any number of threads, in any order of parameters, in any shard. float16,
    bfloat16 and float8 get the float32 number rounded to nearest. float64 has numbers of its own, of 53 bits, which the
    float32 ones agree with to about 3e-7 (version 2 of float64: version 1 had the float32 numbers themselves).

    A `DTensor` makes its own shard only (fans come from the global shape); orthogonal laws and other patterns are made
    whole, one parameter at a time, and cut.

    Args:
        tensor: of any floating type, strides and device; one without elements is returned as it is. On the meta device
            only the checks are made.
        law: what to draw, or the name of a law.
        seed: any integer (of up to 4096 bits).
        name: of the parameter; two parameters of one name and seed get the same numbers.
        fans: of the weight as it is used, where the shape does not tell (transposed, grouped, packed); default: those
            of the shape in torch's convention.

    Returns:
        `tensor`.

    Raises:
        CannotFill: the law cannot fill this tensor; it is then as it was.

    Example:
        >>> from gainstage import init
        >>> w = init.fill_(torch.empty(64, 32), init.he_normal(), seed=1, name="fc.weight")
        >>> half = init.fill_(torch.empty(64, 32, dtype=torch.bfloat16), init.he_normal(), seed=1, name="fc.weight")
        >>> torch.equal(w.bfloat16(), half)
        True

    References:
        Salmon et al., *Parallel random numbers: as easy as 1, 2, 3*, SC 2011 (Philox).
    """
    concrete, recipe = prepared(tensor, law, name, fans)
    stream, tracked = Stream(_seed(seed), name, wide=tensor.dtype is torch.float64), _tracked(tensor)
    with torch.no_grad() if tracked else torch.inference_mode():
        local, offset = local_box(tensor.detach() if tracked else tensor.data, name)
        if local.is_meta:
            return tensor
        if recipe is not None:
            write_(local, recipe, stream, tensor.shape, offset)
        else:
            _fill_box(local, concrete, fans, stream, tuple(tensor.shape), offset)
    if tracked:
        torch.autograd.graph.increment_version(tensor)
    return tensor


def _tracked(tensor: Tensor) -> bool:
    """Whether writes to it are counted: not for what was made in inference mode, even if it was converted since."""
    try:
        return tensor._version >= 0
    except RuntimeError:
        return False


def fill_part_(
    tensor: Tensor,
    law: Law,
    *,
    seed: int = 0,
    name: str,
    shape: Sequence[int],
    offset: Sequence[int],
    fans: Fans | None = None,
) -> Tensor:
    """Fill a tensor with a box of a parameter: the numbers that `fill_` gives these elements of the whole.

    Args:
        tensor: the box, dense.
        law, seed, name, fans: as for `fill_`.
        shape: of the whole parameter.
        offset: index in it of the box's first element, along every axis.

    Returns:
        `tensor`.

    Raises:
        CannotFill: the law cannot fill a parameter of this shape.

    Example:
        >>> from gainstage import init
        >>> whole = init.fill_(torch.empty(8, 4), init.normal(), name="w")
        >>> part = init.fill_part_(torch.empty(2, 4), init.normal(), name="w", shape=(8, 4), offset=(3, 0))
        >>> torch.equal(part, whole[3:5])
        True
    """
    prepared(torch.empty(tuple(shape), dtype=tensor.dtype, device="meta"), law, name, fans)
    with torch.no_grad():
        stream = Stream(_seed(seed), name, wide=tensor.dtype is torch.float64)
        _fill_box(tensor.detach(), law, fans, stream, tuple(shape), tuple(offset))
    return tensor


def fill_all_(
    items: Iterable[tuple[str, Tensor, Law] | tuple[str, Tensor, Law, Fans | None]], *, seed: int = 0
) -> None:
    """Fill many parameters, after checking them all: if one cannot be filled, none is touched.

    Args:
        items: `(name, tensor, law)` or `(name, tensor, law, fans)` for each parameter, in any order.
        seed: any integer.

    Raises:
        CannotFill: a law that cannot fill its tensor, or one name for two tensors, which would get the same numbers.

    Example:
        >>> from gainstage import init
        >>> fc = torch.nn.Linear(4, 3)
        >>> fill_all_([("weight", fc.weight, init.he_normal()), ("bias", fc.bias, init.zeros())], seed=1)
        >>> fc.bias.tolist()
        [0.0, 0.0, 0.0]
    """
    checked: dict[str, tuple[Tensor, Law, Fans | None]] = {}
    for item in items:
        if not isinstance(item, tuple | list) or len(item) not in (3, 4):
            raise CannotFill(
                "fill_all_ takes (name, tensor, law) or (name, tensor, law, fans) for each parameter; got "
                f"{shown(item)}."
            )
        name, tensor, law, *rest = item
        fans = rest[0] if rest else None
        prepared(tensor, law, name, fans)
        key = bare_name(name)
        if key in checked and checked[key][0] is not tensor:
            raise CannotFill(
                f"the name {shown(name)} is used twice, for shapes {tuple(checked[key][0].shape)} and "
                f"{tuple(tensor.shape)}; both would get the same random numbers. Give every parameter its own name, as "
                "model.named_parameters() does."
            )
        checked[key] = (tensor, law, fans)
    _seed(seed)
    for name, (tensor, law, fans) in checked.items():
        fill_(tensor, law, seed=seed, name=name, fans=fans)


def sample(
    law: Law | str,
    shape: Sequence[int],
    *,
    seed: int = 0,
    name: str,
    dtype: Any = "float32",
    fans: Fans | None = None,
) -> Any:
    """The numbers of `fill_` as a NumPy array, for NumPy, JAX and Keras.

    Args:
        law: what to draw, or the name of a law.
        shape: of the parameter in torch's convention (output axis first); transpose the result for a Keras kernel.
        seed: any integer.
        name: of the parameter.
        dtype: a NumPy floating type.
        fans: as for `fill_`.

    Returns:
        A NumPy array, the same numbers as `fill_` gives a tensor of that type.

    Raises:
        CannotFill: as `fill_`.

    Example:
        >>> from gainstage import init
        >>> init.sample(init.normal(), (3,), seed=0, name="b").shape
        (3,)
    """
    import numpy as np

    try:
        wanted = np.dtype(dtype)
    except (TypeError, ValueError, SyntaxError):  # NumPy reads a text as a little language
        wanted = None
    if wanted is None or not np.issubdtype(wanted, np.floating):
        raise CannotFill(f"sample draws floating-point numbers; dtype is {shown(dtype)}. Write dtype='float32'.")
    try:
        sizes = tuple(whole("a size in the shape of sample()", n, low=0) for n in shape)
    except TypeError:
        raise CannotFill(f"the shape of sample() is a sequence of sizes, as in (3, 4); got {shown(shape)}.") from None
    try:
        wide = torch.float64 if wanted.itemsize > 4 else torch.float32
        tensor = torch.empty(sizes, dtype=wide, device="cpu")
    except RuntimeError as error:
        raise CannotFill(f"an array of shape {sizes} does not fit into memory ({error}).") from None
    return array_over(fill_(tensor, law, seed=seed, name=name, fans=fans)).astype(wanted, copy=False)


def _seed(seed: int) -> int:
    try:
        number = index(seed)
    except TypeError:
        raise CannotFill(f"seed is an integer, which keys all random numbers; got {shown(seed)}.") from None
    if number.bit_length() > _SEED_BITS:
        raise CannotFill(f"seed is an integer of up to {_SEED_BITS} bits; got one of {number.bit_length()}.")
    return number


def local_box(tensor: Tensor, name: str) -> tuple[Tensor, tuple[int, ...]]:
    """The part of a parameter that this process holds (of a `DTensor` its shard), and where in the whole it begins."""
    if type(tensor) is Tensor or not hasattr(tensor, "placements"):
        return tensor, (0,) * tensor.dim()
    from ._shards import local_box as of_dtensor

    return of_dtensor(tensor, name)


def _fill_box(
    target: Tensor, law: Law, fans: Fans | None, stream: Stream, shape: tuple[int, ...], offset: tuple[int, ...]
) -> None:
    """Fill `target`, the box of the parameter of `shape` that starts at `offset`."""
    if isinstance(law, Blocks):
        _fill_blocks(target, law, fans, stream, shape, offset)
        return
    if isinstance(law, Padded):
        _fill_box(target, law.inner, fans, stream, shape, offset)
        if offset[0] <= law.row < offset[0] + len(target):
            target[law.row - offset[0]].zero_()
        return
    recipe = law.concrete(shape, fans).recipe()
    if recipe is not None:
        write_(target, recipe, stream, shape, offset)
    elif target.numel():
        whole = law.build(shape, fans, stream)
        target.copy_(whole[tuple(slice(o, o + n) for o, n in zip(offset, target.shape, strict=True))])


def _fill_blocks(
    target: Tensor, law: Blocks, fans: Fans | None, stream: Stream, shape: tuple[int, ...], offset: tuple[int, ...]
) -> None:
    dim, block = law.dim % len(shape), law.block_shape(shape)
    start, stop = offset[dim], offset[dim] + target.shape[dim]
    for i, inner in enumerate(law.laws):
        low, high = max(start, i * block[dim]), min(stop, (i + 1) * block[dim])
        if low < high:
            within = (*offset[:dim], low - i * block[dim], *offset[dim + 1 :])
            _fill_box(target.narrow(dim, low - start, high - low), inner, fans, stream.part(i), block, within)
