"""Variance scaling: the variance of an entry is a constant over a fan."""

from dataclasses import dataclass, field
from difflib import get_close_matches
from math import sqrt
from typing import Any

from ._errors import UnknownLaw
from ._fans import Fans
from ._law import _NAMED, Law, Shape, kind, law, named, usable_fans
from ._numbers import number, shown
from ._pointwise import Normal, Uniform
from ._truncated import TruncatedNormal

_MODES = ("fan_in", "fan_out", "fan_avg", "fan_geo_avg")
_DISTRIBUTIONS = ("normal", "uniform", "truncated_normal")


@kind("variance_scaling")
@dataclass(frozen=True)
class VarianceScaling(Law):
    """Entries of mean 0 and variance `scale / fan`."""

    scale: float = 1.0
    mode: str = "fan_in"
    distribution: str = "truncated_normal"
    label: str = field(default="variance_scaling", compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.label, str) or self.label not in _NAMED:
            raise UnknownLaw(f"the label of a variance_scaling is the name of a law; got {shown(self.label)}.")
        number(f"the scale of {self.label}()", self.scale, low=0)
        for what, known in (("mode", _MODES), ("distribution", _DISTRIBUTIONS)):
            object.__setattr__(self, what, _one_of(what, getattr(self, what), known))

    @property
    def name(self) -> str:
        return self.label

    def _check(self, shape: Shape, fans: Fans | None = None) -> None:
        usable_fans(self, shape, fans)

    def std(self, shape: Shape, fans: Fans | None = None) -> float:
        """The standard deviation of an entry."""
        fan_in, fan_out = usable_fans(self, shape, fans)
        fan = {
            "fan_in": fan_in,
            "fan_out": fan_out,
            "fan_avg": (fan_in + fan_out) / 2,
            "fan_geo_avg": sqrt(fan_in * fan_out),
        }[self.mode]
        return sqrt(self.scale / fan)

    def concrete(self, shape: Shape, fans: Fans | None = None) -> Law:
        std = self.std(shape, fans)
        if self.distribution == "normal":
            return Normal(0.0, std)
        if self.distribution == "uniform":
            return Uniform(-sqrt(3) * std, sqrt(3) * std)
        return TruncatedNormal(0.0, std)

    def scaled(self, factor: float) -> Law:
        factor = number(f"{self.label}.scaled(factor)", factor)
        if factor < 0:
            return super().scaled(factor)
        return VarianceScaling(self.scale * factor * factor, self.mode, self.distribution, self.label)

    def __str__(self) -> str:
        if self.label == "variance_scaling":
            return f"variance_scaling({self.scale:.3g}, {self.mode}, {self.distribution})"
        usual = _usual(self.label)
        if self == usual:
            return self.label
        if usual is not None and (usual.scale, usual.mode) == (1.0, self.mode):
            return f"{self.label}(gain={sqrt(self.scale):.3g})"
        return f"{self.label}(scale={self.scale:.3g}, {self.mode})"


def _usual(label: str) -> VarianceScaling | None:
    """The law of this name without arguments, if there is one in this family."""
    try:
        usual = law(label)
    except UnknownLaw:  # it needs arguments
        return None
    return usual if isinstance(usual, VarianceScaling) else None


def _one_of(what: str, value: Any, known: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value.lower() not in known:
        near = get_close_matches(value[:80].lower(), known, n=1) if isinstance(value, str) else []
        raise UnknownLaw(
            f"variance_scaling knows the {what}s {', '.join(known)}; got {shown(value)}."
            + (f" Did you mean {near[0]!r}?" if near else "")
        )
    return value.lower()


@named
def variance_scaling(scale: float = 1.0, mode: str = "fan_in", distribution: str = "truncated_normal") -> Law:
    r"""Entries of mean 0 and variance `scale / fan`: the family that holds all classical names.

    $$ \operatorname{Var}[w] = \frac{s}{n}, \qquad n \in \{ f_\text{in},\ f_\text{out},\
       \tfrac12 (f_\text{in} + f_\text{out}),\ \sqrt{f_\text{in} f_\text{out}} \} $$

    Args:
        scale: $s \ge 0$. The square of a gain.
        mode: `"fan_in"`, `"fan_out"`, `"fan_avg"` or `"fan_geo_avg"`, in this order of $n$; in any case.
        distribution: `"normal"`, `"uniform"` or `"truncated_normal"` (at 2 sigma of the parent). All three have the
            variance of the formula.

    Returns:
        The law.

    Raises:
        UnknownLaw: a mode or distribution of another name.
        CannotFill: a negative scale.

    Example:
        >>> str(variance_scaling(2.0, "fan_in", "normal").concrete((64, 32)))
        'normal(std=0.25)'

    References:
        Glorot & Bengio, *Understanding the difficulty of training deep feedforward neural networks*, AISTATS 2010.
    """
    return VarianceScaling(number("scale", scale), mode, distribution)
