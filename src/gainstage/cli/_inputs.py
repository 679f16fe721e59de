"""`--input`: an example written as a shape."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from gainstage._visible import shown
from gainstage.cli._errors import CannotRun

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

_GRAMMAR = re.compile(
    r"""(?: (?P<name> [^\W\d]\w*) = )?      # attention_mask=
        (?: (?P<ids> ids) : )?              # ids:
        (?P<shape> [1-9][0-9]* (?: x [1-9][0-9]*)*)   # 8x128
        (?: : (?P<below> [1-9][0-9]*) )?    # :50257""",
    re.VERBOSE,
)
_DIGITS, _AXES, _ELEMENTS = 9, 16, 10**9  # the most of a size, of a shape and of an input
_FORMS = """
  8x3x64x64           numbers from a standard normal, seeded
  ids:8x128:50257     integers from 0 to 50256
  name=8x16           a keyword input; name=ids:8x16:100 for integers"""


@dataclass(frozen=True)
class Shape:
    """One `--input`: its sizes, the keyword it is passed by, and the bound of its integers."""

    sizes: tuple[int, ...]
    name: str | None = None
    below: int | None = None


def parse(text: str) -> Shape:
    """Read one `--input`.

    Args:
        text: `[name=]8x3x64x64` or `[name=]ids:8x128:50257`; at most 16 axes and 1,000,000,000 numbers.

    Raises:
        CannotRun: `text` is neither, or asks for more.

    Example:
        >>> parse("8x3x64x64").sizes
        (8, 3, 64, 64)
        >>> parse("tokens=ids:8x128:50257")
        Shape(sizes=(8, 128), name='tokens', below=50257)
    """
    match = _GRAMMAR.fullmatch(text.strip())
    if match is None or bool(match["ids"]) != bool(match["below"]):
        instead = text.strip().replace(",", "x").replace("*", "x").replace("X", "x").replace(" ", "")
        fits = instead != text and len(instead) < 100 and _GRAMMAR.fullmatch(instead)
        hint = f"\nDid you mean {instead}?" if fits else ""
        raise CannotRun(f"--input {shown(text)} is not a shape. Write one of{_FORMS}{hint}")
    sizes = match["shape"].split("x")
    if (
        any(len(size) > _DIGITS for size in (*sizes, match["below"] or ""))
        or len(sizes) > _AXES
        or prod(map(int, sizes)) > _ELEMENTS
    ):
        raise CannotRun(
            f"--input {shown(text)} takes too much memory: expected at most {_AXES} axes, {_ELEMENTS:,} numbers in "
            f"all, and bounds of at most {_DIGITS} digits. Use a smaller batch."
        )
    return Shape(tuple(map(int, sizes)), match["name"], int(match["below"]) if match["below"] else None)


def example_from(texts: Sequence[str], model: "nn.Module", seed: int) -> "Any":
    """Draw the example that the `--input` options describe, on the model's device and in its dtype.

    Args:
        texts: the options, in the order of the positional inputs.
        model: its first floating parameter gives device and dtype.
        seed: of a generator of its own; the global one is not touched.

    Returns:
        A tensor for one positional input, a tuple for several, a dict for keyword inputs.

    Raises:
        CannotRun: a shape does not parse, keywords repeat or are mixed with positions, or it does not fit in memory.
    """
    import torch

    shapes = [parse(text) for text in texts]
    names = [shape.name for shape in shapes if shape.name is not None]
    if names and len(names) != len(shapes):
        raise CannotRun("--input got both keyword and positional inputs. Name all of them (--input x=8x64) or none.")
    if len(set(names)) != len(names):
        raise CannotRun(f"--input names {max(names, key=names.count)!r} twice. Give each keyword input once.")
    generator = torch.Generator().manual_seed(seed)
    device, dtype = _home(model)
    tensors = [_draw(shape, generator).to(device) for shape in shapes]
    tensors = [t.to(dtype) if t.is_floating_point() else t for t in tensors]
    if names:
        return dict(zip(names, tensors, strict=True))
    return tensors[0] if len(tensors) == 1 else tuple(tensors)


def _draw(shape: Shape, generator: "torch.Generator") -> "Tensor":
    import torch

    try:
        if shape.below is None:
            return torch.randn(shape.sizes, generator=generator)
        return torch.randint(shape.below, shape.sizes, generator=generator)
    except (RuntimeError, MemoryError, OverflowError) as error:
        written = "x".join(map(str, shape.sizes))
        raise CannotRun(
            f"--input {written} cannot be drawn here: it needs too much memory. Use a smaller batch."
        ) from error


def _home(model: "nn.Module") -> "tuple[torch.device, torch.dtype]":
    """Device and dtype of the first real floating parameter, else the CPU in float32."""
    import torch

    for parameter in model.parameters():
        if parameter.is_floating_point():
            return parameter.device, parameter.dtype
    return torch.device("cpu"), torch.float32
