"""Layers that compute with a weight made from the one that is learned; here, standardized ones."""

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


class Reweighted(Leaf, nn.Module):
    """A convolution or linear layer, transposed ones included, that computes with `self.weight()`.

    The weight that is learned and saved is `self.layer.weight`.
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        if not isinstance(layer, nn.Linear | nn.modules.conv._ConvNd):
            raise LayerTypeError(f"expected nn.Linear, nn.Conv*d or nn.ConvTranspose*d, and got {type(layer).__name__}")
        self.layer: nn.Linear | nn.modules.conv._ConvNd = layer

    def weight(self) -> Tensor:
        """The weight that is used."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """What `layer` takes and gives."""
        output: Tensor = functional_call(self.layer, {"weight": self.weight()}, (x,))
        return output

    def _standardized(self, eps: float) -> Tensor:
        transposed = isinstance(self.layer, _TRANSPOSED)
        groups = self.layer.groups if isinstance(self.layer, _TRANSPOSED) else 1
        return standardize(self.layer.weight, eps, transposed=transposed, groups=groups)

    def _output_axis(self) -> int:
        return 1 if isinstance(self.layer, _TRANSPOSED) else 0


class WeightStandardization(Reweighted):
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
        super().__init__(layer)
        self.eps = eps
        self.weight()

    def weight(self) -> Tensor:
        """The weight that is used."""
        return self._standardized(self.eps)

    def extra_repr(self) -> str:
        """Arguments as they were given."""
        return f"eps={self.eps}"


class ScaledStdConv(Reweighted):
    r"""A convolution or linear layer with a scaled standardized weight: networks without normalization (NF-ResNets).

    $$ \hat W_o = \gamma\, g_o\, \frac{W_o - \mu_o}{\sqrt{f_\text{in}\,(\sigma_o^2 + \epsilon)}} $$

    Unlike `WeightStandardization` it keeps the variance of a white signal, and with the $\gamma$ of the activation in
    front, one over the standard deviation of $\phi(z)$, that of a network: 1.7139 for ReLU.

    Args:
        layer: `nn.Conv*d`, `nn.ConvTranspose*d` without groups, `nn.Linear`.
        gamma: $\gamma$, the gain of the activation.
        eps: added to the variance.

    Raises:
        LayerError: `layer` is another module, or has a single weight for each output.

    Example:
        >>> conv = ScaledStdConv(nn.Conv2d(16, 8, 3, bias=False), gamma=2.0, eps=0.0)
        >>> [round(value, 4) for value in conv.weight().square().sum((1, 2, 3)).tolist()][:3]  # gamma squared
        [4.0, 4.0, 4.0]

    References:
        Brock, De, Smith, *Characterizing Signal Propagation to Close the Performance Gap in Unnormalized ResNets*, ICLR
        2021, section 4.1.
    """

    def __init__(self, layer: nn.Module, gamma: float = 1.0, eps: float = 1e-6) -> None:
        super().__init__(layer)
        if isinstance(layer, _TRANSPOSED) and layer.groups > 1:
            raise LayerError("ScaledStdConv has one gain for each output channel, which a transposed layer with groups "
                             "lays out otherwise: use groups=1, or WeightStandardization.")  # fmt: skip
        self.gamma, self.eps = gamma, eps
        w: Tensor = self.layer.weight
        self.gain = nn.Parameter(w.new_empty(w.shape[self._output_axis()]))
        self.weight()
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Gain 1; the layer resets its own parameters."""
        nn.init.ones_(self.gain)

    def weight(self) -> Tensor:
        """The weight that is used."""
        w: Tensor = self.layer.weight
        axis = self._output_axis()
        scale: Tensor = self.gain * (self.gamma * (w.numel() / w.shape[axis]) ** -0.5)
        shape = [-1 if k == axis else 1 for k in range(w.dim())]
        return self._standardized(self.eps) * scale.view(shape)

    def extra_repr(self) -> str:
        """Arguments as they were given."""
        return f"gamma={self.gamma}, eps={self.eps}"
