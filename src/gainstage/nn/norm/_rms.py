"""Root mean square normalization."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import handle_torch_function, has_torch_function_variadic

from gainstage.nn._leaf import Leaf
from gainstage.nn.norm._axes import upcast
from gainstage.nn.norm._fused import by_hand, pulled_back


def rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    r"""Division by the root mean square over the last axes.

    $$ y = \frac{x}{\sqrt{\frac1n \sum_i x_i^2 + \epsilon}}\,\gamma $$

    `torch.nn.functional.rms_norm`, and on the CPU one pass over memory where torch makes seven.

    Args:
        input: `[..., *normalized_shape]`.
        normalized_shape: sizes of the last axes.
        weight: $\gamma$, of that shape.
        eps: $\epsilon$; the rounding unit of the statistics' dtype by default.

    Returns:
        A tensor like `input`. Statistics are computed in float32 for half precision.

    Example:
        >>> rms_norm(torch.tensor([3.0, 4.0]), [2]) * 12.5**0.5
        tensor([3., 4.])

    References:
        Zhang & Sennrich, *Root Mean Square Layer Normalization*, NeurIPS 2019.
    """
    shape = tuple(normalized_shape)
    if not torch.compiler.is_compiling() and has_torch_function_variadic(input, weight):
        result: Tensor = handle_torch_function(rms_norm, (input, weight), input, shape, weight=weight, eps=eps)
        return result
    kernel = input.device.type == "cpu" and input.is_floating_point() and input.numel() > 0
    fits = tuple(input.shape[input.dim() - len(shape) :]) == shape and (weight is None or tuple(weight.shape) == shape)
    if not kernel or not fits or not by_hand(input):
        return _formula(input, shape, weight, eps)
    z = upcast(input)
    scale = z.new_ones(shape) if weight is None else weight.to(z.dtype)
    y = _RMSNorm.apply(z, scale, torch.finfo(z.dtype).eps if eps is None else eps)  # type: ignore[no-untyped-call]
    return y.to(input.dtype)  # type: ignore[no-any-return]


def _formula(x: Tensor, shape: tuple[int, ...], weight: Tensor | None, eps: float | None) -> Tensor:
    z = upcast(x)
    weight = None if weight is None else weight.to(z.dtype)
    return F.rms_norm(z, shape, weight, eps).to(x.dtype)


class _RMSNorm(torch.autograd.Function):
    """Keeps the input and one number for each row."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        from gainstage.nn.norm import _rms_cpu

        rows = x.contiguous().view(-1, weight.numel())
        y, scale = _rms_cpu.forward(rows, weight.contiguous().view(-1), eps)
        ctx.save_for_backward(x, weight, scale)
        ctx.eps = eps
        return y.view(x.shape)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, scale = ctx.saved_tensors
        if torch.is_grad_enabled() or not by_hand(gradient):
            shape, eps = tuple(weight.shape), ctx.eps
            return *pulled_back(lambda z, w: F.rms_norm(z, shape, w, eps), gradient, (x, weight)), None
        from gainstage.nn.norm import _rms_cpu

        g, rows = (tensor.contiguous().view(len(scale), -1) for tensor in (gradient, x))
        grad_x, grad_weight = _rms_cpu.backward(g, rows, weight.contiguous().view(-1), scale)
        return grad_x.view(x.shape), grad_weight.view(weight.shape), None


class RMSNorm(Leaf, nn.RMSNorm):
    r"""Division by the root mean square of the features of a token.

    $$ y = \frac{x}{\sqrt{\frac1n \sum_i x_i^2 + \epsilon}}\,\gamma $$

    Arguments and state of `torch.nn.RMSNorm`; see `rms_norm`.

    Args:
        normalized_shape: the last axes, or the size of the last one.
        eps: added to the mean square; the rounding unit of the statistics' dtype by default.
        elementwise_affine: learn a weight for each feature.

    Example:
        >>> RMSNorm(2, eps=0.0)(torch.tensor([[1.0, 1.0], [-8.0, 8.0]])).tolist()
        [[1.0, 1.0], [-1.0, 1.0]]

    References:
        Zhang & Sennrich, *Root Mean Square Layer Normalization*, NeurIPS 2019.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Shape `[..., *normalized_shape]`, kept."""
        return rms_norm(x, self.normalized_shape, self.weight, self.eps)
