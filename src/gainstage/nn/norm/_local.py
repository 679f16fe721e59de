"""Layer normalization of a pixel's channels, and local response normalization: channels on the second axis."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gainstage.nn._layout import laid_out_like
from gainstage.nn._leaf import Leaf
from gainstage.nn.norm._axes import check_channels, upcast


class LayerNorm2d(Leaf, nn.LayerNorm):
    r"""Layer normalization over the channels of each position of a map.

    $$ y_{ncp} = \frac{x_{ncp} - \mu_{np}}{\sqrt{\sigma_{np}^2 + \epsilon}}\,\gamma_c + \beta_c $$

    `LayerNorm` of ConvNeXt, for any number of axes after the channels; the memory format is kept.

    Args:
        num_channels: $C$ of `[N, C, ...]`.
        eps: added to the variance.
        affine: learn a weight and a bias for each channel.

    Raises:
        LayerError: on calling it with another number of channels.

    Example:
        >>> LayerNorm2d(2, eps=0.0)(torch.tensor([1.0, 3.0]).view(1, 2, 1, 1)).flatten().tolist()
        [-1.0, 1.0]

    References:
        Ba, Kiros, Hinton, *Layer Normalization*, 2016. Liu et al., *A ConvNet for the 2020s*, CVPR 2022.
    """

    def __init__(
        self,
        num_channels: int,
        eps: float = 1e-6,
        affine: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_channels, eps, affine, device=device, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Shape `[N, num_channels, ...]`, kept."""
        check_channels(self, x, self.normalized_shape[0])
        z = upcast(x).movedim(1, -1)
        weight, bias = (None if p is None else p.to(z.dtype) for p in (self.weight, self.bias))
        y = F.layer_norm(z, self.normalized_shape, weight, bias, self.eps).movedim(-1, 1)
        return laid_out_like(x, y.to(x.dtype))


class LocalResponseNorm(Leaf, nn.LocalResponseNorm):
    r"""Division by the energy of the neighbouring channels at the same position.

    $$ y_c = x_c \Bigl(k + \frac{\alpha}{n} \sum_{|c' - c| \le n/2} x_{c'}^2\Bigr)^{-\beta} $$

    Arguments of `torch.nn.LocalResponseNorm`; the sum is taken in float32 for half precision, and the memory format is
    kept. AlexNet's layer, superseded by batch normalization.

    Args:
        size: $n$, channels in the neighbourhood.
        alpha: $\alpha$.
        beta: $\beta$.
        k: $k$.

    Example:
        >>> LocalResponseNorm(1, alpha=1.0, beta=1.0, k=0.0)(torch.tensor([[[2.0], [4.0]]])).flatten().tolist()
        [0.5, 0.25]

    References:
        Krizhevsky, Sutskever, Hinton, *ImageNet Classification with Deep Convolutional Neural Networks*, NeurIPS 2012,
        section 3.3.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Shape `[N, C, ...]` with at least one axis after the channels, kept."""
        y = F.local_response_norm(upcast(x).contiguous(), self.size, self.alpha, self.beta, self.k)
        return laid_out_like(x, y.to(x.dtype))
