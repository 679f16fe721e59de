"""Filter response normalization with a thresholded linear unit: no batch, no mean."""

from typing import Any

import torch
from torch import Tensor, nn

from gainstage.nn._leaf import Leaf
from gainstage.nn.norm._axes import along_channels, check_channels, upcast
from gainstage.nn.norm._fused import blocks, by_hand, pulled_back, workspace


def filter_response_norm(
    x: Tensor, weight: Tensor, bias: Tensor, eps: Tensor, threshold: Tensor | None = None
) -> Tensor:
    r"""The formula of `FilterResponseNorm`, in plain operations.

    Args:
        x: `[N, C, ...]`.
        weight: $\gamma$, `[C]`.
        bias: $\beta$, `[C]`.
        eps: $\epsilon > 0$, `[C]`.
        threshold: $\tau$, `[C]`; None leaves the thresholded linear unit out.

    Returns:
        A tensor like `x`.

    Example:
        >>> one = torch.ones(1)
        >>> filter_response_norm(torch.tensor([[[2.0, -2.0]]]), one, 0 * one, 0 * one, threshold=0 * one).tolist()
        [[[1.0, 0.0]]]
    """
    positions = list(range(2, x.dim()))
    square = x.square().mean(positions, keepdim=True) if positions else x.square()
    scale = (square + along_channels(eps, x)).rsqrt() * along_channels(weight, x)
    y = torch.addcmul(along_channels(bias, x), x, scale)
    if threshold is None:
        return y
    tau = along_channels(threshold, x)
    return torch.where(y <= tau, tau, y)  # passes NaN on


