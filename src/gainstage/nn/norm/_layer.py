"""Normalization over the features of a token: LayerNorm as torch has it, without affine, and AdaNorm."""

import torch
from torch import Tensor, nn
from torch.nn import LayerNorm as LayerNorm
from torch.nn import functional as F

from gainstage.nn._leaf import Leaf
from gainstage.nn.norm._axes import check_features

Sizes = int | list[int] | torch.Size


class LayerNormSimple(Leaf, LayerNorm):
    r"""Layer normalization without weight and bias.

    $$ y = \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} $$

    Xu et al. found the weight and bias of LayerNorm to overfit on most of their tasks; this leaves them out.

    Args:
        normalized_shape: the last axes, or the size of the last one.
        eps: added to the variance.

    Example:
        >>> LayerNormSimple(2, eps=0.0)(torch.tensor([[1.0, 3.0]]))
        tensor([[-1.,  1.]])

    References:
        Xu, Sun, Zhang, Zhao, Lin, *Understanding and Improving Layer Normalization*, NeurIPS 2019, section 3.
    """

    def __init__(self, normalized_shape: Sizes, eps: float = 1e-5) -> None:
        super().__init__(normalized_shape, eps, elementwise_affine=False)


class AdaNorm(Leaf, nn.Module):
    r"""Layer normalization whose scale depends on its own output, and takes no gradient.

    $$ y = \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}}, \qquad z = \operatorname{stop}[C (1 - k y)]\, y $$

    `stop` passes its value and no gradient, as in the paper: with $k < 1 / \max y$ the scale stays positive.

    Args:
        num_features: size of the last axis.
        k: how strongly large values are scaled down; 1/10 in the paper.
        scale: $C$; the paper uses 0.3 to 2, by task.
        eps: added to the variance.

    Raises:
        LayerError: on calling it with another size of the last axis.

    Example:
        >>> AdaNorm(2, eps=0.0)(torch.tensor([[1.0, 3.0]]))
        tensor([[-1.1000,  0.9000]])

    References:
        Xu, Sun, Zhang, Zhao, Lin, *Understanding and Improving Layer Normalization*, NeurIPS 2019, section 4.
    """

    def __init__(self, num_features: int, k: float = 0.1, scale: float = 1.0, eps: float = 1e-5) -> None:
        super().__init__()
        self.num_features, self.k, self.scale, self.eps = num_features, k, scale, eps

    def forward(self, x: Tensor) -> Tensor:
        """Shape `[..., num_features]`, kept."""
        check_features(self, x, self.num_features)
        y = F.layer_norm(x, (self.num_features,), eps=self.eps)
        return y * (self.scale * (1 - self.k * y.detach()))

    def extra_repr(self) -> str:
        """Arguments as they were given."""
        return f"{self.num_features}, k={self.k}, scale={self.scale}, eps={self.eps}"
