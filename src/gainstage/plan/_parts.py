"""The parts in which a model's values lie: in a model, in files, on ranks."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from gainstage.errors import GainstageError
from gainstage.init import digest, local_box
from gainstage.init.streams import bare_name
from gainstage.plan._fingerprint import Fingerprint, Shape
from gainstage.run import named_parameters


@dataclass(frozen=True)
class Part:
    """A box of a parameter, read when it is asked for.

    Attributes:
        load: gives the values.
        shape: of the box.
        where: for people: `rank 3`, the name of a file.
        offset: index of its first element in the whole parameter.
        whole: shape of that.
    """

    load: Callable[[], Tensor]
    shape: Shape
    where: str
    offset: Shape
    whole: Shape


Parts = dict[str, list[Part]]


def parts_of(held: Any, shapes: Mapping[str, Shape]) -> Parts:
    """The parts of a model, of a safetensors file, or of what several ranks hold, by bare name.

    Args:
        held: a model, a path, or a sequence of paths or of dictionaries of tensors, one a rank. A parameter that is cut
            is cut along one axis, in the order of the ranks; one that every rank holds whole is a replica.
        shapes: of the whole parameters.

    Raises:
        GainstageError: a file that is no safetensors file; shards that overlap or do not make up the whole.
    """
    if isinstance(held, nn.Module):
        return {n: [_local(n, p.detach())] for n, p in named_parameters(held)}
    if isinstance(held, str | Path) or not isinstance(held, Sequence):
        held = [held]
    loads: dict[str, list[Part]] = defaultdict(list)
    for place, one in enumerate(held):
        named = [] if isinstance(one, Mapping) else [Path(one).name]
        where = " of ".join(named if len(held) == 1 and named else [*named, f"rank {place}"])
        for name, part in _tensors(one, where):
            loads[bare_name(name)].append(part)
    return {name: _placed(name, parts, shapes.get(name)) for name, parts in loads.items()}


def whole_part(tensor: Tensor, where: str = "") -> Part:
    """A tensor that is all of a parameter."""
    shape = tuple(tensor.shape)
    return Part(lambda: tensor, shape, where, (0,) * len(shape), shape)


def _local(name: str, tensor: Tensor) -> Part:
    """What this process holds of a parameter."""
    local, offset = local_box(tensor, name)
    return Part(lambda: local, tuple(local.shape), "", offset, tuple(tensor.shape))


def _tensors(one: Any, where: str) -> Iterator[tuple[str, Part]]:
    if isinstance(one, Mapping):
        yield from ((name, whole_part(tensor, where)) for name, tensor in one.items())
        return
    from safetensors import SafetensorError, safe_open

    try:
        file: Any = safe_open(str(one), framework="pt")
    except (SafetensorError, OSError, ValueError) as error:
        raise GainstageError(f"expected a safetensors file; {where} is none: {error}") from error
    for name in file.keys():  # noqa: SIM118 (a handle, no dictionary)
        shape = tuple(file.get_slice(name).get_shape())
        yield name, Part(lambda name=name: file.get_tensor(name), shape, where, (0,) * len(shape), shape)  # type: ignore[misc]


def _placed(name: str, parts: list[Part], shape: Shape | None) -> list[Part]:
    """The parts of one parameter with the places at which they begin."""
    if shape is None or all(part.shape == shape for part in parts):
        return parts
    ranks = {len(part.shape) for part in parts}
    cut = {
        axis
        for part in parts
        if len(part.shape) == len(shape)
        for axis in range(len(shape))
        if part.shape[axis] != shape[axis]
    }
    axis = min(cut, default=0)
    held = sum(part.shape[axis] for part in parts) if ranks == {len(shape)} else 0
    if ranks != {len(shape)} or len(cut) != 1 or held != shape[axis]:
        sizes = ", ".join(f"{part.where}: {'x'.join(map(str, part.shape))}" for part in parts[:4])
        more = ", ..." if len(parts) > 4 else ""
        wrong = "overlap" if held > shape[axis] else "leave some out"
        raise GainstageError(
            f"expected shards that make up {name!r} of shape {'x'.join(map(str, shape))}, cut along one axis in the "
            f"order of the ranks; these {wrong if held else 'do not'} ({sizes}{more})"
        )
    found, start = [], 0
    for part in parts:
        offset = tuple(start if at == axis else 0 for at in range(len(shape)))
        found.append(Part(part.load, part.shape, part.where, offset, shape))
        start += part.shape[axis]
    return found


def fingerprint_of(parts: Parts) -> Fingerprint:
    """The fingerprint of values that lie in parts; of replicas the first is read."""
    digests, shapes, counts = {}, {}, {}
    for name, found in parts.items():
        if all(p.shape == found[0].shape and not any(p.offset) for p in found):
            found = found[:1]
        shapes[name] = found[0].whole
        digests[name] = sum(digest(p.load(), shape=shapes[name], offset=p.offset) for p in found) % 2**64
        counts[name] = sum(prod(p.shape) for p in found)
    return Fingerprint(digests, shapes, counts)
