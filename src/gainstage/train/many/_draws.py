"""Random numbers inside a network that depend on the member's seed and the step, and on nothing else.

Under `vmap` dropout would draw one mask for all members, or masks that depend on how many members there are. Here a
step's numbers are drawn beforehand, a row a member, from the keyed stream `(seed, step)`; while the network runs, every
function that draws takes its share of the row. A member alone gets the same numbers.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from types import FunctionType
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from gainstage.init import fill_, normal, uniform
from gainstage.signal import attention_scores
from gainstage.train.many._errors import CannotStack

_UNIFORM, _NORMAL = uniform(0.0, 1.0), normal(0.0, 1.0)


class Numbers(NamedTuple):
    """What one step draws: as many uniform and as many normal numbers; vectors, or matrices with a row a member."""

    uniform: Tensor
    normal: Tensor


def numbers(sizes: tuple[int, int], seeds: Sequence[int], step: int, device: torch.device) -> Numbers:
    """The numbers of one step, a row a member; row `k` is a function of `(seeds[k], step)`."""
    drawn = Numbers(*(torch.empty(len(seeds), size, device=device) for size in sizes))
    for matrix, law, kind in zip(drawn, (_UNIFORM, _NORMAL), ("uniform", "normal"), strict=True):
        if matrix.shape[1]:
            for row, seed in zip(matrix, seeds, strict=True):
                fill_(row, law, seed=seed, name=f"{kind} numbers of step {step}")
    return drawn


class Draws(TorchFunctionMode):
    """While it is active, functions that draw take from the given numbers, in the order of their calls.

    With `count` it only counts how many are asked for, and answers with their means. With `strict` a function that
    draws from a generator of its own is an error; else it keeps that generator.
    """

    def __init__(self, *, count: bool = False, strict: bool = False) -> None:
        super().__init__()
        self._count, self._strict = count, strict
        self._numbers: Numbers | None = None
        self._used = [0, 0]

    def given(self, numbers: Numbers) -> "Draws":
        """The mode with the numbers of the next block."""
        self._numbers, self._used = numbers, [0, 0]
        return self

    @property
    def sizes(self) -> tuple[int, int]:
        """How many uniform and normal numbers the last block asked for."""
        return self._used[0], self._used[1]

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        replacement = _DRAWING.get(func)
        if replacement is None:
            return func(*args, **kwargs)
        if kwargs.get("generator") is None:
            return replacement(self, func, *args, **kwargs)
        if not self._strict:
            return func(*args, **kwargs)
        raise CannotStack(
            f"{func.__name__} draws from a generator of its own; members that are trained as one draw from their "
            "seeds. Leave the generator out, or use together=False."
        )

    def uniform(self, shape: Iterable[int]) -> Tensor:
        """Numbers uniform on [0, 1)."""
        return self._take(0, tuple(shape), 0.5)

    def normal(self, shape: Iterable[int]) -> Tensor:
        """Standard normal numbers."""
        return self._take(1, tuple(shape), 0.0)

    def kept(self, shape: Iterable[int], p: float) -> Tensor:
        """True with probability `1 - p`."""
        return self.uniform(shape) >= p

    def memory(self, shape: Iterable[int], dtype: torch.dtype) -> Tensor:
        """An empty tensor of the member's own."""
        assert self._numbers is not None
        return self._numbers.uniform.new_empty(tuple(shape), dtype=dtype)

    def _take(self, kind: int, shape: tuple[int, ...], stand_in: float) -> Tensor:
        assert self._numbers is not None
        vector, start, size = self._numbers[kind], self._used[kind], math.prod(shape)
        self._used[kind] += size
        if self._count:
            return vector.new_full(shape, stand_in)
        return vector[start : start + size].view(shape)


