"""A site's function, called again on other numbers than those of the pass."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from gainstage.signal._sites import Ref, Site

POINTS = torch.linspace(-4.0, 4.0, 81, dtype=torch.float64, device="cpu")


def call_again(site: Site, value_of: Callable[[Ref], Tensor]) -> Tensor | None:
    """The site's function on other values of the same shape, to be differentiated; None where it refuses them."""
    expected = value_of(site.inputs[0])
    results = []
    for args, kwargs in _quieter(site.args, site.kwargs):
        try:
            first, second = (drawn(seed, site.function, put(args, value_of), put(kwargs, value_of)) for seed in (0, 1))
        except Exception:
            return None
        if not isinstance(first, Tensor) or first.shape != expected.shape:
            return None
        if torch.equal(first, second):
            return first.double()
        results.append(first.double())
    return results[0]


def put(value: Any, value_of: Callable[[Ref], Tensor]) -> Any:
    """Arguments of a call with tensors, which the call may overwrite, in place of their `Ref`."""
    if isinstance(value, Ref):
        return value_of(value).clone()
    if isinstance(value, tuple):
        return tuple(put(item, value_of) for item in value)
    return {k: put(v, value_of) for k, v in value.items()} if isinstance(value, dict) else value


def _quieter(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """The arguments, and for a function that draws numbers, each with one switch (`training`) turned off."""
    yield args, kwargs
    for position, value in enumerate(args):
        if value is True:
            yield (*args[:position], False, *args[position + 1 :]), kwargs
    for name, value in kwargs.items():
        if value is True:
            yield args, {**kwargs, name: False}


def drawn(seed: int, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """The function's answer under a random state of its own."""
    before = torch.default_generator.get_state()
    try:
        torch.default_generator.manual_seed(seed)
        return function(*args, **kwargs)
    finally:
        torch.default_generator.set_state(before)