class _FilterResponseNorm(torch.autograd.Function):
    """Keeps the input and the output, and one number for each channel of a sample."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: Tensor, *threshold: Tensor) -> Tensor:
        positions = list(range(2, x.dim()))
        y, inverse = torch.empty_like(x), []
        for z, out in blocks(x, y):
            square = torch.mul(z, z, out=out)
            square = square.mean(positions, keepdim=True) if positions else square
            r = (square + along_channels(eps, z)).rsqrt_()
            torch.mul(z, r * along_channels(weight, z), out=out).add_(along_channels(bias, z))
            for tau in threshold:
                torch.maximum(out, along_channels(tau, z), out=out)
            inverse.append(r)
        ctx.save_for_backward(x, weight, bias, eps, *threshold, y, torch.cat(inverse))
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        *inputs, y, inverse = ctx.saved_tensors
        if torch.is_grad_enabled() or not by_hand(gradient):
            return pulled_back(filter_response_norm, gradient, inputs)
        x, weight, _, _, *threshold = inputs
        grad_x, memory = torch.empty_like(x), workspace(x, 2)
        sums = torch.zeros(3 + len(threshold), len(weight), dtype=x.dtype, device=x.device)
        for block in blocks(x, gradient, y, inverse, grad_x):
            sums += _backward(*block, *(part[: len(block[0])] for part in memory), weight, *threshold)
        return grad_x, *sums.unbind()


def _backward(
    x: Tensor,
    gradient: Tensor,
    y: Tensor,
    inverse: Tensor,
    grad_x: Tensor,
    passed: Tensor,
    product: Tensor,
    weight: Tensor,
    *threshold: Tensor,
) -> Tensor:
    """Writes the gradient for `x`; returns those for weight, bias, eps and threshold, `[3 or 4, C]`."""
    others, positions, count = [0, *range(2, x.dim())], list(range(2, x.dim())), x.shape[2:].numel()
    grad_bias = gradient.sum(others)
    grad_threshold = []
    for tau in threshold:
        gradient = torch.sub(y, along_channels(tau, x), out=passed).sign_().mul_(gradient)  # y is at least tau
        grad_threshold = [grad_bias - (grad_bias := gradient.sum(others))]
    dot = torch.mul(gradient, x, out=product)
    dot = dot.sum(positions, keepdim=True) if positions else dot.clone()
    scale = inverse * along_channels(weight, x)
    along = dot * scale * inverse * inverse  # the gradient for the mean square is minus half of it
    torch.mul(gradient, scale, out=grad_x).add_(torch.mul(x, along / -count, out=product))
    return torch.stack([(dot * inverse).sum(others), grad_bias, along.sum(others) * -0.5, *grad_threshold])


class FilterResponseNorm(Leaf, nn.Module):
    r"""Filter response normalization (FRN), and the thresholded linear unit (TLU) that belongs to it.

    $$ y = \max\Bigl(\frac{x}{\sqrt{\nu^2 + \epsilon_c}}\,\gamma + \beta,\; \tau\Bigr), \qquad
       \nu^2 = \tfrac1P \sum_p x_p^2, \quad \epsilon_c = \epsilon + |\epsilon_l| $$

    $\nu^2$ is the mean square of a channel of a sample over its positions. The TLU takes the place of a ReLU, as the
    mean is not removed. With a single position $x / \sqrt{x^2 + \epsilon}$ is nearly a sign: there the paper learns
    $\epsilon$.

    Args:
        num_features: $C$ of `[N, C, ...]`.
        eps: the least $\epsilon$.
        learnable_eps: learn $\epsilon_l$ for each channel, from 1e-4 on.
        tlu: take the maximum with a learned $\tau$, 0 at the start.

    Raises:
        LayerError: on calling it with another number of channels.

    Example:
        >>> FilterResponseNorm(1, eps=0.0)(torch.tensor([[[2.0, -2.0]]])).round(decimals=4).tolist()
        [[[1.0, 0.0]]]

    References:
        Singh & Krishnan, *Filter Response Normalization Layer: Eliminating Batch Dependence in the Training of Deep
        Neural Networks*, CVPR 2020.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-6,
        learnable_eps: bool = False,
        tlu: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.num_features, self.eps = num_features, eps

        def vector(present: bool) -> nn.Parameter | None:
            return nn.Parameter(torch.empty(num_features, device=device, dtype=dtype)) if present else None

        self.weight, self.bias = vector(True), vector(True)
        self.learned_eps, self.threshold = vector(learnable_eps), vector(tlu)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight 1, bias and threshold 0, learned eps 1e-4."""
        for parameter, value in ((self.weight, 1), (self.bias, 0), (self.learned_eps, 1e-4), (self.threshold, 0)):
            if parameter is not None:
                nn.init.constant_(parameter, value)

    def forward(self, x: Tensor) -> Tensor:
        """Shape `[N, num_features, ...]`, kept."""
        check_channels(self, x, self.num_features)
        z = upcast(x)
        eps = z.new_full((self.num_features,), self.eps)
        if self.learned_eps is not None:
            eps = eps + self.learned_eps.to(z.dtype).abs()
        inputs = [p.to(z.dtype) for p in (self.weight, self.bias, eps, self.threshold) if p is not None]
        compute = _FilterResponseNorm.apply if by_hand(x) else filter_response_norm
        return compute(z, *inputs).to(x.dtype)

    def extra_repr(self) -> str:
        """Arguments as they were given."""
        return (
            f"{self.num_features}, eps={self.eps}, learnable_eps={self.learned_eps is not None}, "
            f"tlu={self.threshold is not None}"
        )


class TLU(Leaf, nn.Module):
    r"""Thresholded linear unit, $y = \max(x, \tau)$ with a learned $\tau$ for each channel, 0 at the start.

    Args:
        num_features: $C$ of `[N, C, ...]`.

    Raises:
        LayerError: on calling it with another number of channels.

    Example:
        >>> TLU(1)(torch.tensor([[-2.0], [3.0]])).tolist()
        [[0.0], [3.0]]

    References:
        Singh & Krishnan, *Filter Response Normalization Layer*, CVPR 2020, section 3.2.
    """

    def __init__(
        self, num_features: int, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> None:
        super().__init__()
        self.num_features = num_features
        self.threshold = nn.Parameter(torch.empty(num_features, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Threshold 0: a ReLU."""
        nn.init.zeros_(self.threshold)

    def forward(self, x: Tensor) -> Tensor:
        """Shape `[N, num_features, ...]`, kept."""
        check_channels(self, x, self.num_features)
        return torch.maximum(x, along_channels(self.threshold, x))

    def extra_repr(self) -> str:
        """Arguments as they were given."""
        return f"{self.num_features}"
