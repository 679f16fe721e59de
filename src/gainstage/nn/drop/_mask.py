"""What every layer of this room shares: a checked rate, a mask drawn at that rate, and what dropping does."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gainstage.nn._errors import LayerError, LayerInputError, LayerTypeError
from gainstage.nn._leaf import Leaf


def rate(p: float, name: str = "p") -> float:
    """`p`, if it is a probability."""
    if not isinstance(p, (int, float)):
        raise LayerTypeError(f"{name} is {p!r}: expected the probability of dropping, a number from 0 to 1.")
    if not 0 <= p <= 1:
        hint = f" For {p:g} percent write {name}={p / 100:g}." if 1 < p <= 100 else ""
        raise LayerError(f"{name} is {p!r}: expected the probability of dropping, a number from 0 to 1.{hint}")
    return p


def on_device(generator: torch.Generator | None, x: Tensor) -> None:
    """Raise if the generator is on another device than `x`."""
    if generator is not None and generator.device.type != x.device.type:
        raise LayerInputError(
            f"the generator is on {generator.device} and the input on {x.device}. "
            f"Write torch.Generator(device={str(x.device)!r})."
        )


def drop_mask(x: Tensor, shape: Sequence[int], p: float, generator: torch.Generator | None) -> Tensor:
    """A boolean tensor of `shape` on the device of `x`, each entry true (dropped) with probability `p`.

    Uniform numbers of 24 bits are compared with `p`, of 53 bits where `p` is below 2^-12, whatever the dtype of `x`:
    the 8 bits of bfloat16 would deliver 0.0039 for 0.001. A mask as large as `x` has its memory layout.
    """
    on_device(generator, x)
    whole = tuple(shape) == tuple(x.shape)
    dtype = torch.float32 if p > 2**-12 or x.device.type == "mps" else torch.float64
    if generator is None:  # not handed on as None: torch.compile cannot trace that with sizes that vary
        if whole:
            return torch.rand_like(x, dtype=dtype) < p
        return torch.rand(tuple(shape), dtype=dtype, device=x.device) < p
    empty = torch.empty_like(x, dtype=dtype) if whole else x.new_empty(tuple(shape), dtype=dtype)
    return empty.uniform_(generator=generator) < p


def drop(x: Tensor, dropped: Tensor, p: float, *, inplace: bool = False, scaled: bool = True) -> Tensor:
    """0 where `dropped`, elsewhere `x / (1 - p)`, so that the expectation is `x`. At rate 1 an infinity becomes 0 too.

    Not `scaled`, it is `x` elsewhere; `inplace`, it is written into `x`. A mask that is broadcast is multiplied, which
    is several times faster than `where` on the CPU. Half precision does not round the factor 1 / (1 - p), which would
    shift the expectation, and drops before it scales, which may overflow.
    """
    scale = 1 / (1 - p) if scaled and p < 1 else 1.0
    if inplace:
        return x.masked_fill_(dropped, 0.0).mul_(scale)
    if p == 1 or dropped.shape == x.shape:
        return torch.where(dropped, 0.0, x * scale)
    kept = dropped.logical_not().to(x.dtype)
    return x * kept * scale if x.dtype in (torch.bfloat16, torch.float16) else x * (kept * scale)


class Drop(Leaf, nn.Module):
    """Base of the layers: holds the rate and the generator.

    A copy or a pickle of the layer has a generator of its own that goes on from the same state.
    """

    def __init__(self, p: float, *, inplace: bool = False, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.p = rate(p)
        self.inplace = inplace
        self.generator = generator

    def extra_repr(self) -> str:
        """The rate."""
        return f"p={self.p:g}" + ", inplace=True" * self.inplace
