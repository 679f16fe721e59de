"""EvoNorm-S0: normalization over groups and a gate, found together by search."""

from typing import Any

import torch
from torch import Tensor

from gainstage.nn.norm._axes import along_channels, check_several
from gainstage.nn.norm._evo import OfGroup, instance_moments, pooled_moments
from gainstage.nn.norm._fused import blocks, by_hand, pulled_back, workspace


def evo_norm_s0(x: Tensor, v: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float) -> Tensor:
    """The formula of `EvoNormS0`, in plain operations; vectors of `[C]`, statistics in the dtype of `x`.

    Example:
        >>> evo_norm_s0(torch.tensor([[[-1.0, 1.0]]]), *torch.tensor([[0.0], [2.0], [0.0]]), groups=1, eps=0.0).tolist()
        [[[-1.0, 1.0]]]
    """
    grouped = x.reshape(x.shape[0], groups, x.shape[1:].numel() // groups)
    rstd = (grouped.var(-1, correction=0) + eps).rsqrt().repeat_interleave(x.shape[1] // groups, 1)
    gate = (along_channels(v, x) * x).sigmoid()
    scale = rstd.view(*rstd.shape, *[1] * (x.dim() - 2)) * along_channels(weight, x)
    return torch.addcmul(along_channels(bias, x), x * gate, scale)


class _EvoNormS0(torch.autograd.Function):
    """Keeps the input, and two numbers for each group of a sample."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, v: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float) -> Tensor:
        y, moments = torch.empty_like(x), []
        for z, out in blocks(x, y):
            mean, var = (moment.view(len(z), groups, x.shape[1] // groups) for moment in instance_moments(z, out))
            mean, var = pooled_moments(mean, var, -1)
            moments.append((mean, (var + eps).rsqrt_()))
            scale = _spread(moments[-1][1], z) * along_channels(weight, z)
            _gate(z, v, out).mul_(z).mul_(scale).add_(along_channels(bias, z))
        mean, rstd = (torch.cat(column) for column in zip(*moments, strict=True))
        ctx.save_for_backward(x, v, weight, bias, mean, rstd)
        ctx.groups, ctx.eps = groups, eps
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        *inputs, mean, rstd = ctx.saved_tensors
        groups, eps = ctx.groups, ctx.eps
        if torch.is_grad_enabled() or not by_hand(gradient):
            return *pulled_back(lambda x, v, w, b: evo_norm_s0(x, v, w, b, groups, eps), gradient, inputs), None, None
        x, v, weight, _ = inputs
        grad_x, memory = torch.empty_like(x), workspace(x, 2)
        sums = torch.zeros(3, len(weight), dtype=x.dtype, device=x.device)
        for z, g, m, r, out in blocks(x, gradient, mean, rstd, grad_x):
            sums += _backward(z, g, m, r, v, weight, out, *(part[: len(z)] for part in memory))
        return grad_x, *sums.unbind(), None, None


def _backward(
    x: Tensor,
    gradient: Tensor,
    mean: Tensor,
    rstd: Tensor,
    v: Tensor,
    weight: Tensor,
    grad_x: Tensor,
    gate: Tensor,
    product: Tensor,
) -> Tensor:
    """Writes the gradient for `x`; returns those for `v`, weight and bias, `[3, C]`. The last two are memory to use."""
    positions, count = list(range(2, x.dim())), x.shape[1:].numel() // rstd.shape[1]
    scale = _spread(rstd, x)
    weight_x = along_channels(weight, x)
    torch.mul(x, _gate(x, v, gate), out=product)
    torch.sub(x, product, out=grad_x)  # x (1 - gate)
    dot = product.mul_(gradient).sum(positions, keepdim=True)
    grad_v = product.mul_(grad_x).sum(positions, keepdim=True) * scale * weight_x
    # the group's variance passes - rstd^3 / 2 * sum(dy * x * gate * weight), to each member 2 (x - mean) / count
    share = (dot * weight_x).view(*rstd.shape[:2], x.shape[1] // rstd.shape[1]).sum(-1, keepdim=True)
    along = share * rstd.pow(3).div_(-count)
    grad_x.mul_(along_channels(v, x)).add_(1).mul_(gate).mul_(gradient).mul_(scale * weight_x)
    grad_x.add_(torch.mul(x, _spread(along, x), out=product)).sub_(_spread(along * mean, x))
    others = [0, *positions]
    return torch.stack([grad_v.sum(others), (dot * scale).sum(others), gradient.sum(others)])


def _gate(x: Tensor, v: Tensor, out: Tensor) -> Tensor:
    return torch.mul(x, along_channels(v, x), out=out).sigmoid_()


def _spread(groups: Tensor, x: Tensor) -> Tensor:
    """`[N, groups, 1]` as `[N, C, 1, ...]`."""
    count = x.shape[1] // groups.shape[1]
    return groups.expand(-1, -1, count).reshape(x.shape[0], x.shape[1], *[1] * (x.dim() - 2))


class EvoNormS0(OfGroup):
    r"""EvoNorm-S0: a gate over a group's standard deviation; nothing depends on the batch.

    $$ y = \frac{x\, \operatorname{sigmoid}(v x)}{\sqrt{\sigma_g^2 + \epsilon}}\,\gamma + \beta $$

    An activation is included: none follows. In evaluation and in training it computes the same.

    Args:
        num_features: $C$ of `[N, C, L, ...]`.
        groups: of channels, as in `GroupNorm`.
        eps: added to the variance.

    Raises:
        LayerError: the channels do not split into the groups; or the input does not fit.

    Example:
        >>> EvoNormS0(8, groups=4)(torch.randn(2, 8, 4, 4)).shape
        torch.Size([2, 8, 4, 4])

    References:
        Liu, Brock, Simonyan, Le, *Evolving Normalization-Activation Layers*, NeurIPS 2020, table 2.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Shape `[N, num_features, ...]`, kept."""
        inputs = self._checked(x)
        check_several(self, x, x.shape[1:].numel() // self.groups, "a group")
        compute = _EvoNormS0.apply if by_hand(x) else evo_norm_s0
        return compute(*inputs, self.groups, self.eps).to(x.dtype)
