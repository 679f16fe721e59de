"""Names of Keras and JAX, each with the meaning it has there: `law("HeNormal")`, `law("jax.he_normal")`.

Keras' are the class names, in any case and with or without `keras.initializers.`; JAX's begin with `jax.`, because they
are spelled like ours and mean another law: its normals are truncated.
"""

from collections.abc import Callable

from . import _classical, _frameworks, _orthogonal, _patterns, _pointwise
from ._law import Law, named_abroad
from ._numbers import number
from ._scaling import variance_scaling
from ._truncated import trunc_normal

_SAME: dict[str, Callable[..., Law]] = {  # with the arguments of ours
    "GlorotUniform": _classical.xavier_uniform,
    "GlorotNormal": _frameworks.keras_glorot_normal,
    "HeUniform": _classical.he_uniform,
    "HeNormal": _frameworks.keras_he_normal,
    "LecunUniform": _classical.lecun_uniform,
    "LecunNormal": _frameworks.keras_lecun_normal,
    "Orthogonal": _orthogonal.orthogonal,
    "Identity": _patterns.identity,
    "Zeros": _pointwise.zeros,
    "Ones": _pointwise.ones,
    "Constant": _pointwise.constant,
    "jax.zeros": _pointwise.zeros,
    "jax.ones": _pointwise.ones,
    "jax.constant": _pointwise.constant,
}
for _name, _law in _SAME.items():
    named_abroad(_name)(_law)
for _name in ("glorot", "xavier"):
    named_abroad(f"jax.{_name}_uniform")(_classical.xavier_uniform)
    named_abroad(f"jax.{_name}_normal")(_frameworks.keras_glorot_normal)
for _name in ("he", "kaiming"):
    named_abroad(f"jax.{_name}_uniform")(_classical.he_uniform)
    named_abroad(f"jax.{_name}_normal")(_frameworks.keras_he_normal)
named_abroad("jax.lecun_uniform")(_classical.lecun_uniform)
named_abroad("jax.lecun_normal")(_frameworks.keras_lecun_normal)


@named_abroad("RandomNormal")
def _random_normal(mean: float = 0.0, stddev: float = 0.05) -> Law:
    return _pointwise.normal(mean, stddev)


@named_abroad("RandomUniform")
def _random_uniform(minval: float = -0.05, maxval: float = 0.05) -> Law:
    return _pointwise.uniform(minval, maxval)


@named_abroad("TruncatedNormal")
def _truncated_normal(mean: float = 0.0, stddev: float = 0.05) -> Law:
    """Cut at two standard deviations of the parent, which `stddev` is."""
    std = number("stddev", stddev)
    return trunc_normal(mean, std, mean - 2 * std, mean + 2 * std)


@named_abroad("VarianceScaling")
def _variance_scaling(scale: float = 1.0, mode: str = "fan_in", distribution: str = "truncated_normal") -> Law:
    """Keras calls the plain normal untruncated, and has no geometric mean."""
    plain = {"untruncated_normal": "normal"}
    return variance_scaling(scale, mode, plain.get(distribution, distribution))


@named_abroad("jax.normal")
def _jax_normal(stddev: float = 0.01) -> Law:
    return _pointwise.normal(0.0, stddev)


@named_abroad("jax.uniform")
def _jax_uniform(scale: float = 0.01) -> Law:
    """From 0, unlike every other uniform here."""
    return _pointwise.uniform(0.0, scale)


@named_abroad("jax.truncated_normal")
def _jax_truncated_normal(stddev: float = 0.01, lower: float = -2.0, upper: float = 2.0) -> Law:
    std = number("stddev", stddev)
    return trunc_normal(0.0, std, number("lower", lower) * std, number("upper", upper) * std)


@named_abroad("jax.variance_scaling")
def _jax_variance_scaling(scale: float, mode: str, distribution: str) -> Law:
    return variance_scaling(scale, mode, distribution)


@named_abroad("jax.orthogonal")
def _jax_orthogonal(scale: float = 1.0) -> Law:
    return _orthogonal.orthogonal(scale)


@named_abroad("jax.delta_orthogonal")
def _jax_delta_orthogonal(scale: float = 1.0) -> Law:
    return _orthogonal.delta_orthogonal(scale)
