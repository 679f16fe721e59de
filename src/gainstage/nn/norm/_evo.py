"""What the EvoNorms share: moments that do not cancel, vectors for each layer, and the state of each series."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from gainstage.nn._leaf import Leaf
from gainstage.nn.norm._axes import check_channels, upcast
from gainstage.nn.norm._group import check_groups


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
    """What all have: weight and bias, and B0 and S0 a slope `v` before them."""

    vectors: ClassVar[tuple[str, ...]] = ("v", "weight", "bias")
    v: nn.Parameter
    weight: nn.Parameter
    bias: nn.Parameter

    def __init__(
        self, num_features: int, eps: float, device: torch.device | str | None, dtype: torch.dtype | None
    ) -> None:
        super().__init__()
        self.num_features, self.eps = num_features, eps
        for name in self.vectors:
            self.register_parameter(name, nn.Parameter(torch.empty(num_features, device=device, dtype=dtype)))

    def reset_parameters(self) -> None:
        """Bias 0, the others 1."""
        for name in self.vectors:
            nn.init.constant_(getattr(self, name), float(name != "bias"))

    def _checked(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        check_channels(self, x, self.num_features, spatial=1)
        z = upcast(x)
        return z, self.v.to(z.dtype), self.weight.to(z.dtype), self.bias.to(z.dtype)


class OfBatch(EvoNorm):
    """Those of series B: the running variance of each channel."""

    running_var: Tensor

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_features, eps, device, dtype)
        self.momentum = momentum
        self.register_buffer("running_var", torch.empty(num_features, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Bias 0, the others and the running variance 1."""
        super().reset_parameters()
        nn.init.ones_(self.running_var)

    @torch.no_grad()
    def _keep(self, var: Tensor, n: int) -> None:
        """Average the variance of a batch, of `n` values a channel, into the running one, which is unbiased."""
        self.running_var.lerp_((var.flatten() * (n / (n - 1))).to(self.running_var.dtype), self.momentum)

    def extra_repr(self) -> str:
        """Arguments as they were given."""
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}"


class OfGroup(EvoNorm):
    """Those of series S: groups of channels."""

    def __init__(
        self,
        num_features: int,
        groups: int = 32,
        eps: float = 1e-5,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_groups(groups, num_features)
        super().__init__(num_features, eps, device, dtype)
        self.groups = groups
        self.reset_parameters()

    def extra_repr(self) -> str:
        """Arguments as they were given."""
        return f"{self.num_features}, groups={self.groups}, eps={self.eps}"
