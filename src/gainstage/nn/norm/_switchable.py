"""Switchable normalization: a learned mixture of instance, layer and batch statistics."""

import torch
from torch import Tensor, nn

from gainstage.nn._leaf import Leaf
from gainstage.nn.norm._axes import affine, check_channels, check_several, count_per_channel, moments, upcast


class SwitchableNorm(Leaf, nn.modules.batchnorm._NormBase):
    r"""Normalization by statistics that the layer chooses: instance, layer, batch.

    $$ y = \frac{x - \sum_k w_k \mu_k}{\sqrt{\sum_k w'_k \sigma_k^2 + \epsilon}}\,\gamma + \beta, \qquad
       w = \operatorname{softmax}(\lambda), \quad w' = \operatorname{softmax}(\lambda'), \quad
       k \in \{\text{in}, \text{ln}, \text{bn}\} $$

    Layer and batch statistics follow from those of the instances: the mean of their variances and the variance of their
    means, a sum of two squares, so that a large mean costs no precision. In evaluation the batch's statistics are
    running ones. (The paper takes an average over batches after training instead.)

    Args:
        num_features: $C$ of `[N, C, L, ...]`.
        eps: added to the variance.
        momentum: weight of a batch in the running statistics.
        affine: learn a weight and a bias for each channel.

    Raises:
        LayerError: on calling it with another number of channels, or a single position.

    Example:
        >>> layer = SwitchableNorm(3)
        >>> layer(torch.randn(4, 3, 8, 8)).shape
        torch.Size([4, 3, 8, 8])
        >>> layer.mean_weight.softmax(0).tolist()  # of instance, layer and batch
        [0.3333333432674408, 0.3333333432674408, 0.3333333432674408]

    References:
        Luo, Ren, Peng, Zhang, Li, *Differentiable Learning-to-Normalize via Switchable Normalization*, ICLR 2019.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, True, device, dtype)
        self.mean_weight = nn.Parameter(torch.zeros(3, device=device, dtype=dtype))
        self.var_weight = nn.Parameter(torch.zeros(3, device=device, dtype=dtype))

    def reset_parameters(self) -> None:
        """Weight 1, bias 0, running statistics of a new layer, equal shares."""
        super().reset_parameters()
        if hasattr(self, "var_weight"):  # the base class calls this before they are made
            nn.init.zeros_(self.mean_weight)
            nn.init.zeros_(self.var_weight)

    def forward(self, x: Tensor) -> Tensor:
        """Shape `[N, num_features, ...]`, kept."""
        check_channels(self, x, self.num_features, spatial=1)
        check_several(self, x, x.shape[2:].numel(), "a channel of a sample")
        z = upcast(x)
        mean_in, var_in = moments(z, list(range(2, z.dim())))  # [N, C]
        var_ln, mean_ln = _pooled(var_in, mean_in, 1)
        var_bn, mean_bn = self._batch(var_in, mean_in, count_per_channel(z))
        shares = [weight.to(z.dtype).softmax(0) for weight in (self.mean_weight, self.var_weight)]
        mean = shares[0][0] * mean_in + shares[0][1] * mean_ln + shares[0][2] * mean_bn
        var = shares[1][0] * var_in + shares[1][1] * var_ln + shares[1][2] * var_bn
        ones = [1] * (z.dim() - 2)
        z = (z - mean.view(*mean.shape, *ones)) * (var + self.eps).rsqrt().view(*var.shape, *ones)
        return affine(z, self.weight, self.bias).to(x.dtype)

    def _batch(self, var_in: Tensor, mean_in: Tensor, n: int) -> tuple[Tensor, Tensor]:
        running_mean, running_var = self.running_mean, self.running_var
        assert running_mean is not None
        assert running_var is not None
        if not self.training or not var_in.numel():
            return running_var.to(var_in.dtype), running_mean.to(var_in.dtype)
        var, mean = _pooled(var_in, mean_in, 0)
        with torch.no_grad():
            assert self.momentum is not None
            assert self.num_batches_tracked is not None
            running_mean.lerp_(mean[0].to(running_mean.dtype), self.momentum)
            running_var.lerp_((var[0] * (n / (n - 1))).to(running_var.dtype), self.momentum)
            self.num_batches_tracked.add_(1)
        return var, mean


def _pooled(var: Tensor, mean: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Variance and mean of the union of sets of equal size along `dim`."""
    centre, between = moments(mean, [dim], keepdim=True)
    return var.mean(dim, keepdim=True) + between, centre
