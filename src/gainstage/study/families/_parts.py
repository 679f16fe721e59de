"""What all families are put together from: activation, normalization and dropout by name, and fields they refuse."""

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn

import gainstage.nn as gnn
from gainstage.errors import GainstageError
from gainstage.init import activation as named
from gainstage.study._arm import Arm
from gainstage.study._errors import StudyError

_MODULES: dict[str, Callable[[], nn.Module]] = {
    "celu": nn.CELU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "gelu_tanh": lambda: nn.GELU(approximate="tanh"),
    "hardshrink": nn.Hardshrink,
    "hardsigmoid": nn.Hardsigmoid,
    "hardswish": nn.Hardswish,
    "hardtanh": nn.Hardtanh,
    "leaky_relu": nn.LeakyReLU,
    "logsigmoid": nn.LogSigmoid,
    "mish": nn.Mish,
    "prelu": nn.PReLU,
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "selu": nn.SELU,
    "sigmoid": nn.Sigmoid,
    "logistic": nn.Sigmoid,
    "silu": nn.SiLU,
    "swish": nn.SiLU,
    "softplus": nn.Softplus,
    "softshrink": nn.Softshrink,
    "softsign": nn.Softsign,
    "tanh": nn.Tanh,
    "tanhshrink": nn.Tanhshrink,
}


class Function(nn.Module):
    """An elementwise function of torch, by its name: `"sin"`, `"cos"`, `"square"`, `"abs"`."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, x: Tensor) -> Tensor:
        """Shape kept."""
        y: Tensor = getattr(torch, self.name)(x)
        return y

    def extra_repr(self) -> str:
        """The name."""
        return self.name


def activation(name: str) -> nn.Module:
    """A module for every name that `gs.gain` knows, never in place.

    Raises:
        StudyError: there is no such activation; the nearest is suggested.

    Example:
        >>> activation("swish"), activation("linear"), activation("sin")
        (SiLU(), Identity(), Function(sin))
    """
    try:
        named(name)
    except GainstageError as error:
        raise StudyError(str(error)) from error
    key = name.lower().replace("-", "_")
    if key in ("sin", "cos", "square", "abs"):
        return Function(key)
    return _MODULES[key]() if key in _MODULES else nn.Identity()


def norm(name: str, features: int, layout: str) -> nn.Module:
    """A normalization for `"vectors"` `[n, d]`, `"tokens"` `[n, t, d]` or `"maps"` `[n, d, ...]`.

    A token is normalized like a vector, each on its own or, by `"batch"` and its kin, over all tokens of the batch.
    The normalizations of `gs.nn.norm` over the last axis act on the channels of a map at each position, as in
    ConvNeXt; the layer normalization of a map in Wu & He 2018, over positions too, is a group normalization with one
    group. `"group"` has as many groups as leave 8 features in each, at most 32; a narrow layer has one.

    Raises:
        StudyError: there is no such normalization, or it needs what this layout or a study has not.
    """
    try:
        layer = gnn.norm(name, features)
        if isinstance(layer, gnn.GroupNorm):
            fits = (k for k in range(1, 33) if features % k == 0 and features // k >= 8)
            layer = gnn.norm(name, features, num_groups=max(fits, default=1))
    except GainstageError as error:
        raise StudyError(f"{str(error).rstrip('.')}. {ALWAYS}") from error
    if isinstance(layer, gnn.EvoNormB0 | gnn.EvoNormS0 | gnn.FilterResponseNorm):
        raise StudyError(f"norm={name!r} holds an activation of its own, beside the one of the arm. {ALWAYS}")
    if layout != "maps" and isinstance(layer, NEED_MAPS):
        raise StudyError(f"norm={name!r} needs maps: use cnn or resnet. {ALWAYS}")
    last = isinstance(layer, LAST_AXIS)
    if layout == "maps" and last:
        return ChannelsLast(layer)
    return EachToken(layer) if layout == "tokens" and not last else layer


LAST_AXIS = (gnn.LayerNorm, gnn.RMSNorm, gnn.AdaNorm, gnn.DyT)
NEED_MAPS = (gnn.InstanceNorm, gnn.SwitchableNorm, gnn.CrossNorm, gnn.SelfNorm, gnn.GlobalResponseNorm)
ALWAYS = 'Every family but rnn takes "batch", "layer", "group" and "rms".'


class ChannelsLast(nn.Module):
    """A layer over the last axis, on the channels `[n, d, ...]` of a map."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """Shape kept."""
        y: Tensor = self.layer(x.movedim(1, -1))
        return y.movedim(-1, 1)


class EachToken(nn.Module):
    """A layer over vectors `[n, d]`, on all tokens of `[n, t, d]`."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """Shape kept."""
        y: Tensor = self.layer(x.flatten(0, 1))
        return y.reshape(x.shape)


def centres(layer: nn.Module | None) -> bool:
    """Whether a normalization takes each feature's mean away, over samples or positions, so that a bias is lost in it.

    Such a bias would get no gradient but rounding, which Adam turns into full steps.
    """
    inner = layer.layer if isinstance(layer, EachToken) else layer
    return isinstance(inner, gnn.BatchNorm | gnn.BatchRenorm | gnn.InstanceNorm)


def dropout(kind: str, rate: float, dims: int = 0) -> nn.Module:
    """A dropout layer of a kind, for maps with `dims` spatial axes where that matters; blocks are 3 wide."""
    if kind == "block":
        return gnn.DropBlock1d(rate, 3) if dims == 1 else gnn.DropBlock2d(rate, 3)
    if kind == "spatial":
        return gnn.SpatialDropout1d(rate) if dims == 1 else gnn.SpatialDropout2d(rate)
    if kind == "path":
        return gnn.DropPath(rate)
    return gnn.AlphaDropout(rate) if kind == "alpha" else gnn.Dropout(rate)


KINDS = {
    "mlp": ("dropout", "alpha", "connect"),
    "cnn": ("dropout", "alpha", "spatial", "block"),
    "resnet": ("dropout", "alpha", "spatial", "block", "path"),
    "transformer": ("dropout", "path"),
    "rnn": ("dropout",),
}


def check_kind(arm: Arm, family: str) -> None:
    """Refuse a kind of dropout that a family has no place for, whatever its rate."""
    kinds = KINDS[family] + ("path",) * (family == "mlp" and arm.residual)
    if arm.dropout_kind in kinds:
        return
    fits = [name for name, takes in KINDS.items() if arm.dropout_kind in takes]
    others = " or ".join(fits + ["mlp with residual=True"] * (arm.dropout_kind == "path"))
    raise StudyError(
        f"dropout_kind={arm.dropout_kind!r} has no place in {family}, which takes {', '.join(kinds)}. "
        f"{arm.dropout_kind!r} {NEEDS[arm.dropout_kind]}: use {others}."
    )


NEEDS = {
    "dropout": "drops single entries",
    "alpha": "follows the activation of a plain layer",
    "connect": "drops weights of fully connected layers",
    "spatial": "needs maps",
    "block": "needs maps",
    "path": "drops residual branches",
}


def named_sequence(**layers: nn.Module | None) -> nn.Sequential:
    """The layers that are not None, one after the other, under these names."""
    return nn.Sequential(OrderedDict((name, layer) for name, layer in layers.items() if layer is not None))


class Residual(nn.Module):
    """`x + branch(x)`; a branch that answers zeros makes it the identity."""

    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, x: Tensor) -> Tensor:
        """Shape kept."""
        y: Tensor = x + self.branch(x)
        return y
