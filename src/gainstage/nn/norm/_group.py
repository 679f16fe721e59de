"""Normalization over positions within a sample: groups of channels, or each channel alone."""

from math import gcd

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gainstage.nn._errors import LayerError
from gainstage.nn._layout import laid_out_like
from gainstage.nn._leaf import Leaf
from gainstage.nn.norm._axes import affine, check_channels, check_several, upcast


def check_groups(num_groups: int, num_features: int) -> None:
    """Refuse groups of unequal size."""
    if num_groups < 1 or num_features % num_groups:
        raise LayerError(
            f"{num_features} channels do not split into {num_groups} equal groups. "
            f"Take a divisor of {num_features}, for instance {gcd(max(num_groups, 1), num_features)}."
        )


class GroupNorm(Leaf, nn.GroupNorm):
    r"""Normalization of each sample over groups of channels and all positions.

    $$ y = \frac{x - \mu_g}{\sqrt{\sigma_g^2 + \epsilon}}\,\gamma + \beta $$

    Runs torch's kernel. On the CPU that kernel computes $E[x^2] - E[x]^2$ in channels-last memory, which is lost in
    rounding when the mean is large; there the mean is taken off first, which changes nothing else.

    Args:
        num_groups: of the channels; 1 normalizes over the whole sample, `num_channels` is instance normalization.
        num_channels: $C$ of `[N, C, ...]`.
        eps: added to the variance.
        affine: learn a weight and a bias for each channel.
        bias: learn the bias; `False` leaves the weight alone.

    Raises:
        LayerError: the channels do not split into the groups; or, on calling it, a group has a single value.

    Example:
        >>> GroupNorm(1, 2, eps=0.0)(torch.tensor([[1.0, 3.0]])).tolist()
        [[-1.0, 1.0]]

    References:
        Wu & He, *Group Normalization*, ECCV 2018.
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        bias: bool = True,
    ) -> None:
        check_groups(num_groups, num_channels)
        more = {} if bias else {"bias": False}  # torch knows the argument from 2.12 on
        super().__init__(num_groups, num_channels, eps, affine, device, dtype, **more)

    def forward(self, input: Tensor) -> Tensor:
        """Shape `[N, num_channels, ...]`, kept."""
        check_channels(self, input, self.num_channels)
        check_several(self, input, input.shape[1:].numel() // self.num_groups, "a group")
        wide = input.dtype in (torch.float32, torch.float64)  # in half precision a mean that large is no longer exact
        if wide and input.device.type == "cpu" and input.dim() > 3 and not input.is_contiguous():
            input = _centred(input, self.num_groups)
        return super().forward(input)


def _centred(x: Tensor, groups: int) -> Tensor:
    """`x` less the mean of its group, which a normalization does not see, so that it needs no gradient."""
    with torch.no_grad():
        positions = list(range(2, x.dim()))
        mean = x.mean(positions).view(x.shape[0], groups, x.shape[1] // groups).mean(-1, keepdim=True)
        mean = mean.expand(-1, -1, x.shape[1] // groups).reshape(x.shape[0], x.shape[1], *[1] * len(positions))
    return x - mean


class InstanceNorm(Leaf, nn.modules.instancenorm._InstanceNorm):
    r"""Normalization of each channel of each sample over its positions, for any number of axes.

    $$ y = \frac{x - \mu_{nc}}{\sqrt{\sigma_{nc}^2 + \epsilon}}\,\gamma + \beta $$

    Arguments, defaults and state of `torch.nn.InstanceNorm*d`, whose kernel it runs; channels-last memory stays so.

    Args:
        num_features: $C$ of `[N, C, L]`, `[N, C, H, W]`, ...
        eps: added to the variance.
        momentum: weight of a batch in the running statistics.
        affine: learn a weight and a bias for each channel.
        track_running_stats: normalize by running statistics in evaluation.

    Raises:
        LayerError: on calling it without an axis after the channels, or with a single position.

    Example:
        >>> InstanceNorm(1, eps=0.0)(torch.tensor([[[1.0, 3.0]]])).tolist()
        [[[-1.0, 1.0]]]

    References:
        Ulyanov, Vedaldi, Lempitsky, *Instance Normalization*, 2016.
    """

    _axes = 0  # the number of axes that is taken, with the batch; 0: any from 3 on

    def _check_input_dim(self, input: Tensor) -> None:
        if self._axes and input.dim() != self._axes:
            raise LayerError(
                f"{type(self).__name__} expected {self._axes} axes, or {self._axes - 1} without a batch, and got "
                f"{list(input.shape)}. InstanceNorm takes any number of axes."
            )
        check_channels(self, input, self.num_features, spatial=1)
        if self.training or not self.track_running_stats:
            check_several(self, input, input.shape[2:].numel(), "a channel of a sample")

    def forward(self, input: Tensor) -> Tensor:
        """Shape `[N, num_features, ...]`, kept, and the memory format with it."""
        x = input.unsqueeze(0) if self._axes and input.dim() == self._axes - 1 else input
        self._check_input_dim(x)
        mean, var = self.running_mean, self.running_var
        z = x if mean is not None and mean.dtype == x.dtype else upcast(x)  # torch keeps a mean in half precision
        weight, bias = (None if p is None else p.to(z.dtype) for p in (self.weight, self.bias))
        of_input, momentum = self.training or not self.track_running_stats, self.momentum or 0.0
        if x.numel():
            y = F.instance_norm(z, mean, var, weight, bias, of_input, momentum, self.eps)
        else:
            y = affine(z, weight, bias)
        y = laid_out_like(x, y.to(x.dtype))
        return y if x is input else y.squeeze(0)


class InstanceNorm1d(InstanceNorm):
    """`InstanceNorm` for `[N, C, L]` and `[C, L]` only."""

    _axes = 3


class InstanceNorm2d(InstanceNorm):
    """`InstanceNorm` for `[N, C, H, W]` and `[C, H, W]` only."""

    _axes = 4


class InstanceNorm3d(InstanceNorm):
    """`InstanceNorm` for `[N, C, D, H, W]` and `[C, D, H, W]` only."""

    _axes = 5
