"""One normalization in the place of another, with the weights that were trained."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm, _LazyNormBase

from gainstage.nn._errors import LayerError, LayerTypeError
from gainstage.nn._frozen import FrozenBatchNorm
from gainstage.nn.norm._dyt import DyT
from gainstage.nn.norm._ghost import GhostBatchNorm
from gainstage.nn.norm._group import GroupNorm
from gainstage.nn.norm._renorm import BatchRenorm
from gainstage.nn.norm._rms import RMSNorm

Build = Callable[..., nn.Module]


def convert_norm(model: nn.Module, to: str, **settings: Any) -> nn.Module:
    """A copy of `model` in which every normalization of a kind is another one, with the same weight and bias.

    | `to` | replaces | `settings` | output in evaluation |
    |---|---|---|---|
    | `"frozen"` | BatchNorm | | the same, and in training too; its parameters become buffers |
    | `"ghost"` | BatchNorm | those of `GhostBatchNorm` | the same |
    | `"renorm"` | BatchNorm | those of `BatchRenorm` | the same |
    | `"sync"` | BatchNorm | `process_group` | the same |
    | `"group"` | BatchNorm | `num_groups` | another: each sample by its own statistics |
    | `"rms"` | LayerNorm | `drop_bias` | the same where the input has mean 0 and the bias is 0 |
    | `"dyt"` | LayerNorm | `alpha_init` | another: no statistics |

    BatchNorm is any of `torch.nn` or `gainstage.nn`, LayerNorm likewise. Parameters keep their names, ties, dtypes,
    devices and `requires_grad`; a shared layer stays shared. `model` is left as it is; make the optimizer from the
    copy's parameters.

    Args:
        model: any module, or a normalization itself.
        to: kind of the new layers.
        **settings: arguments of the new layers, beyond those that the old ones have.

    Returns:
        The converted copy, in the modes of `model`.

    Raises:
        LayerError: an unknown kind, a model without layers to convert, or a layer that cannot be, by name and with the
            reason.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
        >>> type(convert_norm(model, "group", num_groups=4)[1]).__name__
        'GroupNorm'
        >>> convert_norm(model, "group", num_groups=3)
        Traceback (most recent call last):
        ...
        gainstage.nn._errors.LayerError: '1' (BatchNorm2d) has 8 channels, which 3 groups do not divide: give one of \
1, 2, 4, 8
    """
    if to not in _KINDS:
        raise LayerError(f"no normalization is called {to!r} here: give one of {', '.join(map(repr, _KINDS))}")
    source, build = _KINDS[to]
    for name, layer in model.named_modules():
        if isinstance(layer, _LazyNormBase):
            raise LayerError(f"{name!r} ({type(layer).__name__}) has no size yet: run the model on a batch first")
    copy = deepcopy(model)
    made: dict[nn.Module, nn.Module] = {}
    for name, layer in copy.named_modules():
        if isinstance(layer, source):
            made[layer] = _built(layer, f"{name!r} ({type(layer).__name__})", build, settings)
    if not made:
        raise LayerError(f"no {source.__name__.lstrip('_')} is in this {type(model).__name__}, so nothing to convert")
    _refuse_fused(copy, made)
    for module in list(copy.modules()):
        for name, child in module._modules.items():
            if child in made:
                module._modules[name] = made[child]
    return made.get(copy, copy)


def _built(layer: nn.Module, where: str, build: Build, settings: dict[str, Any]) -> nn.Module:
    if layer._forward_hooks or layer._forward_pre_hooks or layer._backward_hooks:
        raise LayerError(f"{where} has hooks, which the new layer would not have: remove them, then convert")
    try:
        new = build(layer, where, **settings)
    except TypeError as error:
        raise LayerTypeError(f"the settings {', '.join(settings) or '(none)'} do not fit: {error}") from error
    for name in ("weight", "bias"):
        if name in new._parameters and (getattr(layer, name, None) is not None or not isinstance(new, DyT)):
            new._parameters[name] = getattr(layer, name)
    return new.train(layer.training)


def _refuse_fused(model: nn.Module, made: dict[nn.Module, nn.Module]) -> None:
    """In evaluation, torch's own encoder layer computes LayerNorm from the parameters, whatever layer they are in."""
    for name, module in model.named_modules():
        if type(module) is nn.TransformerEncoderLayer and (module.norm1 in made or module.norm2 in made):
            raise LayerError(
                f"{name!r} is an nn.TransformerEncoderLayer, whose fast path in evaluation computes LayerNorm whatever "
                "norm1 and norm2 are. Write the layer out, or derive from it and override forward"
            )


