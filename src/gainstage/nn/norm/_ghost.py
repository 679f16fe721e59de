"""Batch statistics over fewer samples than a batch has, or over more: virtual batches and accumulated ones."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

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
from gainstage.nn.norm._batch import BatchNorm


class GhostBatchNorm(BatchNorm):
    r"""Batch normalization over virtual batches: a large batch with the noise of small ones.

    The batch is split along its first axis into $\lceil N / \text{virtual\_batch\_size} \rceil$ parts whose sizes
    differ by at most one, and each part is normalized by its own statistics. The running statistics take one step for
    each part, in order, as if the parts had come one after another. Evaluation is that of `BatchNorm`.

    Args:
        num_features: $C$ of `[N, C, ...]`.
        virtual_batch_size: the largest number of samples of a part.
        eps: added to the variance.
        momentum: weight of a part in the running statistics; None: every part weighs the same.
        affine: learn a weight and a bias for each channel.
        track_running_stats: keep running statistics; without them evaluation takes those of the whole batch.

    Raises:
        LayerError: `virtual_batch_size` is below 1; or, while training, a part has one value a channel.

    Example:
        >>> layer = GhostBatchNorm(1, virtual_batch_size=2)
        >>> layer(torch.tensor([[1.0], [3.0], [10.0], [30.0]])).flatten().round().tolist()
        [-1.0, 1.0, -1.0, 1.0]

    References:
        Hoffer, Hubara, Soudry, *Train longer, generalize better*, NeurIPS 2017, algorithm 1.
    """

    def __init__(
        self,
        num_features: int,
        virtual_batch_size: int = 32,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if virtual_batch_size < 1:
            raise LayerError(f"virtual_batch_size is {virtual_batch_size}, expected a number of samples from 1 on")
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype)
        self.virtual_batch_size = virtual_batch_size

    def forward(self, input: Tensor) -> Tensor:
        """Shape `[N, num_features, ...]`, kept."""
        parts = -(-input.shape[0] // self.virtual_batch_size)
        if not self.training or parts <= 1:
            return super().forward(input)
        return torch.cat([super(GhostBatchNorm, self).forward(part) for part in input.tensor_split(parts)])

    def extra_repr(self) -> str:
        """Arguments as they were given."""
        inherited: str = super().extra_repr()  # type: ignore[no-untyped-call]
        return f"{inherited}, virtual_batch_size={self.virtual_batch_size}"


class AccumulatedBatchNorm(Leaf, nn.modules.batchnorm._NormBase):
    r"""Batch normalization for gradient accumulation: statistics over the micro-batches of a step.

    A micro-batch is normalized by the statistics of all samples seen since the step began, itself included, merged
    without cancellation (Chan et al.):

    $$ \mu = \mu_w + \delta \tfrac{n_b}{n}, \quad M = M_w + M_b + \delta^2 \tfrac{n_w n_b}{n}, \quad
       y = \frac{x - \mu}{\sqrt{M / n + \epsilon}}\,\gamma + \beta $$

    with $\delta = \mu_b - \mu_w$, $w$ the window before and $b$ the micro-batch. The running statistics take one step
    for each window, towards those of one batch of its size: what they would be without accumulation.

    The first micro-batches of a window are normalized by few samples, and no gradient flows into earlier ones: this is
    nearer to a large batch than `BatchNorm` on micro-batches, and not equal to it.

    Args:
        num_features: $C$ of `[N, C, ...]`.
        micro_batches: forward passes for each optimizer step.
        eps: added to the variance.
        momentum: weight of a window in the running statistics.
        affine: learn a weight and a bias for each channel.

    Raises:
        LayerError: `micro_batches` is below 1; or, while training, the first micro-batch has one value a channel.

    Example:
        >>> layer = AccumulatedBatchNorm(1, micro_batches=2, momentum=1.0)
        >>> x = torch.tensor([[1.0], [3.0], [10.0], [30.0]])
        >>> _ = layer(x[:2]), layer(x[2:])
        >>> layer.running_mean.item(), round(layer.running_var.item(), 4) == round(x.var().item(), 4)
        (11.0, True)

    References:
        Chan, Golub, LeVeque, *Updating Formulae and a Pairwise Algorithm for Computing Sample Variances*, 1979.
    """

    window_mean: Tensor
    window_square: Tensor
    window_count: Tensor
    micro_batch: Tensor

    def __init__(
        self,
        num_features: int,
        micro_batches: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if micro_batches < 1:
            raise LayerError(f"micro_batches is {micro_batches}, expected a number of forward passes from 1 on")
        super().__init__(num_features, eps, momentum, affine, True, device, dtype)
        self.micro_batches = micro_batches
        for name in ("window_mean", "window_square"):  # mean, and sum of squared distances from it
            self.register_buffer(name, torch.zeros(num_features, device=device, dtype=dtype))
        for name in ("window_count", "micro_batch"):
            self.register_buffer(name, torch.zeros((), device=device, dtype=torch.long))

    def reset_running_stats(self) -> None:
        """Running statistics of a new layer, and an empty window."""
        super().reset_running_stats()
        for name in ("window_mean", "window_square", "window_count", "micro_batch"):
            if hasattr(self, name):  # the base class calls this before they are made
                getattr(self, name).zero_()

    def forward(self, x: Tensor) -> Tensor:
        """Shape `[N, num_features, ...]`, kept."""
        check_channels(self, x, self.num_features)
        if not self.training:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        if not x.numel():
            return affine(x, self.weight, self.bias)
        check_several(self, x, count_per_channel(x), "a channel")
        z = upcast(x)
        mean, var = moments(z, [0, *range(2, z.dim())])
        n_batch = count_per_channel(z)
        n_window = self.window_count.to(z.dtype)
        n = n_window + n_batch
        delta = mean - self.window_mean
        square = self.window_square + var * n_batch + delta.square() * (n_window * n_batch / n)
        mean = self.window_mean + delta * (n_batch / n)
        with torch.no_grad():
            self._remember(mean, square, n)
        z = (z - along_channels(mean, z)) * along_channels((square / n + self.eps).rsqrt(), z)
        return affine(z, self.weight, self.bias).to(x.dtype)

    def _remember(self, mean: Tensor, square: Tensor, n: Tensor) -> None:
        """Extend the window; a full one steps the running statistics and is emptied. Does not wait for the device."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        full = self.micro_batch + 1 >= self.micro_batches
        for running, value in ((self.running_mean, mean), (self.running_var, square / (n - 1))):
            running.copy_(torch.where(full, running.lerp(value.to(running.dtype), self.momentum or 0.0), running))
        self.num_batches_tracked.add_(full)
        self.window_mean.copy_(torch.where(full, 0, mean))
        self.window_square.copy_(torch.where(full, 0, square))
        self.window_count.copy_(torch.where(full, 0, n))
        self.micro_batch.copy_(torch.where(full, 0, self.micro_batch + 1))

    def extra_repr(self) -> str:
        """Arguments as they were given."""
        inherited: str = super().extra_repr()  # type: ignore[no-untyped-call]
        return f"{inherited}, micro_batches={self.micro_batches}"
