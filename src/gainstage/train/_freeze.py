"""Batch normalization that stays in evaluation mode whatever the model is put into."""

from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _NormBase


def keep_in_eval(layer: nn.Module) -> None:
    """Let this layer, if it has running statistics, normalize by them and leave them alone, also while training.

    It stays the module it is, so the model can be copied, pickled and stored as before; `let_train` undoes it.
    """
    if isinstance(layer, _NormBase) and layer.track_running_stats and not is_kept_in_eval(layer):
        layer.register_forward_pre_hook(_to_eval)


def let_train(layer: nn.Module) -> None:
    """Undo `keep_in_eval`."""
    for key in [key for key, hook in layer._forward_pre_hooks.items() if hook is _to_eval]:
        del layer._forward_pre_hooks[key]


def is_kept_in_eval(layer: nn.Module) -> bool:
    """Whether `keep_in_eval` holds this layer."""
    return _to_eval in layer._forward_pre_hooks.values()


def _to_eval(layer: nn.Module, args: Any) -> None:
    layer.training = False
