"""Weight standardization: normalize the weight rather than what comes out."""

import torch
from torch import Tensor, nn
from torch.func import functional_call

from gainstage.nn._errors import LayerError, LayerTypeError
from gainstage.nn._leaf import Leaf
from gainstage.nn.norm._axes import upcast

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def standardize(weight: Tensor, eps: float = 1e-5, *, transposed: bool = False, groups: int = 1) -> Tensor:
    r"""Mean 0 and variance 1 for the weights that enter each output channel.

    $$ \hat W_o = \frac{W_o - \mu_o}{\sqrt{\sigma_o^2 + \epsilon}} $$

    Args:
        weight: `[out, in / groups, ...]`; if `transposed`, `[in, out / groups, ...]`.
        eps: added to the variance.
        transposed: the weight of a transposed convolution.
        groups: of that convolution; only a transposed weight needs them.

    Returns:
        A tensor like `weight`.

    Raises:
        LayerError: an output channel has a single weight, of which nothing would be left.

    Example:
        >>> standardize(torch.tensor([[1.0, 3.0], [10.0, 30.0]]), eps=0.0).tolist()
        [[-1.0, 1.0], [-1.0, 1.0]]

    References:
        Qiao, Wang, Liu, Shen, Yuille, *Micro-Batch Training with Batch-Channel Normalization and Weight
        Standardization*, 2019, section 3.
    """
    w = upcast(weight)
    axes = [1, *range(2, w.dim())]
    if transposed:
        w = w.view(groups, -1, *w.shape[1:])  # [groups, in / groups, out / groups, ...]
        axes = [1, *range(3, w.dim())]
    if torch.Size([w.shape[axis] for axis in axes]).numel() < 2:
        raise LayerError(
            f"a weight {list(weight.shape)} has one number for each output, which standardizes to 0. "
            "Leave this layer as it is."
        )
    var, mean = torch.var_mean(w, dim=axes, correction=0, keepdim=True)
    return ((w - mean) * (var + eps).rsqrt()).view(weight.shape).to(weight.dtype)


class WeightStandardization(Leaf, nn.Module):
    r"""A convolution or linear layer, transposed ones included, that computes with its standardized weight.

    $$ y = \text{layer}(x;\, \hat W, b) $$

    Meant before a GroupNorm: the output's variance is about $f_\text{in}$ times that of the input. The weight that is
    learned and saved is the one before standardization, `layer.weight`.

    Args:
        layer: `nn.Linear`, `nn.Conv*d`, `nn.ConvTranspose*d`.
        eps: added to the variance.

    Raises:
        LayerError: `layer` is another module, or has a single weight for each output.

    Example:
        >>> conv = WeightStandardization(nn.Conv2d(3, 8, 3))
        >>> conv(torch.randn(1, 3, 8, 8) + 5).shape  # the 5 is gone: the weights of an output sum to 0
        torch.Size([1, 8, 6, 6])

    References:
        Qiao, Wang, Liu, Shen, Yuille, *Micro-Batch Training with Batch-Channel Normalization and Weight
        Standardization*, 2019.
    """

    def __init__(self, layer: nn.Module, eps: float = 1e-5) -> None:
        super().__init__()
        if not isinstance(layer, nn.Linear | nn.modules.conv._ConvNd):
            raise LayerTypeError(f"expected nn.Linear, nn.Conv*d or nn.ConvTranspose*d, and got {type(layer).__name__}")
        self.layer, self.eps = layer, eps
        self.weight()

    def weight(self) -> Tensor:
        """The weight that is used."""
        transposed = isinstance(self.layer, _TRANSPOSED)
        groups = self.layer.groups if isinstance(self.layer, _TRANSPOSED) else 1
        return standardize(self.layer.weight, self.eps, transposed=transposed, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        """What `layer` takes and gives."""
        output: Tensor = functional_call(self.layer, {"weight": self.weight()}, (x,))
        return output

    def extra_repr(self) -> str:
        """Arguments as they were given."""
        return f"eps={self.eps}"
