"""What EvoNorm-B0 and -S0 share: moments that do not cancel, and three vectors for each layer."""

import torch
from torch import Tensor, nn

from gainstage.nn._leaf import Leaf
from gainstage.nn.norm._axes import check_channels, upcast


def instance_moments(x: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and mean squared distance from it, `[N, C, 1, ...]`, in two passes; `memory` is like `x` and overwritten."""
    positions = list(range(2, x.dim()))
    mean = x.mean(positions, keepdim=True)
    return mean, torch.sub(x, mean, out=memory).square_().mean(positions, keepdim=True)


def pooled_moments(mean: Tensor, var: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Mean and variance of the union of sets of equal size along `dim`: the sum of two squares."""
    centre = mean.mean(dim, keepdim=True)
    return centre, var.mean(dim, keepdim=True) + (mean - centre).square().mean(dim, keepdim=True)


class EvoNorm(Leaf, nn.Module):
    """What both have: `v`, `weight` and `bias`."""

    v: nn.Parameter
    weight: nn.Parameter
    bias: nn.Parameter

    def __init__(
        self, num_features: int, eps: float, device: torch.device | str | None, dtype: torch.dtype | None
    ) -> None:
        super().__init__()
        self.num_features, self.eps = num_features, eps
        for name in ("v", "weight", "bias"):
            self.register_parameter(name, nn.Parameter(torch.empty(num_features, device=device, dtype=dtype)))

    def reset_parameters(self) -> None:
        """`v` and weight 1, bias 0."""
        nn.init.ones_(self.v)
        nn.init.ones_(self.weight)
        nn.init.zeros_(self.bias)

    def _checked(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        check_channels(self, x, self.num_features, spatial=1)
        z = upcast(x)
        return z, self.v.to(z.dtype), self.weight.to(z.dtype), self.bias.to(z.dtype)
