"""Calls of torch's functions, kept so that they can be made again with other values of the parameters."""

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from gainstage.run import map_tensors, tensors_among
from gainstage.signal import attention_scores


def key_of(tensor: Tensor) -> int:
    """The address of the memory that a tensor views; 0 where it has none."""
    try:
        return 0 if tensor.is_meta else tensor.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):
        return 0


@dataclass
class Call:
    """One call of one function."""

    function: Any
    args: Any
    kwargs: Any
    result: Any

    def made(self, x: Tensor) -> bool:
        """Whether this is what the call returned."""
        first = self.result[0] if isinstance(self.result, tuple | list) and self.result else self.result
        return first is x

    def tensors(self) -> Iterator[Tensor]:
        """The tensors among the arguments."""
        yield from tensors_among((self.args, self.kwargs))

    def kept(self, parameters: Container[int]) -> "Call":
        """The call with its own copy of all that is no parameter."""

        def own(t: Tensor) -> Tensor:
            return t.detach() if key_of(t) in parameters else t.detach().clone()

        return Call(self.function, map_tensors(tuple(self.args), own), map_tensors(self.kwargs, own), None)

    def again(self, change: Callable[[Tensor], Tensor]) -> Tensor | None:
        """What it gives for other tensors; None where it refuses them."""
        try:
            with torch.no_grad():
                args, kwargs = map_tensors(tuple(self.args), change), map_tensors(self.kwargs, change)
                result = self.function(*args, **kwargs)
        except Exception:
            return None
        first = result[0] if isinstance(result, tuple | list) else result
        return first if isinstance(first, Tensor) else None


class Calls(TorchFunctionMode):
    """Remembers the last call of a torch function; writes fused attention out, so that its logits are seen."""

    def __init__(self) -> None:
        super().__init__()
        self.last: Call | None = None
        self.logits: Tensor | None = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            self.logits, result = _attended(*args, **kwargs)
        else:
            result = func(*args, **kwargs)
        self.last = Call(func, args, kwargs, result)
        return result


def _attended(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    *others: Any,
    **named: Any,
) -> tuple[Tensor, Tensor]:
    """Logits and result of `F.scaled_dot_product_attention`."""
    logits, masked, value = attention_scores(query, key, value, attn_mask, *others, **named)
    return logits, F.dropout(masked.softmax(-1), dropout_p, training=dropout_p > 0) @ value
