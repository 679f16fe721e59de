"""Everything that can be wrong with a fill, found before anything is written."""

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ._blocks import Blocks
from ._errors import CannotFill
from ._fans import Fans
from ._law import Law
from ._law import law as law_named
from ._numbers import LARGEST, shown
from ._padded import Padded
from ._reference import Recipe

_PLAIN = (Tensor, nn.Parameter)
_FILLABLE = (
    torch.float32,
    torch.bfloat16,
    torch.float16,
    torch.float64,
    torch.float8_e4m3fn,
    torch.float8_e5m2,
    torch.float8_e4m3fnuz,
    torch.float8_e5m2fnuz,
)


def check_fillable(tensor: Tensor, law: Law | str, *, name: str, fans: Fans | None = None) -> None:
    """Raise what `fill_` would raise for these arguments, and touch nothing.

    To fill several tensors all or none, check them all first; `fill_all_` does.

    Args:
        tensor: as for `fill_`; the meta device will do.
        law: as for `fill_`.
        name: as for `fill_`.
        fans: as for `fill_`.

    Raises:
        CannotFill: the law cannot fill this tensor: wrong shape, type, layout or fans, elements that share memory,
            pending sums of a DTensor, a lazy parameter without a shape.
        UnknownLaw: no law of that name.

    Example:
        >>> from gainstage import init
        >>> check_fillable(torch.empty(4, 3), init.he_normal(), name="fc.weight")
        >>> check_fillable(torch.empty(4), init.he_normal(), name="fc.bias", fans=init.Fans(3, 4))
    """
    prepared(tensor, law, name, fans)


def prepared(tensor: Tensor, law: Law | str, name: str, fans: Fans | None) -> tuple[Law, Recipe | None]:
    """The law as it will be drawn, with the fans worked in, and its recipe if it has one."""
    _check_name(name)
    chosen = law_named(law) if isinstance(law, str) else law
    if not isinstance(chosen, Law):
        raise CannotFill(
            f"{shown(name)} needs a law, such as init.he_normal(), or the name of one; got {shown(law)}. A function of "
            "init without its brackets is no law yet."
        )
    _check_memory(tensor, chosen, name)
    shape = tuple(tensor.shape)
    if 0 in shape:
        return chosen, Recipe("constant", (0.0,))  # no element to write
    chosen.check(shape, fans)
    concrete = chosen.concrete(shape, fans)
    return concrete, _recipe(concrete, name)


def _check_name(name: str) -> None:
    if not isinstance(name, str):
        raise CannotFill(
            f"the name of a parameter is a text, which keys its random numbers; got {shown(name)}. Write the name "
            "that model.named_parameters() gives."
        )
    if not name.isascii():
        try:
            name.encode()
        except UnicodeEncodeError:
            raise CannotFill(f"the name {shown(name)} holds half a character, which UTF-8 cannot write.") from None


def _check_memory(tensor: Tensor, law: Law, name: str) -> None:
    """A tensor of numbers that can be written one by one."""
    if not isinstance(tensor, Tensor):
        raise CannotFill(
            f"{law} fills torch tensors; {shown(name)} is a {type(tensor).__name__}. For NumPy: init.sample."
        )
    plain = type(tensor) in _PLAIN
    if not plain and is_lazy(tensor):
        raise CannotFill(
            f"{shown(name)} belongs to a lazy module and has no shape yet. Run the model once on an example, then fill "
            "it."
        )
    if tensor.dtype not in _FILLABLE:
        raise CannotFill(
            f"{law} fills floating-point tensors; {shown(name)} is {tensor.dtype}. Fill a float tensor and convert it, "
            "or leave it out."
        )
    if tensor.layout is not torch.strided or tensor.is_nested:
        found = "is nested" if tensor.is_nested else f"has layout {tensor.layout}"
        raise CannotFill(f"{law} fills dense tensors; {shown(name)} {found}. Fill a dense one, then convert it.")
    if not tensor.is_contiguous() and _shares_memory(tensor.shape, tensor.stride()):
        raise CannotFill(
            f"{shown(name)} has elements that share memory (an expanded or overlapping view, shape "
            f"{tuple(tensor.shape)}, strides {tensor.stride()}). Call .contiguous() first, or fill the tensor it is a "
            "view of."
        )
    if not plain and hasattr(tensor, "placements"):
        from ._shards import local_box

        with torch.no_grad():
            local_box(tensor.detach(), name)


def _shares_memory(shape: torch.Size, strides: tuple[int, ...]) -> bool:
    """Whether two elements lie at one address."""
    axes = sorted((s, n) for n, s in zip(shape, strides, strict=True) if n > 1)
    reached = 0
    for stride, length in axes:
        if stride <= reached:  # the axes so far reach into the next element of this one, perhaps between its elements
            return _shares_addresses(axes)
        reached += stride * (length - 1)
    return False


def _shares_addresses(axes: list[tuple[int, int]]) -> bool:
    if axes[0][0] == 0:
        return True
    addresses = torch.zeros(1, dtype=torch.int64, device="cpu")
    for stride, length in axes:
        steps = torch.arange(length, dtype=torch.int64, device="cpu") * stride
        addresses = (addresses[:, None] + steps).flatten()
    ordered = addresses.sort().values
    return bool((ordered[1:] == ordered[:-1]).any())


def _recipe(law: Law, name: str) -> Recipe | None:
    """The numbers of a distribution: once the fans and factors are worked in, float32 must be able to hold them."""
    for inner in law.laws if isinstance(law, Blocks) else [law.inner] if isinstance(law, Padded) else []:
        _recipe(inner, name)
    recipe = law.recipe()
    if recipe is not None and not max(map(abs, recipe.numbers[:2])) <= LARGEST:
        raise CannotFill(
            f"{law} draws numbers for {shown(name)} that float32 cannot hold (up to 3.4e38); scale it down."
        )
    return recipe
