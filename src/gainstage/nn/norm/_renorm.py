"""Batch renormalization: training sees what evaluation will see."""

import torch
from torch import Tensor, nn

from gainstage.nn._errors import LayerError
from gainstage.nn._leaf import Leaf
from gainstage.nn.norm._axes import (
    affine,
    along_channels,
    check_channels,
    check_several,
    count_per_channel,
    moments,
    upcast,
)


class BatchRenorm(Leaf, nn.modules.batchnorm._NormBase):
    r"""Batch normalization corrected towards the running statistics, for small or dependent batches.

    $$ y = \Bigl(\frac{x - \mu_B}{\sigma_B}\, r + d\Bigr) \gamma + \beta, \qquad
       r = \operatorname{clip}_{[1/r_m,\, r_m]} \frac{\sigma_B}{\sigma}, \quad
       d = \operatorname{clip}_{[-d_m,\, d_m]} \frac{\mu_B - \mu}{\sigma} $$

    $\mu$ and $\sigma = \sqrt{\sigma^2_\text{run} + \epsilon}$ are the running statistics before this batch; $r$ and $d$
    take no gradient. Where nothing is clipped, training computes what evaluation computes. The buffers are those of
    `BatchNorm` (a variance, unbiased; the paper keeps a standard deviation), so that its state loads.

    Args:
        num_features: $C$ of `[N, C, ...]`.
        eps: added to the variance.
        momentum: weight of a batch in the running statistics.
        affine: learn a weight and a bias for each channel.
        r_max: largest $r_m$.
        d_max: largest $d_m$.
        warmup: batches with $r_m = 1, d_m = 0$, that is plain batch normalization.
        r_steps: the batch at which $r_m$ reaches `r_max`, rising linearly after the warm-up.
        d_steps: the batch at which $d_m$ reaches `d_max`.

    Raises:
        LayerError: `r_max` is below 1, `d_max` below 0, `momentum` not within 0 to 1; on calling it with another number
            of channels, or while training with one value a channel.

    Example:
        >>> layer = BatchRenorm(2, warmup=0, r_steps=0, d_steps=0, affine=False)
        >>> x = torch.randn(8, 2)
        >>> training, evaluation = layer(x), layer.eval()(x)  # evaluation with what the first call learned
        >>> training.shape == evaluation.shape
        True

    References:
        Ioffe, *Batch Renormalization: Towards Reducing Minibatch Dependence in Batch-Normalized Models*, NeurIPS 2017,
        algorithm 1; the schedule of section 4.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-3,
        momentum: float = 0.01,
        affine: bool = True,
        r_max: float = 3.0,
        d_max: float = 5.0,
        warmup: int = 5_000,
        r_steps: int = 40_000,
        d_steps: int = 25_000,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if not (r_max >= 1 and d_max >= 0):
            raise LayerError(
                f"r_max is {r_max} and d_max is {d_max}: r is held to [1 / r_max, r_max] and d to [-d_max, d_max], so "
                "expected r_max of at least 1 and d_max of at least 0"
            )
        if not 0 <= momentum <= 1:
            raise LayerError(f"momentum is {momentum}: expected the weight of a batch, 0 to 1, for instance 0.01")
        super().__init__(num_features, eps, momentum, affine, True, device, dtype)
        self.r_max, self.d_max = r_max, d_max
        self.warmup, self.r_steps, self.d_steps = warmup, r_steps, d_steps

    def limits(self, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
        """$r_m$ and $d_m$ for the next batch."""
        assert self.num_batches_tracked is not None
        seen = (self.num_batches_tracked - self.warmup).to(dtype)
        r, d = ((seen / max(end - self.warmup, 1)).clamp(0, 1) for end in (self.r_steps, self.d_steps))
        return 1 + (self.r_max - 1) * r, self.d_max * d

    def forward(self, x: Tensor) -> Tensor:
        """Shape `[N, num_features, ...]`, kept."""
        check_channels(self, x, self.num_features)
        if not x.numel():
            return affine(x, self.weight, self.bias)
        z = upcast(x)
        mean, var = self.running_mean, self.running_var
        assert mean is not None
        assert var is not None
        if self.training:
            check_several(self, x, count_per_channel(x), "a channel")
            z = self._trained(z, mean, var)
        else:
            z = (z - along_channels(mean, z)) * along_channels((var + self.eps).rsqrt(), z)
        return affine(z, self.weight, self.bias).to(x.dtype)

    def _trained(self, z: Tensor, running_mean: Tensor, running_var: Tensor) -> Tensor:
        n = count_per_channel(z)
        mean, var = moments(z, [0, *range(2, z.dim())])
        std = (var + self.eps).sqrt()
        with torch.no_grad():
            r_max, d_max = self.limits(z.dtype)
            running_std = (running_var.to(z.dtype) + self.eps).sqrt()
            r = (std / running_std).clamp(1 / r_max, r_max)
            d = ((mean - running_mean) / running_std).clamp(-d_max, d_max)
            assert self.momentum is not None
            running_mean.lerp_(mean.to(running_mean.dtype), self.momentum)
            running_var.lerp_((var * (n / (n - 1))).to(running_var.dtype), self.momentum)
            assert self.num_batches_tracked is not None
            self.num_batches_tracked.add_(1)
        return (z - along_channels(mean, z)) * along_channels(r / std, z) + along_channels(d, z)

    def extra_repr(self) -> str:
        """Arguments as they were given."""
        inherited: str = super().extra_repr()  # type: ignore[no-untyped-call]
        return f"{inherited}, r_max={self.r_max}, d_max={self.d_max}, warmup={self.warmup}"
