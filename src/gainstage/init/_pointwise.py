"""Laws whose elements are independent: constant, uniform, normal."""

from dataclasses import dataclass
from math import inf, nan

from ._errors import CannotFill
from ._law import Law, kind, named
from ._numbers import number
from ._reference import Recipe


@kind("constant")
@dataclass(frozen=True)
class Constant(Law):
    """Every element is `value`."""

    value: float = nan

    def __post_init__(self) -> None:
        number("the value of constant()", self.value)

    def recipe(self) -> Recipe:
        return Recipe("constant", (self.value,))

    def scaled(self, factor: float) -> Law:
        return Constant(self.value * number("constant.scaled(factor)", factor))

    def __str__(self) -> str:
        return {0.0: "zeros", 1.0: "ones"}.get(self.value, f"constant({self.value:.3g})")


@kind("normal")
@dataclass(frozen=True)
class Normal(Law):
    """Independent normal elements."""

    mean: float = 0.0
    std: float = nan

    def __post_init__(self) -> None:
        number("the mean of normal()", self.mean)
        number("the std of normal()", self.std, low=0)

    def recipe(self) -> Recipe:
        return Recipe("normal", (self.mean, self.std, 1.0, 0.0, 0.0, 0.0, -inf, inf))

    def scaled(self, factor: float) -> Law:
        factor = number("normal.scaled(factor)", factor)
        return super().scaled(factor) if factor < 0 else Normal(self.mean * factor, self.std * factor)


@kind("uniform")
@dataclass(frozen=True)
class Uniform(Law):
    """Independent elements, uniform on [a, b]."""

    a: float = nan
    b: float = nan

    def __post_init__(self) -> None:
        a, b = number("the lower bound of uniform()", self.a), number("the upper bound of uniform()", self.b)
        if a > b:
            raise CannotFill(f"uniform(a, b) needs a <= b; got a={a:g}, b={b:g}. Write uniform({b:g}, {a:g}).")

    def recipe(self) -> Recipe:
        return Recipe("uniform", (self.a, self.b - self.a, self.b))

    def scaled(self, factor: float) -> Law:
        factor = number("uniform.scaled(factor)", factor)
        return super().scaled(factor) if factor < 0 else Uniform(self.a * factor, self.b * factor)


@named
def constant(value: float) -> Law:
    """Every element is `value`.

    A weight *matrix* that is constant makes all units of a layer equal, and gradient descent keeps them equal: use it
    for biases, scales and the last weight of a residual branch.

    Example:
        >>> str(constant(0.25))
        'constant(0.25)'
    """
    return Constant(number("the value of constant()", value))


@named
def zeros() -> Law:
    """Every element is 0; for a weight matrix, read the warning at `constant`.

    Example:
        >>> zeros() == constant(0)
        True
    """
    return Constant(0.0)


@named
def ones() -> Law:
    """Every element is 1.

    Example:
        >>> ones() == constant(1)
        True
    """
    return Constant(1.0)


@named
def normal(mean: float = 0.0, std: float = 1.0) -> Law:
    """Independent normal elements of this mean and standard deviation.

    Example:
        >>> str(normal(std=0.02))
        'normal(std=0.02)'
    """
    return Normal(number("the mean of normal()", mean), number("the std of normal()", std))


@named
def uniform(a: float = 0.0, b: float = 1.0) -> Law:
    """Independent elements, uniform between `a` and `b`: `a + (b - a) * k / 2^24`, `k` an integer.

    Example:
        >>> str(uniform(-0.1, 0.1))
        'uniform(a=-0.1, b=0.1)'
    """
    return Uniform(number("the lower bound of uniform()", a), number("the upper bound of uniform()", b))
