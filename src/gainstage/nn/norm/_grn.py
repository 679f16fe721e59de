"""Global response normalization: channels compete by their energy over the map."""

import torch
from torch import Tensor, nn

from gainstage.nn._leaf import Leaf
from gainstage.nn.norm._axes import affine, check_channels, upcast


class GlobalResponseNorm(Leaf, nn.Module):
    r"""Global response normalization (GRN) of ConvNeXt V2.

    $$ y = \gamma\, x\, \frac{G_c}{\frac1C \sum_k G_k + \epsilon} + \beta + x, \qquad G_c = \lVert x_c \rVert_2 $$

    $G_c$ is the norm of a channel of a sample over its positions. At the start $\gamma = \beta = 0$: the identity.

    Args:
        num_features: $C$ of `[N, C, ...]`; for `[N, H, W, C]`, as in ConvNeXt, move the axis: `x.movedim(-1, 1)`.
        eps: added to the mean norm.

    Raises:
        LayerError: on calling it with another number of channels.

    Example:
        >>> x = torch.randn(2, 3, 4, 4)
        >>> torch.equal(GlobalResponseNorm(3)(x), x)
        True

    References:
        Woo et al., *ConvNeXt V2: Co-designing and Scaling ConvNets with Masked Autoencoders*, CVPR 2023, algorithm 1.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-6,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.num_features, self.eps = num_features, eps
        self.weight = nn.Parameter(torch.empty(num_features, device=device, dtype=dtype))
        self.bias = nn.Parameter(torch.empty(num_features, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight and bias 0."""
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Shape `[N, num_features, ...]`, kept."""
        check_channels(self, x, self.num_features)
        z = upcast(x)
        positions = list(range(2, z.dim()))
        norm = torch.linalg.vector_norm(z, dim=positions, keepdim=True) if positions else z.abs()
        share = norm / (norm.mean(1, keepdim=True) + self.eps)
        return (z + affine(z * share, self.weight, self.bias)).to(x.dtype)

    def extra_repr(self) -> str:
        """Arguments as they were given."""
        return f"{self.num_features}, eps={self.eps}"