def _dropout(
    draws: Draws, func: Any, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    if not training or p == 0:
        return input
    return _masked(input, _scaled(draws.kept(input.shape, p), p, input), inplace)


def _channels(spatial: int | None) -> Callable[..., Tensor]:
    def dropped(
        draws: Draws, func: Any, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
    ) -> Tensor:
        if not training or p == 0:
            return input
        return _masked(input, _scaled(draws.kept(_channel_mask(input, spatial), p), p, input), inplace)

    return dropped


def _alpha(channels: bool) -> Callable[..., Tensor]:
    floor = -1.7580993408473766  # what SELU tends to at minus infinity

    def dropped(
        draws: Draws, func: Any, input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
    ) -> Tensor:
        if not training or p == 0:
            return input
        kept = draws.kept(_channel_mask(input, None) if channels else input.shape, p).to(input.dtype)
        scale = 0.0 if p == 1 else ((1 - p) * (1 + p * floor**2)) ** -0.5
        output = scale * (input * kept + floor * (1 - kept) - floor * p)
        return input.copy_(output) if inplace else output

    return dropped


def _attention(
    draws: Draws,
    func: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    if dropout_p == 0:
        return func(query, key, value, attn_mask, 0.0, is_causal, scale=scale, enable_gqa=enable_gqa)
    _, masked, value = attention_scores(query, key, value, attn_mask, is_causal, scale, enable_gqa)
    return _dropout(draws, None, masked.softmax(-1), dropout_p) @ value


def _inside(draws: Draws, func: FunctionType, *args: Any, **kwargs: Any) -> Any:
    """A function of torch that is written in Python and draws inside: its body, run with the mode on."""
    names = func.__globals__ | {"has_torch_function": lambda _: False}
    body = FunctionType(func.__code__, names, func.__name__, func.__defaults__, func.__closure__)
    body.__kwdefaults__ = func.__kwdefaults__
    with draws:
        return body(*args, **kwargs)


def _rand(draws: Draws, func: Any, *size: Any, **kwargs: Any) -> Tensor:
    take = draws.normal if func is torch.randn else draws.uniform
    return take(_size(*size, **kwargs)).to(kwargs.get("dtype") or torch.get_default_dtype())


def _rand_like(draws: Draws, func: Any, input: Tensor, **kwargs: Any) -> Tensor:
    take = draws.normal if func is torch.randn_like else draws.uniform
    return take(input.shape).to(kwargs.get("dtype") or input.dtype)


def _bernoulli(draws: Draws, func: Any, input: Tensor, p: float | None = None, **kwargs: Any) -> Tensor:
    return (draws.uniform(input.shape) < (input if p is None else p)).to(input.dtype)


def _empty(draws: Draws, func: Any, *size: Any, **kwargs: Any) -> Tensor:
    """Memory of the member's own, so that it can be drawn into."""
    return draws.memory(_size(*size, **kwargs), kwargs.get("dtype") or torch.get_default_dtype())


def _into(value: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def filled(draws: Draws, func: Any, input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return input.copy_(value(draws, input, *args, **kwargs))

    return filled


def _size(*size: Any, **kwargs: Any) -> tuple[int, ...]:
    size = size or (kwargs["size"],)
    return tuple(size[0]) if len(size) == 1 and not isinstance(size[0], int) else size


def _channel_mask(input: Tensor, spatial: int | None) -> tuple[int, ...]:
    """One number a sample and channel; with `spatial` axes given, an input without batch axis has one a channel."""
    lead = 1 if spatial is not None and input.dim() == spatial + 1 else 2
    return (*input.shape[:lead], *(1,) * (input.dim() - lead))


def _scaled(kept: Tensor, p: float, like: Tensor) -> Tensor:
    return (kept * (0.0 if p == 1 else 1 / (1 - p))).to(like.dtype)


def _masked(input: Tensor, mask: Tensor, inplace: bool) -> Tensor:
    return input.mul_(mask) if inplace else input * mask


_DRAWING: dict[Any, Callable[..., Any]] = {
    F.dropout: _dropout,
    torch.dropout: _dropout,
    F.dropout1d: _channels(1),
    F.dropout2d: _channels(None),
    F.dropout3d: _channels(3),
    F.alpha_dropout: _alpha(channels=False),
    F.feature_alpha_dropout: _alpha(channels=True),
    F.scaled_dot_product_attention: _attention,
    F.multi_head_attention_forward: _inside,
    torch.rand: _rand,
    torch.randn: _rand,
    torch.rand_like: _rand_like,
    torch.randn_like: _rand_like,
    torch.empty: _empty,
    torch.bernoulli: _bernoulli,
    Tensor.bernoulli: _bernoulli,
    Tensor.bernoulli_: _into(lambda d, t, p=0.5: (d.uniform(t.shape) < p).to(t.dtype)),
    Tensor.uniform_: _into(lambda d, t, a=0.0, b=1.0: a + (b - a) * d.uniform(t.shape)),
    Tensor.normal_: _into(lambda d, t, mean=0.0, std=1.0: mean + std * d.normal(t.shape)),
}
