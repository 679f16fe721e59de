"""DropConnect: weights are dropped, and inference averages over what training would have drawn."""

from collections.abc import Callable
from math import pi, sqrt

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.utils.parametrize import is_parametrized

from gainstage.nn._errors import LayerError, LayerTypeError
from gainstage.nn._layout import laid_out_like
from gainstage.nn.drop._mask import Drop, drop, drop_mask, rate

Activation = Callable[[Tensor], Tensor]
_POINTS = tuple(zip(*(part.tolist() for part in np.polynomial.hermite_e.hermegauss(32)), strict=True))


def drop_connect(
    layer: nn.Module, x: Tensor, p: float = 0.5, *, per_sample: bool = True, generator: torch.Generator | None = None
) -> Tensor:
    r"""The output of a linear or convolutional layer with entries of its weight and bias dropped; it always draws.

    $$ z_n = \frac{(M_n \odot W)\, x_n + m_n \odot b}{1 - p}, \qquad M, m \sim \text{Bernoulli}(1 - p) $$

    Args:
        layer: `nn.Linear` or `nn.Conv1d`, `2d`, `3d`, used as it is.
        x: a batch `[n, ...]` of what `layer` takes.
        p: the probability of dropping, 0 to 1.
        per_sample: a mask for each sample, as in the paper; it needs memory for n weights. `False` draws one for all.
        generator: where the random numbers come from, on the device of `x`; torch's own by default.

    Returns:
        What `layer` returns.

    Raises:
        LayerError: `p` is not within 0 to 1, or the layer is of another kind.

    Example:
        >>> drop_connect(nn.Linear(3, 2), torch.ones(5, 3), 0.5).shape
        torch.Size([5, 2])

    References:
        Wan, Zeiler, Zhang, LeCun, Fergus, *Regularization of Neural Networks using DropConnect*, ICML 2013.
    """
    rate(p)
    weights = _weights(layer)
    per_sample = per_sample and x.shape[0] > 0
    lead = (x.shape[0],) if per_sample else ()
    drawn = {
        name: drop(value, drop_mask(value, (*lead, *value.shape), p, generator), p) for name, value in weights.items()
    }
    if not per_sample:
        return _call(layer, drawn, x)
    each = vmap(lambda values, one: _call(layer, dict(zip(weights, values, strict=True)), one))
    return laid_out_like(x, each(list(drawn.values()), x))


def drop_connect_moments(layer: nn.Module, x: Tensor, p: float) -> tuple[Tensor, Tensor]:
    r"""Mean and variance of `drop_connect` over its masks, exact, in two passes.

    $$ \mu = W x + b, \qquad \sigma^2 = \frac{p}{1 - p} \left(W^{\odot 2} x^{\odot 2} + b^{\odot 2}\right) $$

    Args:
        layer: `nn.Linear` or `nn.Conv1d`, `2d`, `3d`.
        x: what `layer` takes.
        p: the probability of dropping, 0 to below 1.

    Returns:
        The mean and the variance, each like the output of `layer`.

    Raises:
        LayerError: `p` is not within 0 to 1, or is 1, where nothing is left to average, or the layer is of another
            kind.

    Example:
        >>> layer = nn.Linear(2, 1, bias=False)
        >>> _ = nn.init.constant_(layer.weight, 2.0)
        >>> mean, variance = drop_connect_moments(layer, torch.ones(1, 2), 0.5)
        >>> mean.item(), variance.item()
        (4.0, 8.0)

    References:
        Wan, Zeiler, Zhang, LeCun, Fergus, *Regularization of Neural Networks using DropConnect*, ICML 2013.
    """
    if rate(p) == 1:
        raise LayerError("p is 1: every weight is dropped, and the scale 1 / (1 - p) has no value. Use a p below 1.")
    squared = {name: value.square() for name, value in _weights(layer).items()}
    return layer(x), _call(layer, squared, x.square()) * (p / (1 - p))


