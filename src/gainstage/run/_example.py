"""Examples and outputs of any shape: find the tensors, move them, call the model with them."""

from collections.abc import Callable, Iterator, Mapping
from copy import copy, deepcopy
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

from torch import Tensor, nn

from gainstage.run._entry import abroad
from gainstage.run._foreign import foreign

Leaf = TypeVar("Leaf")


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Every tensor in nested dicts, lists, tuples, dataclasses and objects that hold tensors, each once."""
    seen: set[int] = set()

    def walk(value: Any, depth: int) -> Iterator[Tensor]:
        if id(value) in seen or depth > 20:
            return
        if isinstance(value, Tensor):
            seen.add(id(value))
            yield value
        elif isinstance(value, Mapping):
            seen.add(id(value))
            for item in value.values():
                yield from walk(item, depth + 1)
        elif isinstance(value, list | tuple | set | frozenset):
            seen.add(id(value))
            for item in value:
                yield from walk(item, depth + 1)
        elif is_dataclass(value) and not isinstance(value, type):
            seen.add(id(value))
            for field in fields(value):
                yield from walk(getattr(value, field.name, None), depth + 1)
        elif hasattr(value, "__dict__") and not isinstance(value, nn.Module | type) and not callable(value):
            seen.add(id(value))
            yield from walk(vars(value), depth + 1)

    return walk(value, 0)


def leaves_among(value: Any, kind: type[Leaf]) -> Iterator[Leaf]:
    """What is of this kind in the nested arguments of a call, in their order, as often as it is there."""
    if isinstance(value, kind):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from leaves_among(item, kind)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from leaves_among(item, kind)


def tensors_among(value: Any) -> Iterator[Tensor]:
    """The tensors in the nested arguments of a call."""
    return leaves_among(value, Tensor)


def map_tensors(
    value: Any, change: Callable[[Tensor], Tensor], other: Callable[[Any], Any] = lambda value: value
) -> Any:
    """The same nest of dicts, lists and tuples with every tensor changed, and with `other` of everything else."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, dict):
        made = copy(value)  # with the default, the attributes and the order that a class derived from dict has
        for key, item in value.items():
            made[key] = map_tensors(item, change, other)
        return made
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(map_tensors(item, change, other) for item in value))
    if isinstance(value, list | tuple):
        return type(value)([map_tensors(item, change, other) for item in value])
    return other(value)


def own_copy(example: Any) -> Any:
    """An example that a pass may write to: its tensors, and the objects that it holds, are others.

    What is given twice stays one thing. A parameter or a module stays itself, as does what cannot be copied.
    """
    memo: dict[int, Any] = {}

    def copied(tensor: Tensor) -> Tensor:
        if isinstance(tensor, nn.Parameter) or tensor.is_meta:
            return tensor
        if id(tensor) not in memo:
            made = tensor.detach().clone().requires_grad_(tensor.requires_grad)
            memo[id(tensor)] = made if tensor.is_leaf else made.clone()
        found: Tensor = memo[id(tensor)]
        return found

    def own(value: Any) -> Any:
        if value is None or isinstance(value, int | float | str | bool | nn.Module):
            return value
        try:
            for tensor in tensors_in(value):
                memo[id(tensor)] = copied(tensor)  # deepcopy refuses one that is computed, and copies parameters
            return deepcopy(value, memo)
        except Exception:
            return value

    return map_tensors(example, copied, own)


@foreign("the model")
def call(model: nn.Module, example: Any) -> Any:
    """Call the model on its own copy of the example: a pass that writes to its input leaves the next one the same data.

    Raises:
        ForwardError: the model raised.
    """
    return call_on(model, own_copy(example))


def call_on(model: nn.Module, example: Any) -> Any:
    """Call the model: a dict holds keyword inputs, a tuple positional inputs, anything else is one input."""
    with abroad():
        if isinstance(example, Mapping):
            return model(**example)
        if isinstance(example, tuple) and not hasattr(example, "_fields"):
            return model(*example)
        return model(example)


def batch_size(model: nn.Module, example: Any, target: Any) -> int | None:
    """How many samples the example holds: the leading size that most of its tensors share.

    Recurrent networks and `nn.Transformer` that read (time, batch, feature) are recognized by their `batch_first`.
    """
    sizes = [tuple(t.shape) for t in tensors_in(example) if t.dim() > 0]
    if not sizes:
        return None
    if isinstance(target, Tensor) and target.dim() > 0 and any(target.shape[0] == size[0] for size in sizes):
        return int(target.shape[0])
    flags = [module.batch_first for module in model.modules() if isinstance(module, nn.RNNBase)]
    if isinstance(model, nn.Transformer):
        flags.append(model.batch_first)
    convolves = any(isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d) for module in model.modules())
    time_first = bool(flags) and not any(flags) and not convolves
    leading = [size[1] if time_first and len(size) == 3 else size[0] for size in sizes]
    return max(leading, key=leading.count)


def describe(example: Any) -> str:
    """The example in a few words, for messages: `float32 8x3x64x64`."""
    parts = [
        f"{str(t.dtype).removeprefix('torch.')} {'x'.join(map(str, t.shape)) or 'scalar'}" for t in tensors_in(example)
    ]
    return ", ".join(parts) if parts else type(example).__name__
