"""Normalization by name."""

from collections.abc import Callable
from difflib import get_close_matches
from math import gcd
from typing import Any

from torch import nn

from gainstage.nn._errors import LayerError, LayerTypeError
from gainstage.nn.norm._adaln import AdaLN, AdaLNZero
from gainstage.nn.norm._batch import BatchNorm
from gainstage.nn.norm._cross import CrossNorm, SelfNorm
from gainstage.nn.norm._derf import Derf
from gainstage.nn.norm._dyt import DyT
from gainstage.nn.norm._evo_b0 import EvoNormB0
from gainstage.nn.norm._evo_more import EvoNormB1, EvoNormB2, EvoNormS1, EvoNormS2
from gainstage.nn.norm._evo_s0 import EvoNormS0
from gainstage.nn.norm._frn import FilterResponseNorm
from gainstage.nn.norm._ghost import AccumulatedBatchNorm, GhostBatchNorm
from gainstage.nn.norm._grn import GlobalResponseNorm
from gainstage.nn.norm._group import GroupNorm, InstanceNorm
from gainstage.nn.norm._layer import AdaNorm, LayerNorm, LayerNormSimple
from gainstage.nn.norm._local import LayerNorm2d
from gainstage.nn.norm._renorm import BatchRenorm
from gainstage.nn.norm._rms import RMSNorm
from gainstage.nn.norm._switchable import SwitchableNorm


def _group(num_features: int, num_groups: int | None = None, **options: Any) -> nn.Module:
    return GroupNorm(gcd(32, num_features) if num_groups is None else num_groups, num_features, **options)


def _evo_s(layer: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    def make(num_features: int, groups: int | None = None, **options: Any) -> nn.Module:
        return layer(num_features, gcd(32, num_features) if groups is None else groups, **options)

    return make


def _cross(num_features: int, **options: Any) -> nn.Module:
    return CrossNorm(**options)


CHANNELS: dict[str, Callable[..., nn.Module]] = {
    "batch": BatchNorm,
    "group": _group,
    "instance": InstanceNorm,
    "renorm": BatchRenorm,
    "ghost": GhostBatchNorm,
    "accumulated": AccumulatedBatchNorm,
    "switchable": SwitchableNorm,
    "cross": _cross,
    "self": SelfNorm,
    "evo_b0": EvoNormB0,
    "evo_b1": EvoNormB1,
    "evo_b2": EvoNormB2,
    "evo_s0": _evo_s(EvoNormS0),
    "evo_s1": _evo_s(EvoNormS1),
    "evo_s2": _evo_s(EvoNormS2),
    "layer_2d": LayerNorm2d,
    "frn": FilterResponseNorm,
    "grn": GlobalResponseNorm,
}
FEATURES: dict[str, Callable[..., nn.Module]] = {
    "layer": LayerNorm,
    "layer_simple": LayerNormSimple,
    "rms": RMSNorm,
    "ada": AdaNorm,
    "dyt": DyT,
    "derf": Derf,
    "adaln": AdaLN,
    "adaln_zero": AdaLNZero,
}


def norm(name: str, num_features: int, **options: Any) -> nn.Module:
    """A normalization layer by its name, for any number of axes.

    `norm("batch", 64)` takes `[N, 64]`, `[N, 64, L]`, `[N, 64, H, W]`, `[N, 64, D, H, W]`. Channels are on the second
    axis for batch, group, instance, renorm, ghost, accumulated, switchable, cross, self, evo_b0 to evo_b2, evo_s0 to
    evo_s2, layer_2d, frn, grn, of which instance, switchable, cross, self and the evo_ ones need at least one more
    axis. Features are on the last axis for layer, layer_simple, rms, ada, dyt, derf, adaln and adaln_zero.

    Args:
        name: one of these; `"BatchNorm"`, `"batch_norm"` and `"batchnorm"` are `"batch"`.
        num_features: of the layer.
        options: further arguments of the layer. `"group"` and `"evo_s*"` take the largest number of groups that
            divides both 32 and the features by default.

    Returns:
        The layer.

    Raises:
        LayerError: no layer has this name, or it does not take these options.

    Example:
        >>> norm("group", 48)
        GroupNorm(16, 48, eps=1e-05, affine=True, bias=True)
        >>> norm("bach", 48)
        Traceback (most recent call last):
        gainstage.nn._errors.LayerError: no normalization is named 'bach'. Did you mean 'batch'? ...
    """
    known = CHANNELS | FEATURES
    key = _bare(name)
    make = {_bare(each): make for each, make in known.items()}.get(key)
    if make is None:
        near = get_close_matches(key, [_bare(each) for each in known], n=1, cutoff=0.5)
        guess = f" Did you mean {next(each for each in known if _bare(each) == near[0])!r}?" if near else ""
        raise LayerError(f"no normalization is named {name!r}.{guess} There are: {', '.join(known)}.")
    try:
        return make(num_features, **options)
    except TypeError as error:
        raise LayerTypeError(f"norm({name!r}, {num_features}) does not take these options: {error}") from error


def _bare(name: str) -> str:
    return name.lower().replace("norm", "").replace("_", "").replace("-", "") or name
