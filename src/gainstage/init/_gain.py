"""Exact gains: how much an activation shrinks its input, and the factor that undoes it."""

from difflib import get_close_matches
from functools import lru_cache
from math import isfinite, sqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ._errors import NotElementwise, UnknownLaw
from ._numbers import shown, spread
from ._quadrature import Activation, apply, gaussian_mean

_LINEAR = ("linear", "identity", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d")
_NAMES = [
    "celu",
    "elu",
    "gelu",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "leaky_relu",
    "logsigmoid",
    "mish",
    "prelu",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "softplus",
    "softshrink",
    "softsign",
    "tanh",
    "tanhshrink",
]
_ALIASES = {"swish": "silu", "linear": "identity", "logistic": "sigmoid", "gelu_tanh": "gelu_tanh"}


def gain(activation: str | Activation, *, mean_square: float = 1.0) -> float:
    r"""The factor that keeps the mean square of a signal through `activation`.

    $$ g(\phi) = \sqrt{\frac{q}{\mathbb{E}[\phi(\sqrt q z)^2]}}, \qquad z \sim \mathcal{N}(0, 1) $$

    A weight of standard deviation $g / \sqrt{\text{fan\_in}}$ behind $\phi$ restores the mean square $q$ that entered
    $\phi$. It is the second *moment* that matters, not the variance: ReLU keeps half of $\mathbb{E}[z^2]$ but only
    0.34 of the variance.

    Args:
        activation: a name (`"gelu"`), a module, or any elementwise function of a tensor. A PReLU has the slope it has
            now.
        mean_square: $q > 0$, the mean square of the signal that enters.

    Returns:
        The gain, to 1e-6 or better.

    Raises:
        NotElementwise: `activation` mixes entries (softmax, GLU), is random (dropout, RReLU), or is zero everywhere.
        UnknownLaw: no activation of that name.
        CannotFill: a mean square below 0.

    Example:
        >>> round(gain("relu"), 4), round(gain("gelu"), 4), round(gain(lambda x: x), 4)
        (1.4142, 1.5335, 1.0)

    References:
        He et al., *Delving Deep into Rectifiers*, ICCV 2015, eq. 10 (ReLU).
        Brock et al., *Characterizing signal propagation*, ICLR 2021, section 4 (the same for any activation).
    """
    mean_square = spread("the mean_square of gain()", mean_square)
    if isinstance(activation, str):
        return _named_gain(activation, mean_square)
    return _gain(activation, mean_square)


def glu_gain(gate: str | Activation) -> float:
    r"""The gain of a gated unit `a * gate(b)` whose two halves are independent.

    $$ g = \frac{1}{\sqrt{\mathbb{E}[a^2]\,\mathbb{E}[\sigma(b)^2]}} = \frac{1}{\sqrt{\mathbb{E}[\sigma(b)^2]}} $$

    It has the form of `gain` because the mean square of a product of independent factors is the product of theirs.

    Args:
        gate: the activation of the gate: `"sigmoid"` (GLU), `"silu"` (SwiGLU), `"gelu"` (GEGLU), `"relu"` (ReGLU),
            `"identity"` (bilinear), or any elementwise function.

    Returns:
        The gain of the whole unit.

    Raises:
        NotElementwise: as for `gain`.

    Example:
        >>> round(glu_gain("sigmoid"), 4), round(glu_gain("silu"), 4)
        (1.8462, 1.6765)

    References:
        Shazeer, *GLU Variants Improve Transformer*, 2020.
    """
    return gain(gate)


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """`torch.nn.init.calculate_gain` where torch has an answer, `gain` for every other activation.

    Torch's table says 5/3 for tanh, 1 for sigmoid and 3/4 for SELU; the exact gains are 1.5925, 1.8462 and 1.0: write
    `gain(name)` for those.

    Args:
        nonlinearity: a name of `torch.nn.functional`, or `"linear"`, `"conv2d"`, ...
        param: the negative slope of `leaky_relu`.

    Returns:
        The gain.

    Raises:
        UnknownLaw: no activation of that name.

    Example:
        >>> round(calculate_gain("tanh"), 4), round(calculate_gain("gelu"), 4)
        (1.6667, 1.5335)
    """
    try:
        return float(nn.init.calculate_gain(nonlinearity, param))  # type: ignore[arg-type]
    except ValueError as error:
        if "Unsupported" not in str(error):
            raise
        return gain(nonlinearity)


def activation(name: str) -> Activation:
    """The activation of this name, as a function.

    Args:
        name: of a function in `torch.nn.functional`, `"identity"`, `"sin"`, `"square"`, `"gelu_tanh"`, ...

    Returns:
        A function of one tensor.

    Raises:
        UnknownLaw: no such activation; the message suggests the nearest.

    Example:
        >>> activation("relu")(torch.tensor([-1.0, 2.0]))
        tensor([0., 2.])
    """
    if not isinstance(name, str):
        raise UnknownLaw(f"the name of an activation is a text, as in 'gelu'; got {shown(name)}.")
    key = name.lower().replace("-", "_")
    key = _ALIASES.get(key, key)
    if key in _LINEAR:
        return _identity
    if key == "gelu_tanh":
        return lambda z: F.gelu(z, approximate="tanh")
    if key == "prelu":  # torch starts its slope at 1/4
        return lambda z: F.leaky_relu(z, 0.25)
    if key in ("sin", "cos", "square", "abs"):
        return getattr(torch, key)  # type: ignore[no-any-return]
    if key in _NAMES:
        return getattr(F, key)  # type: ignore[no-any-return]
    near = get_close_matches(key[:80], [*_NAMES, *_ALIASES, "identity", "sin"], n=1)
    hint = f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(_NAMES)}."
    raise UnknownLaw(
        f"no activation is called {shown(name)}. {hint} Any elementwise function of a tensor will do as well."
    )


