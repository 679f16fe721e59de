"""Truncated normals: torch's, and the one whose standard deviation is what was asked for."""

from dataclasses import dataclass
from math import erf, erfc, exp, isinf, isnan, nan, pi, sqrt

from ._errors import CannotFill
from ._fans import Fans
from ._law import Law, Shape, kind, named
from ._numbers import number, shown
from ._pointwise import Constant
from ._reference import Recipe

_REACH = 6.3  # sigma; 32 bits cannot tell tails beyond it apart
_LEAST_MASS = 1e-6


@kind("trunc_normal")
@dataclass(frozen=True)
class TruncNormal(Law):
    """Normal(mean, std^2) given that it lies in [a, b]; `std` is that of the parent."""

    mean: float = 0.0
    std: float = 1.0
    a: float = -2.0
    b: float = 2.0

    def __post_init__(self) -> None:
        number("the mean of trunc_normal()", self.mean)
        number("the std of trunc_normal()", self.std, above=0)
        a, b = _bound(self.a), _bound(self.b)
        if not a < b:
            raise CannotFill(
                f"the window of trunc_normal(mean, std, a, b) needs a < b; got a={shown(self.a)}, "
                f"b={shown(self.b)}. a and b are values, not multiples of std."
            )
        if self._half() * 2 < _LEAST_MASS * 2:
            raise CannotFill(
                f"the window [{self.a:g}, {self.b:g}] holds less than a millionth of normal(mean={self.mean:g}, "
                f"std={self.std:g}), {min(abs(x) for x in self._window()):.1f} sigma away. Move the window, raise std, "
                f"or write uniform({self.a:g}, {self.b:g})."
            )

    def recipe(self) -> Recipe:
        low, high = self._window()
        below, above = erfc(-low / sqrt(2)), erfc(high / sqrt(2))  # 1 + erf(low), 1 - erf(high), exact when tiny
        centre = (erf(low / sqrt(2)) + erf(high / sqrt(2))) / 2
        return Recipe("normal", (self.mean, self.std, self._half(), centre, below, above, self.a, self.b))

    def scaled(self, factor: float) -> Law:
        factor = number("trunc_normal.scaled(factor)", factor)
        if factor <= 0:
            return super().scaled(factor)
        return TruncNormal(self.mean * factor, self.std * factor, self.a * factor, self.b * factor)

    def _window(self) -> tuple[float, float]:
        """The window in units of sigma, cut where 32 bits end."""
        low, high = (self.a - self.mean) / self.std, (self.b - self.mean) / self.std
        return max(low, -_REACH), min(high, _REACH)

    def _half(self) -> float:
        """Half of erf(high) - erf(low): the mass of the window, free of cancellation."""
        low, high = self._window()
        if low > 0:
            return (erfc(low / sqrt(2)) - erfc(high / sqrt(2))) / 2
        if high < 0:
            return (erfc(-high / sqrt(2)) - erfc(-low / sqrt(2))) / 2
        return (erf(high / sqrt(2)) - erf(low / sqrt(2))) / 2

    def __str__(self) -> str:
        bounds = "" if isinf(self.a) and isinf(self.b) else f", a={self.a:.3g}, b={self.b:.3g}"
        mean = f"mean={self.mean:.3g}, " if self.mean else ""
        return f"trunc_normal({mean}std={self.std:.3g}{bounds})"


@kind("truncated_normal")
@dataclass(frozen=True)
class TruncatedNormal(Law):
    """A normal cut at `cut` sigma of its parent, the parent so wide that the result has standard deviation `std`."""

    mean: float = 0.0
    std: float = nan
    cut: float = 2.0

    def __post_init__(self) -> None:
        number("the mean of truncated_normal()", self.mean)
        number("the std of truncated_normal()", self.std, low=0)
        number("the cut of truncated_normal()", self.cut, above=0)

    def concrete(self, shape: Shape, fans: Fans | None = None) -> Law:
        return self.parent()

    def parent(self) -> Law:
        """The `trunc_normal` that draws these numbers."""
        if self.std == 0:
            return Constant(self.mean)
        sigma = self.std / truncated_std(self.cut)
        return TruncNormal(self.mean, sigma, self.mean - self.cut * sigma, self.mean + self.cut * sigma)

    def recipe(self) -> Recipe | None:
        return self.parent().recipe()

    def scaled(self, factor: float) -> Law:
        factor = number("truncated_normal.scaled(factor)", factor)
        return (
            super().scaled(factor) if factor < 0 else TruncatedNormal(self.mean * factor, self.std * factor, self.cut)
        )


def _bound(value: float) -> float:
    """An end of a window, which may be infinite."""
    try:
        x = float(value)
    except (TypeError, ValueError, OverflowError):
        return number("a bound of trunc_normal()", value)
    return x if isinf(x) else nan if isnan(x) else number("a bound of trunc_normal()", x)


def truncated_std(cut: float) -> float:
    """The standard deviation of a standard normal cut at ± `cut`: 0.8796 for 2."""
    if cut < 0.02:  # nearly uniform on [-cut, cut]; the formula below would cancel
        return cut / sqrt(3) * (1 - cut * cut / 15)
    return sqrt(1 - 2 * cut * exp(-cut * cut / 2) / sqrt(2 * pi) / erf(cut / sqrt(2)))


@named
def trunc_normal(mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0) -> Law:
    """The law of `torch.nn.init.trunc_normal_`: normal, given that it lies in [a, b].

    `std` is that of the parent; the result is narrower (0.88 for ± 2 std). For the std you ask for, write
    `truncated_normal(std=...)`.

    Example:
        >>> str(trunc_normal(std=0.5, a=-1, b=1))
        'trunc_normal(std=0.5, a=-1, b=1)'
    """
    mean, std = number("the mean of trunc_normal()", mean), number("the std of trunc_normal()", std)
    return TruncNormal(mean, std, _bound(a), _bound(b))


@named
def truncated_normal(mean: float = 0.0, std: float = 1.0, cut: float = 2.0) -> Law:
    r"""A truncated normal whose *resulting* standard deviation is `std`.

    $$ \sigma_\text{parent} = \text{std} \Big/ \sqrt{1 - \frac{2 c\, \varphi(c)}{2 \Phi(c) - 1}} $$

    This is the definition of TensorFlow's and JAX's *variance scaling* (`HeNormal`, `lecun_normal`), which divide by
    0.8796. Everything else of this name means the parent: JAX's and Keras' `TruncatedNormal(stddev)`, timm's
    `trunc_normal_tf_` and torch's `trunc_normal_` come out with 0.88 of what was asked. That is `trunc_normal`, or
    `law("TruncatedNormal", stddev=...)`.

    Args:
        mean: of the result.
        std: of the result, at least 0.
        cut: the window's half width $c$ in standard deviations of the parent.

    Returns:
        The law.

    Example:
        >>> truncated_normal(std=1.0).parent().std  # twice this is the largest value that occurs
        1.1368472343385565
    """
    mean, std = number("the mean of truncated_normal()", mean), number("the std of truncated_normal()", std)
    return TruncatedNormal(mean, std, number("the cut of truncated_normal()", cut))