def expected_activation(activation: Activation, mean: Tensor, variance: Tensor) -> Tensor:
    r"""The expectation of an elementwise function of a normal variable, by Gauss-Hermite quadrature of 32 points.

    $$ E[\phi(z)], \quad z \sim N(\mu, \sigma^2) \quad \approx \quad \sum_k w_k\, \phi(\mu + \sigma t_k) $$

    Args:
        activation: elementwise.
        mean: $\mu$, any shape.
        variance: $\sigma^2$, the same shape.

    Returns:
        A tensor like `mean`. Exact for polynomials up to degree 63; for ReLU the error is at most 0.01 sigma.

    Example:
        >>> round(expected_activation(torch.square, torch.tensor(1.0), torch.tensor(4.0)).item(), 4)
        5.0
    """
    std = variance.clamp_min(torch.finfo(variance.dtype).tiny).sqrt()  # a finite gradient where it is 0
    total = torch.zeros_like(mean)
    for node, weight in _POINTS:
        total = total + weight / sqrt(2 * pi) * activation(mean + node * std)
    return total


class DropConnect(Drop):
    r"""A linear or convolutional layer, and the activation after it, with dropped weights.

    Training draws masks: $\phi(z)$ with $z$ from `drop_connect`. Evaluation returns $E[\phi(z)]$ over the masks, $z$
    taken as normal with its exact mean and variance. Without an activation that is the plain layer; for the
    customary approximation $\phi(E[z])$, put the activation behind this module instead.

    Args:
        layer: `nn.Linear` or `nn.Conv1d`, `2d`, `3d`; held as `.layer`.
        p: the probability of dropping a weight, 0 to 1.
        activation: elementwise; applied to the output.
        per_sample: a mask for each sample, as in the paper; it needs memory for n weights. `False` draws one for all.
        generator: where the random numbers come from; torch's own by default.

    Raises:
        LayerError: `p` is not within 0 to 1, or the layer is of another kind.

    Example:
        >>> layer = DropConnect(nn.Linear(8, 4), 0.5, activation=torch.relu)
        >>> layer(torch.ones(2, 8)).shape, layer.eval()(torch.ones(2, 8)).shape
        (torch.Size([2, 4]), torch.Size([2, 4]))

    References:
        Wan, Zeiler, Zhang, LeCun, Fergus, *Regularization of Neural Networks using DropConnect*, ICML 2013. They draw
        normal samples where this takes a quadrature: the same expectation without their noise.
    """

    def __init__(
        self,
        layer: nn.Module,
        p: float = 0.5,
        *,
        activation: Activation | None = None,
        per_sample: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(p, generator=generator)
        _weights(layer)
        self.layer = layer
        self.activation = activation
        self.per_sample = per_sample

    def forward(self, x: Tensor) -> Tensor:
        """The output of the layer: drawn in training, expected in evaluation."""
        p = rate(self.p)
        if self.training and p > 0:
            z = drop_connect(self.layer, x, p, per_sample=self.per_sample, generator=self.generator)
        elif self.activation is not None and 0 < p < 1:
            return expected_activation(self.activation, *drop_connect_moments(self.layer, x, p))
        else:
            z = self.layer(x)
        return z if self.activation is None else self.activation(z)

    def extra_repr(self) -> str:
        """The rate and whose masks."""
        return f"p={self.p:g}, per_sample={self.per_sample}"


def _call(layer: nn.Module, values: dict[str, Tensor], x: Tensor) -> Tensor:
    y: Tensor = functional_call(layer, values, (x,))
    return y


def _weights(layer: nn.Module) -> dict[str, Tensor]:
    """The weight and the bias of a layer that is linear in them."""
    if not isinstance(layer, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)):
        raise LayerTypeError(
            f"DropConnect was given {type(layer).__name__}; expected nn.Linear or nn.Conv1d, nn.Conv2d, nn.Conv3d. "
            "Wrap such a layer inside it, not the block around it."
        )
    if is_parametrized(layer):
        raise LayerError(
            "DropConnect was given a layer whose weight is computed from others. Write "
            'torch.nn.utils.parametrize.remove_parametrizations(layer, "weight") first.'
        )
    return {name: value for name, value in (("weight", layer.weight), ("bias", layer.bias)) if value is not None}
