"""Batch normalization: written out to be read, and as a layer that runs torch's kernel."""

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


def batch_norm(
    x: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float | Tensor = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    r"""Batch normalization from scratch: what `torch.nn.functional.batch_norm` computes, in ten lines.

    $$ y = \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}}\,\gamma + \beta, \qquad
       \mu_\text{run} \leftarrow (1 - m)\,\mu_\text{run} + m\,\mu, \quad
       \sigma^2_\text{run} \leftarrow (1 - m)\,\sigma^2_\text{run} + m\,\tfrac{n}{n - 1}\sigma^2 $$

    While training, $\mu$ and $\sigma^2$ are the mean and the biased variance of each channel over the batch and all
    positions, and the running statistics take a step towards them, the variance as its unbiased estimate. Otherwise
    they are the running statistics.

    Args:
        x: `[N, C, ...]`.
        running_mean: `[C]`, updated in place while training; None: there are none, and the batch's are always used.
        running_var: `[C]`, as `running_mean`.
        weight: $\gamma$, `[C]`.
        bias: $\beta$, `[C]`.
        training: use the batch's statistics.
        momentum: $m$, the weight of the batch; for a cumulative average 1 / (number of batches with this one).
        eps: $\epsilon$.

    Returns:
        A tensor like `x`. Statistics are computed in float32 for half precision.

    Raises:
        LayerError: a channel has a single value to take statistics of.

    Example:
        >>> x = torch.tensor([[1.0, 10.0], [3.0, 30.0]])
        >>> batch_norm(x, training=True, eps=0.0)
        tensor([[-1., -1.],
                [ 1.,  1.]])

    References:
        Ioffe & Szegedy, *Batch Normalization*, ICML 2015, algorithm 1.
    """
    z = upcast(x)
    if training or running_mean is None or running_var is None:
        n = count_per_channel(z)
        if n == 0:
            return affine(x, weight, bias)
        check_several(batch_norm, x, n, "a channel")
        mean, var = moments(z, [0, *range(2, z.dim())])
        if running_mean is not None and running_var is not None:
            with torch.no_grad():
                for running, value in ((running_mean, mean), (running_var, var * (n / (n - 1)))):
                    step = momentum.to(running.dtype) if isinstance(momentum, Tensor) else momentum
                    running.lerp_(value.to(running.dtype), step)
    else:
        mean, var = running_mean, running_var
    centred = z - along_channels(mean, z)
    return affine(centred * along_channels((var + eps).rsqrt(), z), weight, bias).to(x.dtype)


class BatchNorm(Leaf, nn.modules.batchnorm._BatchNorm):
    r"""Batch normalization for any number of axes after the channels.

    $$ y = \frac{x - \mu_B}{\sqrt{\sigma_B^2 + \epsilon}}\,\gamma + \beta $$

    `batch_norm` is the same written out; this runs torch's kernel. Buffers, arguments and state are those of
    `torch.nn.BatchNorm*d`: `running_mean`, `running_var` (unbiased), `num_batches_tracked`. For a cumulative average
    the written-out form runs, as torch's layer reads its counter on the host there, which waits for the device and does
    not compile into one graph; so it does on the CPU where all is in half precision, as torch's mean is then too.

    Args:
        num_features: channels, $C$ of `[N, C]`, `[N, C, L]`, `[N, C, H, W]`, `[N, C, D, H, W]`, ...
        eps: added to the variance.
        momentum: weight of a batch in the running statistics; None: every batch weighs the same (cumulative average).
        affine: learn a weight and a bias for each channel.
        track_running_stats: keep running statistics; without them the batch's are used in evaluation too.

    Raises:
        LayerError: on calling it with another number of channels, or while training with one value a channel.

    Example:
        >>> layer = BatchNorm(3)
        >>> [list(layer(torch.randn(4, 3, *positions)).shape) for positions in [(), (5,), (2, 2)]]
        [[4, 3], [4, 3, 5], [4, 3, 2, 2]]

    References:
        Ioffe & Szegedy, *Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate
        Shift*, ICML 2015.
    """

    _axes: tuple[int, ...] = ()  # numbers of axes that are taken; empty: any from 2 on

    def _check_input_dim(self, input: Tensor) -> None:
        if self._axes and input.dim() not in self._axes:
            raise LayerError(
                f"{type(self).__name__} expected {' or '.join(map(str, self._axes))} axes and got {list(input.shape)}. "
                "BatchNorm takes any number of axes."
            )
        check_channels(self, input, self.num_features)
        if self.training or self.running_mean is None:
            check_several(self, input, count_per_channel(input), "a channel")

    def forward(self, input: Tensor) -> Tensor:
        """Shape `[N, num_features, ...]`, kept."""
        count = self.num_batches_tracked if self.training else None
        cumulative = count is not None and self.momentum is None
        own = [tensor for tensor in (self.running_mean, self.weight) if tensor is not None]
        lost = input.device.type == "cpu" and upcast(input) is not input and all(t.dtype == input.dtype for t in own)
        if not cumulative and not lost:
            return super().forward(input)
        self._check_input_dim(input)
        step: float | Tensor = self.momentum or 0.0
        if count is not None:
            count.add_(1)
            step = count.reciprocal() if cumulative else step
        buffers = self.running_mean, self.running_var
        return batch_norm(input, *buffers, self.weight, self.bias, self.training, step, self.eps)


class BatchNorm1d(BatchNorm):
    """`BatchNorm` for `[N, C]` and `[N, C, L]` only."""

    _axes = (2, 3)


class BatchNorm2d(BatchNorm):
    """`BatchNorm` for `[N, C, H, W]` only."""

    _axes = (4,)


class BatchNorm3d(BatchNorm):
    """`BatchNorm` for `[N, C, D, H, W]` only."""

    _axes = (5,)
