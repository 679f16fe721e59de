"""The further EvoNorms of the paper, B1, B2, S1 and S2: no learned slope, in plain operations."""

import torch
from torch import Tensor
from torch.nn import functional as F

from gainstage.nn.norm._axes import (
    affine,
    along_channels,
    check_channels,
    check_several,
    count_per_channel,
    moments,
    upcast,
)
from gainstage.nn.norm._evo import OfBatch, OfGroup


def root_mean_square(z: Tensor, eps: float) -> Tensor:
    """Of each channel of each sample, `[N, C, 1, ...]`."""
    return (z.square().mean(list(range(2, z.dim())), keepdim=True) + eps).sqrt()


class _OfBatch(OfBatch):
    """Division by the larger of the batch's deviation and something of the sample."""

    vectors = ("weight", "bias")

    def _of_sample(self, z: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Shape `[N, num_features, ...]`, kept."""
        check_channels(self, x, self.num_features, spatial=1)
        if not x.numel():
            return affine(x, self.weight, self.bias)
        z = upcast(x)
        var = self._variance(z) if self.training else self.running_var.to(z.dtype)
        z = z / torch.maximum((along_channels(var, z) + self.eps).sqrt(), self._of_sample(z))
        return affine(z, self.weight, self.bias).to(x.dtype)

    def _variance(self, z: Tensor) -> Tensor:
        n = count_per_channel(z)
        check_several(self, z, n, "a channel")
        var = moments(z, [0, *range(2, z.dim())])[1]
        self._keep(var, n)
        return var


class _OfGroup(OfGroup):
    """SiLU over a statistic of a group of channels."""

    vectors = ("weight", "bias")

    def _of_group(self, z: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Shape `[N, num_features, ...]`, kept."""
        check_channels(self, x, self.num_features, spatial=1)
        z = upcast(x)
        members = x.shape[1] // self.groups
        statistic = self._of_group(z.reshape(x.shape[0], self.groups, members, *x.shape[2:])) + self.eps
        scale = statistic.rsqrt().repeat_interleave(members, 1).view(x.shape[0], x.shape[1], *[1] * (x.dim() - 2))
        return affine(F.silu(z) * scale, self.weight, self.bias).to(x.dtype)


class EvoNormB1(_OfBatch):
    r"""EvoNorm-B1: division by the larger of the batch's deviation and a multiple of the sample's root mean square.

    $$ y = \frac{x}{\max\bigl(\sqrt{\sigma_B^2 + \epsilon},\; (x + 1) \sqrt{\nu_{nc}^2 + \epsilon}\bigr)}\,\gamma
       + \beta, \qquad \nu_{nc}^2 = \tfrac1P \sum_p x_p^2 $$

    An activation is included: none follows. In evaluation $\sigma_B^2$ is `running_var` (unbiased).

    Args:
        num_features: $C$ of `[N, C, L, ...]`.
        eps: added to the variance and the mean square.
        momentum: weight of a batch in the running variance.

    Raises:
        LayerError: the input does not fit, or while training has one value a channel.

    Example:
        >>> EvoNormB1(1, eps=0.0).eval()(torch.tensor([[[-1.0, 1.0]]])).tolist()
        [[[-1.0, 0.5]]]

    References:
        Liu, Brock, Simonyan, Le, *Evolving Normalization-Activation Layers*, NeurIPS 2020, table 2.
    """

    def _of_sample(self, z: Tensor) -> Tensor:
        return (z + 1) * root_mean_square(z, self.eps)


class EvoNormB2(_OfBatch):
    r"""EvoNorm-B2: division by the larger of the batch's deviation and the sample's root mean square less the value.

    $$ y = \frac{x}{\max\bigl(\sqrt{\sigma_B^2 + \epsilon},\; \sqrt{\nu_{nc}^2 + \epsilon} - x\bigr)}\,\gamma + \beta $$

    Arguments, running variance and errors are those of `EvoNormB1`.

    Args:
        num_features: $C$ of `[N, C, L, ...]`.
        eps: added to the variance and the mean square.
        momentum: weight of a batch in the running variance.

    Example:
        >>> EvoNormB2(1, eps=0.0).eval()(torch.tensor([[[-1.0, 1.0]]])).tolist()
        [[[-0.5, 1.0]]]

    References:
        Liu, Brock, Simonyan, Le, *Evolving Normalization-Activation Layers*, NeurIPS 2020, table 2.
    """

    def _of_sample(self, z: Tensor) -> Tensor:
        return root_mean_square(z, self.eps) - z


class EvoNormS1(_OfGroup):
    r"""EvoNorm-S1: SiLU over a group's standard deviation; nothing depends on the batch.

    $$ y = \frac{x\, \operatorname{sigmoid}(x)}{\sqrt{\sigma_g^2 + \epsilon}}\,\gamma + \beta $$

    Args:
        num_features: $C$ of `[N, C, L, ...]`.
        groups: of channels, as in `GroupNorm`.
        eps: added to the variance.

    Raises:
        LayerError: the channels do not split into the groups; or the input does not fit.

    Example:
        >>> EvoNormS1(8, groups=4)(torch.randn(2, 8, 4, 4)).shape
        torch.Size([2, 8, 4, 4])

    References:
        Liu, Brock, Simonyan, Le, *Evolving Normalization-Activation Layers*, NeurIPS 2020, table 2.
    """

    def _of_group(self, z: Tensor) -> Tensor:
        check_several(self, z, z.shape[2:].numel(), "a group")
        return moments(z, list(range(2, z.dim())))[1]


class EvoNormS2(_OfGroup):
    r"""EvoNorm-S2: SiLU over a group's root mean square; nothing depends on the batch.

    $$ y = \frac{x\, \operatorname{sigmoid}(x)}{\sqrt{\nu_g^2 + \epsilon}}\,\gamma + \beta $$

    Args:
        num_features: $C$ of `[N, C, L, ...]`.
        groups: of channels, as in `GroupNorm`.
        eps: added to the mean square.

    Raises:
        LayerError: the channels do not split into the groups; or the input does not fit.

    Example:
        >>> EvoNormS2(1, groups=1, eps=0.0)(torch.tensor([[[0.0, 8.0]]])).round(decimals=2).tolist()
        [[[0.0, 1.409999966621399]]]

    References:
        Liu, Brock, Simonyan, Le, *Evolving Normalization-Activation Layers*, NeurIPS 2020, table 2.
    """

    def _of_group(self, z: Tensor) -> Tensor:
        return z.square().mean(list(range(2, z.dim())))
