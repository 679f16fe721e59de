"""What a law is: a value that says how one tensor is filled, and that can be printed, compared, stored and scaled."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from functools import lru_cache
from inspect import Parameter, signature
from math import inf, isfinite, prod
from typing import Any, ClassVar, TypeVar

from torch import Tensor

from ._errors import CannotFill, UnknownLaw
from ._fans import Fans
from ._fans import fans as fans_of
from ._numbers import number, shown
from ._reference import Recipe
from .streams import Stream

Shape = Sequence[int]
L = TypeVar("L", bound="type[Law]")

_KINDS: dict[str, "type[Law]"] = {}
_NAMED: dict[str, Callable[..., "Law"]] = {}
_ABROAD: dict[str, Callable[..., "Law"]] = {}  # what other frameworks call theirs, in lower case


@dataclass(frozen=True)
class Law:
    """How one tensor is filled: a distribution and a scale. A frozen, hashable value.

    A law is either *pointwise* (`recipe`: every element on its own, so that a slice can be filled alone) or it is
    made *whole* (`build`: orthogonal matrices and patterns).
    """

    kind: ClassVar[str] = "law"

    @property
    def name(self) -> str:
        """The canonical name, e.g. `"orthogonal"`."""
        return self.kind

    def check(self, shape: Shape, fans: Fans | None = None) -> None:
        """Raise `CannotFill` if this law cannot fill a tensor of `shape`; one without elements is filled as it is."""
        if prod(shape) != 0:
            self._check(shape, fans)

    def _check(self, shape: Shape, fans: Fans | None = None) -> None:
        """The same for a tensor with elements."""

    def concrete(self, shape: Shape, fans: Fans | None = None) -> "Law":
        """This law with the fans worked in: `he_normal()` becomes `normal(std=...)`. Other laws return themselves."""
        return self

    def recipe(self) -> Recipe | None:
        """The kernel's numbers of a pointwise, concrete law; `None` for a law that is made whole."""
        return None

    def build(self, shape: Shape, fans: Fans | None, stream: Stream) -> Tensor:
        """The whole tensor of a law that is not pointwise, on the CPU in the stream's dtype (or float32)."""
        raise NotImplementedError

    def scaled(self, factor: float) -> "Law":
        """The same law with every drawn value times `factor`."""
        factor = number(f"{self.name}.scaled(factor)", factor)
        return self if factor == 1 else Scaled(self, factor)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; `law_from_json` reads them back."""
        return {"law": self.kind} | {f.name: _plain(getattr(self, f.name)) for f in fields(self)}

    def __str__(self) -> str:
        shown = [
            f"{f.name}={_short(getattr(self, f.name))}" for f in fields(self) if getattr(self, f.name) != f.default
        ]
        return f"{self.name}({', '.join(shown)})" if shown else self.name


def kind(name: str) -> Callable[[L], L]:
    """Class decorator: the name under which `law_from_json` finds this class."""

    def register(cls: L) -> L:
        cls.kind = name
        _KINDS[name] = cls
        return cls

    return register


F = TypeVar("F", bound=Callable[..., Law])


def named(function: F, name: str | None = None) -> F:
    """Decorator: `law("he_normal")` finds this function by its name."""
    _NAMED[name or function.__name__] = function
    return function


def named_abroad(name: str) -> Callable[[F], F]:
    """Decorator: `law("HeNormal")`, `law("jax.nn.initializers.he_normal")` find this function, in any case."""

    def register(function: F) -> F:
        _ABROAD[name.lower()] = function
        return function

    return register


def law(name: str, **arguments: Any) -> Law:
    """The law of this name.

    Args:
        name: as in `init.<name>()`; a trailing underscore is forgiven. Also a class of `keras.initializers`
            (`"HeNormal"`), or a function of `jax.nn.initializers` with its package (`"jax.he_normal"`), with their
            meaning.
        **arguments: what `init.<name>` takes; for a name of Keras or JAX, what it takes there.

    Returns:
        The law, a value.

    Raises:
        UnknownLaw: no such law, and the message suggests the nearest; or it does not take these arguments.

    Example:
        >>> str(law("normal", std=0.02))
        'normal(std=0.02)'
        >>> str(law("HeNormal")), str(law("jax.nn.initializers.uniform", scale=0.1))
        ('keras_he_normal', 'uniform(a=0, b=0.1)')
    """
    key = name.rstrip("_").lower() if isinstance(name, str) else ""
    abroad = _ABROAD.get(_short_of(key))
    if key not in _NAMED and abroad is None:
        near = get_close_matches(key[:80], _NAMED, n=1, cutoff=0.5)
        hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(sorted(_NAMED))}."
        raise UnknownLaw(f"no law is called {shown(name)}. {hint}")
    function = abroad or _NAMED[key]
    try:
        signature(function).bind(**arguments)
    except TypeError as error:
        raise UnknownLaw(f"{key}{signature(function).replace(return_annotation=Parameter.empty)}: {error}.") from None
    return function(**arguments)


def _short_of(key: str) -> str:
    """`keras.initializers.henormal` as `henormal`, `jax.nn.initializers.normal` as `jax.normal`."""
    package, _, rest = key.partition(".")
    last = rest.rpartition(".")[2]
    if package in ("keras", "tf"):
        return last.replace("_", "")
    return f"jax.{last}" if package in ("jax", "flax") else key


def usable_fans(law: Law, shape: Shape, fans: Fans | None) -> Fans:
    """The fans that were given, or those of the shape; both at least a bit above 0."""
    try:
        found = _of_shape(tuple(shape)) if fans is None else Fans(*map(float, fans))
    except (TypeError, ValueError, OverflowError):
        raise CannotFill(f"fans are two numbers, as in init.Fans(64, 128); got {shown(fans)}.") from None
    if not (0 < found.fan_in < inf and 0 < found.fan_out < inf):
        raise CannotFill(
            f"{law} divides by the fans, which must be finite and above 0; got {found} for shape {tuple(shape)}."
        )
    return found


@lru_cache(maxsize=1024)
def _of_shape(shape: tuple[int, ...]) -> Fans:
    """Asked twice for every fill, of few shapes."""
    return fans_of(shape)


def _plain(value: Any) -> Any:
    if isinstance(value, Law):
        return value.to_json()
    if isinstance(value, float) and not isfinite(value):  # JSON has no infinity
        return str(value)
    return [_plain(v) for v in value] if isinstance(value, tuple) else value


def _short(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(map(_short, value))})"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


@kind("scaled")
@dataclass(frozen=True)
class Scaled(Law):
    """The law `of` with every value times `factor`."""

    of: Law
    factor: float

    def __post_init__(self) -> None:
        number("the factor of a scaled law", self.factor)

    @property
    def name(self) -> str:
        return self.of.name

    def _check(self, shape: Shape, fans: Fans | None = None) -> None:
        self.of.check(shape, fans)

    def concrete(self, shape: Shape, fans: Fans | None = None) -> Law:
        return Scaled(self.of.concrete(shape, fans), self.factor)

    def recipe(self) -> Recipe | None:
        inner = self.of.recipe()
        return None if inner is None else _scaled_recipe(inner, self.factor)

    def build(self, shape: Shape, fans: Fans | None, stream: Stream) -> Tensor:
        return self.of.build(shape, fans, stream).mul_(self.factor)

    def scaled(self, factor: float) -> Law:
        return self.of.scaled(self.factor * number(f"{self.name}.scaled(factor)", factor))

    def __str__(self) -> str:
        return f"{self.factor:.3g} * {self.of}"


def _scaled_recipe(recipe: Recipe, factor: float) -> Recipe:
    """The same numbers times `factor`, which may be negative: the ends of a window then change places."""
    if recipe.kind == "normal":
        mean, std, half, centre, below, above, low, high = recipe.numbers
        ends = sorted((low * factor, high * factor)) if factor else (0.0, 0.0)
        return Recipe("normal", (mean * factor, std * factor, half, centre, below, above, *ends))
    if recipe.kind == "uniform":
        low, span, high = recipe.numbers
        return Recipe("uniform", (low * factor, span * factor, max(low * factor, high * factor)))
    return Recipe("constant", (recipe.numbers[0] * factor,))
