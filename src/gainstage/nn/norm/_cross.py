"""CrossNorm and SelfNorm: exchange the statistics of instances, or recalibrate them."""

import torch
from torch import Tensor, nn

from gainstage.nn._errors import LayerError
from gainstage.nn._leaf import Leaf
from gainstage.nn.norm._axes import check_channels, check_several, moments, upcast
from gainstage.nn.norm._batch import BatchNorm


def instance_statistics(z: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel of each sample, `[N, C, 1, ...]`."""
    mean, var = moments(z, list(range(2, z.dim())), keepdim=True)
    return mean, (var + eps).sqrt()


class CrossNorm(Leaf, nn.Module):
    r"""Exchange of the channel statistics of samples while training: a larger range of styles.

    $$ y_a = \sigma_b \frac{x_a - \mu_a}{\sigma_a} + \mu_b $$

    for a random permutation $a \to b$ of the batch, the paper's 2-instance mode on whole maps. With probability `p` for
    a batch; otherwise, and in evaluation, the input passes as it is. The layer has no parameters.

    Args:
        p: probability of an exchange, 0 to 1.
        eps: added to the variance.

    Raises:
        LayerError: `p` is outside 0 to 1; or the input has no axis after the channels, or a single position.

    Example:
        >>> x = torch.randn(4, 3, 5)
        >>> y = CrossNorm(p=1.0)(x)
        >>> torch.allclose(y.mean(2).sort(0).values, x.mean(2).sort(0).values, atol=1e-5)
        True

    References:
        Tang, Gao, Zhu, Zhang, Li, Metaxas, *CrossNorm and SelfNorm for Generalization under Distribution Shifts*, ICCV
        2021, section 3.1.
    """

    def __init__(self, p: float = 0.5, eps: float = 1e-5) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise LayerError(f"p is {p}, expected a probability from 0 to 1")
        self.p, self.eps = p, eps

    def forward(self, x: Tensor) -> Tensor:
        """Shape `[N, C, ...]` with at least one axis after the channels, kept."""
        if x.dim() < 3:
            raise LayerError(
                f"CrossNorm expected [N, C, L, ...], with positions for its statistics; got {list(x.shape)}"
            )
        check_several(self, x, x.shape[2:].numel(), "a channel of a sample")
        if not self.training or self.p == 0:
            return x
        z = upcast(x)
        mean, std = instance_statistics(z, self.eps)
        other = torch.randperm(x.shape[0], device=x.device)
        y = ((z - mean) / std * std[other] + mean[other]).to(x.dtype)
        return y if self.p == 1 else torch.where(torch.rand((), device=x.device) < self.p, y, x)

    def extra_repr(self) -> str:
        """Arguments as they were given."""
        return f"p={self.p}, eps={self.eps}"


class SelfNorm(Leaf, nn.Module):
    r"""Recalibration of each channel's mean and standard deviation by what they are.

    $$ y = g(\mu, \sigma)\,(x - \mu) + f(\mu, \sigma)\,\mu, \qquad
       f, g = \operatorname{sigmoid}(\operatorname{BatchNorm}(w_1 \mu + w_2 \sigma)) $$

    for each channel of each sample, with two weights for each of $f$ and $g$ and channel. As the gates are normalized
    over the batch, training needs at least 2 samples.

    Args:
        num_features: $C$ of `[N, C, L, ...]`.
        eps: added to the variance.

    Raises:
        LayerError: on calling it with another number of channels, a single position, or while training one sample.

    Example:
        >>> SelfNorm(3)(torch.randn(4, 3, 8, 8)).shape
        torch.Size([4, 3, 8, 8])

    References:
        Tang, Gao, Zhu, Zhang, Li, Metaxas, *CrossNorm and SelfNorm for Generalization under Distribution Shifts*, ICCV
        2021, section 3.2.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.num_features, self.eps = num_features, eps
        self.weight = nn.Parameter(torch.empty(2 * num_features, 2, device=device, dtype=dtype))
        self.gate = BatchNorm(2 * num_features, device=device, dtype=dtype)  # the channels of g, then those of f
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weights uniform within the inverse root of their two inputs, as those of a linear layer."""
        nn.init.uniform_(self.weight, -(0.5**0.5), 0.5**0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Shape `[N, num_features, ...]`, kept."""
        check_channels(self, x, self.num_features, spatial=1)
        check_several(self, x, x.shape[2:].numel(), "a channel of a sample")
        z = upcast(x)
        mean, std = instance_statistics(z, self.eps)
        statistics = torch.stack([mean.flatten(1), std.flatten(1)], -1).repeat(1, 2, 1)  # [N, 2 C, 2]
        mixed = (statistics * self.weight.to(z.dtype)).sum(-1)
        gates = self.gate(mixed.to(self.gate.weight.dtype)).to(z.dtype).sigmoid()
        g, f = gates.view(x.shape[0], 2, self.num_features, *[1] * (x.dim() - 2)).unbind(1)
        y: Tensor = g * (z - mean) + f * mean
        return y.to(x.dtype)

    def extra_repr(self) -> str:
        """Arguments as they were given."""
        return f"{self.num_features}, eps={self.eps}"