def _identity(z: Tensor) -> Tensor:
    return z


@lru_cache(maxsize=256)
def _named_gain(name: str, mean_square: float) -> float:
    return _gain(activation(name), mean_square)


def _gain(phi: Activation, mean_square: float) -> float:
    phi = _on_float64(phi)
    _demand_elementwise(phi)
    kept = gaussian_mean(lambda z: phi(z).square(), variance=mean_square)
    if not (isfinite(kept) and kept > 0):
        raise NotElementwise(
            f"E[phi(z)^2] is {kept}: this function has no gain, because no factor restores its signal."
        )
    return sqrt(mean_square / kept)


def _on_float64(phi: Activation) -> Activation:
    """A module may hold float32 parameters (PReLU): give it what it wants, and take float64 back."""
    if not isinstance(phi, nn.Module):
        return phi
    own: Any = next((p for p in phi.parameters()), None)
    if own is None:
        return phi
    return lambda z: phi(z.to(own)).to(z)


def _demand_elementwise(phi: Activation) -> None:
    """One entry must depend on that entry alone: permuting, batching and repeating must change nothing."""
    z = torch.linspace(-3, 3, 14, dtype=torch.float64, device="cpu")
    y = apply(phi, z)
    shuffled = torch.tensor([(5 * i) % 14 for i in range(14)], device="cpu")
    other = torch.cat([z[:7], z[:7].flip(0) + 10.0])
    same = (
        torch.equal(apply(phi, z), y)
        and torch.allclose(apply(phi, z[shuffled]), y[shuffled], rtol=1e-9, atol=1e-12, equal_nan=True)
        and torch.allclose(apply(phi, other)[:7], y[:7], rtol=1e-9, atol=1e-12, equal_nan=True)
        and torch.allclose(apply(phi, z.reshape(2, 7)).flatten(), y, rtol=1e-9, atol=1e-12, equal_nan=True)
    )
    if not same:
        raise NotElementwise(
            "expected an elementwise function; an entry of this one changes with its neighbours, or from call to call "
            "(softmax, a norm, dropout). Such a function has no gain of its own: leave it out, or, for a gated unit, "
            "write init.glu_gain(gate)."
        )
