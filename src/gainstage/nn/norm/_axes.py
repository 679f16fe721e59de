"""What every layer needs: statistics in enough precision, and vectors laid along the channel axis."""

import torch
from torch import Tensor

from gainstage.nn._errors import LayerError, LayerInputError


def upcast(x: Tensor) -> Tensor:
    """`x` in float32 where it has half precision: statistics in bfloat16 keep two digits, float16 ends at 65504."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def moments(x: Tensor, axes: list[int], *, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """Mean and biased variance in two passes: nothing cancels. On the CPU ten times as fast as `torch.var_mean`."""
    mean = x.mean(axes, keepdim=True)
    var = (x - mean).square().mean(axes, keepdim=keepdim)
    return mean if keepdim else mean.view(var.shape), var


def along_channels(vector: Tensor, x: Tensor) -> Tensor:
    """A vector `[C]` as `[1, C, 1, ...]`, to be combined with `x` of `[N, C, ...]`, in the dtype of `x`."""
    return vector.to(x.dtype).view(1, -1, *[1] * (x.dim() - 2))


def affine(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """`x * weight + bias` for each channel; what is None is left out."""
    if weight is not None:
        x = x * along_channels(weight, x)
    return x if bias is None else x + along_channels(bias, x)


def check_channels(layer: object, x: Tensor, num_features: int, *, spatial: int = 0) -> None:
    """Refuse what is not `[N, num_features, ...]` with at least `spatial` axes after the channels."""
    if x.dim() < 2 + spatial or x.shape[1] != num_features:
        layout = ", ".join(["N", str(num_features), "H", "W"][: 2 + spatial]) + ("" if spatial == 2 else ", ...")
        raise LayerInputError(
            f"{type(layer).__name__} expected [{layout}], channels on the second axis, and got {list(x.shape)}. "
            "Where the features are on the last axis, write x.movedim(-1, 1), or use a layer over tokens: LayerNorm."
        )


def check_features(layer: object, x: Tensor, num_features: int) -> None:
    """Refuse what is not `[..., num_features]`."""
    if x.dim() < 1 or x.shape[-1] != num_features:
        raise LayerInputError(
            f"{type(layer).__name__} expected [..., {num_features}], features on the last axis, and got "
            f"{list(x.shape)}. Where the channels are on the second axis, write x.movedim(1, -1)."
        )


def check_several(layer: object, x: Tensor, count: int, what: str) -> None:
    """Refuse statistics of a single value, whose variance is 0: nothing of it would be left. No values are fine."""
    if count == 1:
        raise LayerError(
            f"{type(layer).__name__} needs at least 2 values {what} for a variance, and {list(x.shape)} has 1. "
            "Give a larger batch or map, call .eval() where it keeps running statistics, or normalize over the "
            "features of a sample: LayerNorm."
        )


def count_per_channel(x: Tensor) -> int:
    """How many values of `[N, C, ...]` belong to a channel."""
    return x.shape[0] * x.shape[2:].numel()