def _frozen(layer: _BatchNorm, where: str) -> nn.Module:
    return _with_statistics(FrozenBatchNorm(layer.num_features, layer.eps), layer, where)


def _ghost(layer: _BatchNorm, where: str, **settings: Any) -> nn.Module:
    how = {"affine": layer.affine, "track_running_stats": layer.track_running_stats} | settings
    new = GhostBatchNorm(layer.num_features, eps=layer.eps, momentum=layer.momentum, **how)
    return _with_statistics(new, layer, where) if layer.track_running_stats else new


def _renorm(layer: _BatchNorm, where: str, **settings: Any) -> nn.Module:
    if layer.momentum is None:
        raise LayerError(
            f"{where} averages over all batches, momentum=None, which BatchRenorm does not: set a momentum"
        )
    new = BatchRenorm(layer.num_features, eps=layer.eps, momentum=layer.momentum, affine=layer.affine, **settings)
    return _with_statistics(new, layer, where)


def _sync(layer: _BatchNorm, where: str, process_group: Any = None) -> nn.Module:
    how = layer.eps, layer.momentum, layer.affine, layer.track_running_stats, process_group
    new = nn.SyncBatchNorm(layer.num_features, *how)
    return _with_statistics(new, layer, where) if layer.track_running_stats else new


def _group(layer: _BatchNorm, where: str, *, num_groups: int) -> nn.Module:
    channels = layer.num_features
    if num_groups < 1 or channels % num_groups:
        fitting = ", ".join(str(n) for n in range(1, channels + 1) if channels % n == 0)
        raise LayerError(
            f"{where} has {channels} channels, which {num_groups} groups do not divide: give one of {fitting}"
        )
    return GroupNorm(num_groups, channels, layer.eps, layer.affine)


def _rms(layer: nn.LayerNorm, where: str, *, drop_bias: bool = False) -> nn.Module:
    if layer.bias is not None and not drop_bias and bool(layer.bias.count_nonzero()):
        raise LayerError(f"{where} has a bias, which RMSNorm does not: convert with drop_bias=True to lose it")
    return RMSNorm(list(layer.normalized_shape), layer.eps, layer.elementwise_affine)


def _dyt(layer: nn.LayerNorm, where: str, **settings: Any) -> nn.Module:
    axes = list(layer.normalized_shape)
    if len(axes) != 1:
        raise LayerError(f"{where} normalizes over the last {len(axes)} axes, {axes}; DyT works on the last alone")
    like: dict[str, Any] = {} if layer.weight is None else {"device": layer.weight.device, "dtype": layer.weight.dtype}
    new = DyT(axes[0], **like, **settings)
    for parameter, old in ((new.weight, layer.weight), (new.bias, layer.bias)):
        parameter.requires_grad_(old is not None)  # DyT always has both: a constant in the place of none
    return new


def _with_statistics(new: nn.Module, layer: _BatchNorm, where: str) -> nn.Module:
    """`new` with the buffers of `layer`; and its weight and bias, where these are buffers too."""
    if layer.running_mean is None:
        raise LayerError(f"{where} keeps no running statistics, which the new layer needs")
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        if name in new._buffers:
            new._buffers[name] = getattr(layer, name)
    for name, value in (("weight", 1.0), ("bias", 0.0)):
        if name in new._buffers:
            given = getattr(layer, name)
            new._buffers[name] = torch.full_like(layer.running_mean, value) if given is None else given.detach()
    return new


_KINDS: dict[str, tuple[type[nn.Module], Build]] = {
    "frozen": (_BatchNorm, _frozen),
    "ghost": (_BatchNorm, _ghost),
    "renorm": (_BatchNorm, _renorm),
    "sync": (_BatchNorm, _sync),
    "group": (_BatchNorm, _group),
    "rms": (nn.LayerNorm, _rms),
    "dyt": (nn.LayerNorm, _dyt),
}
