"""EvoNorm-B0: normalization over batch and sample with an activation, found together by search."""

from typing import Any

import torch
from torch import Tensor

from gainstage.nn.norm._axes import along_channels, check_several, count_per_channel
from gainstage.nn.norm._evo import OfBatch, instance_moments, pooled_moments
from gainstage.nn.norm._fused import blocks, by_hand, pulled_back, workspace


def evo_norm_b0(x: Tensor, v: Tensor, weight: Tensor, bias: Tensor, var: Tensor | None, eps: float) -> Tensor:
    """The formula of `EvoNormB0`, in plain operations; `var` of `[C]` is the batch's if it is None.

    Example:
        >>> evo_norm_b0(torch.tensor([[[-1.0, 1.0]]]), *torch.tensor([[1.0], [4.0], [0.0]]), var=None, eps=0.0).tolist()
        [[[-4.0, 2.0]]]
    """
    if var is None:
        var = x.var([0, *range(2, x.dim())], correction=0)
    instance = (x.var(list(range(2, x.dim())), correction=0, keepdim=True) + eps).sqrt()
    batch = (along_channels(var, x) + eps).sqrt()
    other = torch.addcmul(instance, along_channels(v, x), x)
    return torch.addcmul(
        along_channels(bias, x), x / torch.where(other > batch, other, batch), along_channels(weight, x)
    )


class _EvoNormB0(torch.autograd.Function):
    """Keeps the input, and two numbers for each channel of a sample."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, v: Tensor, weight: Tensor, bias: Tensor, var: Tensor | None, eps: float
    ) -> tuple[Tensor, Tensor]:
        y = torch.empty_like(x)
        moments = [instance_moments(z, out) for z, out in blocks(x, y)]
        mean, var_instance = (torch.cat(column) for column in zip(*moments, strict=True))
        centre, var_batch = pooled_moments(mean, var_instance, 0)
        batch = ((var_batch if var is None else along_channels(var, x)) + eps).sqrt_()
        instance = (var_instance + eps).sqrt_()
        for z, std, out in blocks(x, instance, y):
            torch.div(z, _below(z, v, std, batch, out), out=out)
            out.mul_(along_channels(weight, z)).add_(along_channels(bias, z))
        ctx.save_for_backward(x, v, weight, bias, mean, instance, centre, batch, var)
        ctx.eps = eps
        ctx.mark_non_differentiable(var_batch)
        return y, var_batch

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        *inputs, mean, instance, centre, batch, var = ctx.saved_tensors
        eps = ctx.eps
        if torch.is_grad_enabled() or not by_hand(gradient):
            return *pulled_back(lambda x, v, w, b: evo_norm_b0(x, v, w, b, var, eps), gradient, inputs), None, None
        x, v, weight, _ = inputs
        grad_x, memory = torch.empty_like(x), workspace(x, 2)
        sums = torch.zeros(4, len(weight), dtype=x.dtype, device=x.device)
        for z, g, m, std, out in blocks(x, gradient, mean, instance, grad_x):
            sums += _backward(z, g, m, std, batch, v, weight, out, *(part[: len(z)] for part in memory))
        grad_v, grad_weight, grad_bias, to_batch = sums.unbind()
        if var is None:
            # a standard deviation s of n values passes (x - mean) / (n s)
            along = along_channels(to_batch * weight, x) / (-count_per_channel(x) * batch)
            for z, out in blocks(x, grad_x):
                out.add_(torch.mul(z, along, out=memory[0][: len(z)])).sub_(along * centre)
        return grad_x, grad_v, grad_weight, grad_bias, None, None


def _below(x: Tensor, v: Tensor, instance: Tensor, batch: Tensor, out: Tensor) -> Tensor:
    """The denominator."""
    return torch.maximum(torch.mul(x, along_channels(v, x), out=out).add_(instance), batch, out=out)


def _backward(
    x: Tensor,
    gradient: Tensor,
    mean: Tensor,
    instance: Tensor,
    batch: Tensor,
    v: Tensor,
    weight: Tensor,
    grad_x: Tensor,
    memory: Tensor,
    grad_below: Tensor,
) -> Tensor:
    """Writes the gradient for `x` but for the batch's share; returns those for `v`, weight, bias, batch, `[4, C]`."""
    positions, others = list(range(2, x.dim())), [0, *range(2, x.dim())]
    below = _below(x, v, instance, batch, memory)
    torch.div(gradient, below, out=grad_x)  # lacks a factor weight until the end, as do all that follow from it
    grad_weight = torch.mul(grad_x, x, out=grad_below).sum(others)
    both = grad_below.div_(below).sum(others)  # and a factor -1
    line = below.sub_(batch).sign_()  # 1 where the line through the sample is the larger one, 0 elsewhere
    to_instance = grad_below.mul_(line).sum(positions, keepdim=True)
    along = to_instance / (-x.shape[2:].numel() * instance)
    grad_x.sub_(torch.mul(grad_below, along_channels(v, x), out=memory)).add_(torch.mul(x, along, out=memory))
    grad_x.sub_(along * mean).mul_(along_channels(weight, x))
    grad_v = grad_below.mul_(x).sum(others) * -weight
    return torch.stack([grad_v, grad_weight, gradient.sum(others), both - to_instance.sum(others)])


class EvoNormB0(OfBatch):
    r"""EvoNorm-B0: division by the larger of the batch's deviation and a line through the sample's.

    $$ y = \frac{x}{\max\bigl(\sqrt{\sigma_B^2 + \epsilon},\; v x + \sqrt{\sigma_{nc}^2 + \epsilon}\bigr)}\,\gamma
       + \beta $$

    An activation is included: none follows. In evaluation $\sigma_B^2$ is `running_var`, which is kept as that of
    `BatchNorm` (unbiased).

    Args:
        num_features: $C$ of `[N, C, L, ...]`.
        eps: added to the variances.
        momentum: weight of a batch in the running variance.

    Raises:
        LayerError: the input does not fit, or has a single position.

    Example:
        >>> EvoNormB0(8)(torch.randn(2, 8, 4, 4)).shape
        torch.Size([2, 8, 4, 4])

    References:
        Liu, Brock, Simonyan, Le, *Evolving Normalization-Activation Layers*, NeurIPS 2020, table 2.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Shape `[N, num_features, ...]`, kept."""
        inputs = self._checked(x)
        check_several(self, x, x.shape[2:].numel(), "a channel of a sample")
        var = None if self.training else self.running_var.to(inputs[0].dtype)
        if by_hand(x):
            y, batch_var = _EvoNormB0.apply(*inputs, var, self.eps)  # type: ignore[no-untyped-call]
        else:
            y = evo_norm_b0(*inputs, var, self.eps)
            batch_var = inputs[0].detach().var([0, *range(2, x.dim())], correction=0) if self.training else None
        if self.training and x.numel():
            self._keep(batch_var, count_per_channel(x))
        return y.to(x.dtype)  # type: ignore[no-any-return]
