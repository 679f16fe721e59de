"""One model at several sizes: how it is built, and which numbers of a size are its width and which its depth."""

from collections.abc import Callable, Mapping, Sequence
from copy import copy, deepcopy
from dataclasses import dataclass
from math import gcd
from typing import Any

import torch
from torch import Tensor, nn

from gainstage._visible import shown
from gainstage.errors import GainstageError
from gainstage.run import Subject, batch_size, call, map_tensors, seeded, tensors_in, undisturbed

Make = Callable[..., Any]


@dataclass(frozen=True)
class Sizes:
    """A factory, and the example and loss of all models that it builds.

    Args:
        make: builds a model, `(model, example)` or a `gs.Subject` from a size; None where sizes are models themselves.
        example, target, loss: of models that come without.
    """

    make: Make | None
    example: Any = None
    target: Any = None
    loss: Any = None

    def build(self, size: Any, *, seed: int = 0) -> Subject:
        """The model of this size, drawn with `seed`, with its example.

        A mapping is given to the factory as keyword arguments, a tuple as positional ones, anything else as the one
        argument.

        Raises:
            GainstageError: the factory raised, or returned no model; the message names the size.
        """
        if isinstance(size, nn.Module):
            return self._with_example(Subject(size), size)
        if not callable(self.make):
            raise GainstageError(
                f"make is {shown(self.make)} and the size {said(size)} is no model. Write "
                "transfer(make, base, target) with a function that builds a model, or transfer(None, model, model)"
            )
        with seeded(seed):
            try:
                made = _called(self.make, size)
            except GainstageError:
                raise
            except Exception as error:
                raise GainstageError(
                    f"the factory raised at size {said(size)}: {type(error).__name__}: {error}. Choose sizes that it "
                    "can build, for instance widths that the number of heads divides"
                ) from error
        return self._with_example(_subject(made, size), size)

    def _with_example(self, subject: Subject, size: Any) -> Subject:
        given = subject.example if subject.example is not None else self.example
        if given is None:
            raise GainstageError(
                f"the model of size {said(size)} has no example to run on: return (model, example) or "
                "gs.Subject(model, example, target, loss) from the factory, or give example="
            )
        own = subject.target is not None or subject.loss is not None
        target, loss = (subject.target, subject.loss) if own else (self.target, self.loss)
        return Subject(subject.model, given, target, loss)


def _called(make: Make, size: Any) -> Any:
    if isinstance(size, Mapping):
        return make(**size)
    return make(*size) if isinstance(size, tuple) else make(deepcopy(size))


def _subject(made: Any, size: Any) -> Subject:
    match made:
        case Subject():
            return made
        case nn.Module():
            return Subject(made)
        case (nn.Module() as model, example):
            return Subject(model, example)
    raise GainstageError(
        f"the factory returned {type(made).__name__} at size {said(size)}; expected a model, (model, example) or "
        "gs.Subject(model, example, target, loss)"
    )


def few(subject: Subject, samples: int, positions: int) -> Subject:
    """The same with the first samples of its batch, and the first positions of its tokens where it runs on them.

    Tokens are the second axis of whole numbers in two axes; what else has as many along its second axis goes with them.
    """
    size = batch_size(subject.model, subject.example, subject.target)
    given = subject.example, subject.target
    short = map_tensors(given, lambda t: t[:samples] if size and t.dim() and t.shape[0] == size else t)
    lengths = {t.shape[1] for t in tensors_in(short[0]) if t.dim() == 2 and not t.is_floating_point()}
    length = max(lengths, default=0)

    def begins(t: Tensor) -> Tensor:
        return t[:, :positions] if t.dim() > 1 and t.shape[1] == length else t

    for example, target in (map_tensors(short, begins), short) if length > positions else (short,):
        cut = Subject(subject.model, example, target, subject.loss)
        try:
            with undisturbed(subject.model, example), torch.no_grad():
                call(subject.model, example)
        except GainstageError:
            continue
        return cut
    return subject


# --- numbers of a size -----------------------------------------------------------------------------------------------


