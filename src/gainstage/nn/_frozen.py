"""Batch normalization that is a constant: what a pretrained layer computes in evaluation."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gainstage.nn._leaf import Leaf
from gainstage.nn.norm._axes import check_channels


class FrozenBatchNorm(Leaf, nn.Module):
    r"""Batch normalization by given statistics, in training as in evaluation.

    $$ y = \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}}\,\gamma + \beta $$

    $\mu, \sigma^2, \gamma, \beta$ are buffers: nothing is learned and nothing is counted. The state of a `BatchNorm`
    loads, and gives its output in evaluation.

    Args:
        num_features: $C$ of `[N, C, ...]`.
        eps: added to the variance.

    Raises:
        LayerError: on calling it with another number of channels.

    Example:
        >>> layer, trained = FrozenBatchNorm(3), nn.BatchNorm1d(3)
        >>> _ = trained(torch.randn(8, 3) + 5), layer.load_state_dict(trained.state_dict())
        >>> x = torch.randn(4, 3)
        >>> torch.equal(layer.train()(x), trained.eval()(x))
        True

    References:
        He et al., *Deep Residual Learning for Image Recognition*, CVPR 2016: statistics fixed in fine-tuning.
    """

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.num_features, self.eps = num_features, eps
        for name in ("weight", "bias", "running_mean", "running_var"):
            self.register_buffer(name, torch.empty(num_features, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Mean 0, variance 1, weight 1, bias 0: the identity, but for `eps`."""
        for tensor, value in ((self.weight, 1), (self.bias, 0), (self.running_mean, 0), (self.running_var, 1)):
            nn.init.constant_(tensor, value)

    def forward(self, x: Tensor) -> Tensor:
        """Shape `[N, num_features, ...]`, kept."""
        check_channels(self, x, self.num_features)
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any) -> None:
        state_dict.pop(f"{prefix}num_batches_tracked", None)  # a BatchNorm counts; here nothing moves
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def extra_repr(self) -> str:
        """Arguments as they were given."""
        return f"{self.num_features}, eps={self.eps}"
