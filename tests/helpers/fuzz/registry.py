"""Where the parts of random modules are registered, by name."""

import random
from collections.abc import Callable
from typing import TypeVar

from torch import nn

Made = TypeVar("Made", bound=Callable[..., nn.Module])

PARTS: dict[str, Callable[[int], nn.Module]] = {}  # each maps (batch, width) to (batch, width)
WRAPPERS: dict[str, Callable[..., nn.Module]] = {}  # each makes a part of one or two others
FAMILIES: dict[str, list[str]] = {}
SLOW: set[str] = set()  # compiles: drawn rarely


def part(family: str, *, slow: bool = False) -> Callable[[Made], Made]:
    """Register a class (or function) that is made from a width."""

    def register(made: Made) -> Made:
        name = f"{family}.{made.__name__}"
        assert name not in PARTS, name
        PARTS[name] = made
        FAMILIES.setdefault(family, []).append(name)
        if slow:
            SLOW.add(name)
        return made

    return register


def wrapper(made: Made) -> Made:
    """Register a class that is made from a width and the parts that it wraps."""
    WRAPPERS[made.__name__] = made
    return made


def draw_part(draw: random.Random) -> str:
    """A random part: first the family, so that the long families do not crowd out the short ones."""
    while True:
        name = draw.choice(FAMILIES[draw.choice(sorted(FAMILIES))])
        if name not in SLOW or draw.random() < 0.04:
            return name