def numbers(size: Any) -> dict[Any, int]:
    """The whole numbers of a size by key, name or position; the number itself under the key None."""
    if isinstance(size, int) and not isinstance(size, bool):
        return {None: size}
    if isinstance(size, Mapping):
        items: Any = size.items()
    elif isinstance(size, tuple):
        items = enumerate(size)
    else:
        items = vars(size).items() if hasattr(size, "__dict__") and not isinstance(size, nn.Module) else ()
    return {key: value for key, value in items if isinstance(value, int) and not isinstance(value, bool)}


def changed(size: Any, values: Mapping[Any, int]) -> Any:
    """The same size with other numbers."""
    if None in values:
        return values[None]
    if isinstance(size, Mapping):
        return {**size, **values}
    if isinstance(size, tuple):
        return tuple(values.get(place, value) for place, value in enumerate(size))
    made = copy(size)
    for name, value in values.items():
        setattr(made, name, value)
    return made


def said(size: Any) -> str:
    """A size in a message or a table."""
    if isinstance(size, Mapping):
        return ", ".join(f"{name}={value}" for name, value in size.items())
    if isinstance(size, nn.Module):
        return f"{type(size).__name__} of {sum(p.numel() for p in size.parameters())} parameters"
    return type(size).__name__ if hasattr(size, "__dict__") else str(size)


@dataclass(frozen=True)
class Steps:
    """Sizes on the way from base to target along width or depth.

    Attributes:
        sizes: what the factory is given.
        ratios: how many times the base each is: what slopes are taken over.
        labels: of each, the number that people know it by.
    """

    sizes: tuple[Any, ...]
    ratios: tuple[float, ...]
    labels: tuple[str, ...]


def between(sizes: Sizes, base: Any, target: Any, count: int) -> tuple[Steps, Steps]:
    """At most `count` sizes along the width at the base's depth, and along the depth at the base's width.

    Which numbers are the depth is found by trying: changed alone, they change how many parameters there are.
    """
    if isinstance(base, nn.Module) or isinstance(target, nn.Module):
        return Steps((base, target), (1.0, 2.0), ("base", "target")), Steps((), (), ())
    here, there = numbers(base), numbers(target)
    moved = {key: (here[key], there[key]) for key in here if key in there and here[key] != there[key]}
    deep = {key for key in moved if _deepens(sizes, base, key, moved[key][1])}
    return tuple(  # type: ignore[return-value]
        _along(base, {key: ends for key, ends in moved.items() if (key in deep) == wanted}, count)
        for wanted in (False, True)
    )


def _deepens(sizes: Sizes, base: Any, key: Any, value: int) -> bool:
    try:
        one, other = (sizes.build(size).model for size in (base, changed(base, {key: value})))
    except GainstageError:
        return False  # a width that needs another number beside it
    return len(list(one.parameters())) != len(list(other.parameters()))


def _along(base: Any, ends: Mapping[Any, tuple[int, int]], count: int) -> Steps:
    if not ends:
        return Steps((), (), ())
    first = max(ends, key=lambda key: ends[key][1] / max(ends[key][0], 1))
    found: dict[tuple[int, ...], dict[Any, int]] = {}
    for i in range(count):
        values = {key: _step(*pair, i / max(count - 1, 1)) for key, pair in ends.items()}
        found.setdefault(tuple(values.values()), values)
    rows = list(found.values())
    ratios = tuple(values[first] / ends[first][0] for values in rows)
    return Steps(tuple(changed(base, values) for values in rows), ratios, tuple(str(v[first]) for v in rows))


def _step(low: int, high: int, share: float) -> int:
    """A number on the way, a multiple of what divides both ends, so that heads still divide a width."""
    unit = gcd(low, high) or 1
    return max(1, round(low * (high / max(low, 1)) ** share / unit)) * unit if low else high


def given(sizes: Sequence[Any]) -> Steps:
    """Sizes that somebody chose, along whatever grows most."""
    tables = [numbers(size) for size in sizes]
    keys = [key for key in tables[0] if len({table.get(key) for table in tables}) > 1]
    if not keys:
        raise GainstageError(f"the sizes {', '.join(map(said, sizes))} differ in no number: nothing grows with them")
    first = max(keys, key=lambda key: tables[-1][key] / max(tables[0][key], 1))
    return Steps(tuple(sizes), tuple(t[first] / tables[0][first] for t in tables), tuple(str(t[first]) for t in tables))
