"""Dynamic erf: the squashing function that a search found in the place of a normalization."""

import torch
from torch import Tensor, nn

from gainstage.nn._leaf import Leaf
from gainstage.nn.norm._axes import check_features, upcast


class Derf(Leaf, nn.Module):
    r"""Dynamic erf: no statistics at all.

    $$ y = \gamma \operatorname{erf}(\alpha x + s) + \beta $$

    Args:
        num_features: size of the last axis.
        alpha_init: $\alpha$ at the start, one number for the layer.
        shift_init: $s$ at the start, one number for the layer.

    Raises:
        LayerError: on calling it with another size of the last axis.

    Example:
        >>> Derf(2, alpha_init=1.0)(torch.tensor([[0.0, 100.0]])).tolist()
        [[0.0, 1.0]]

    References:
        Chen, Lu, Zhu, Sun, Liu, *Stronger Normalization-Free Transformers*, 2025.
    """

    def __init__(
        self,
        num_features: int,
        alpha_init: float = 0.5,
        shift_init: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.num_features, self.alpha_init, self.shift_init = num_features, alpha_init, shift_init
        self.alpha = nn.Parameter(torch.empty(1, device=device, dtype=dtype))
        self.shift = nn.Parameter(torch.empty(1, device=device, dtype=dtype))
        self.weight = nn.Parameter(torch.empty(num_features, device=device, dtype=dtype))
        self.bias = nn.Parameter(torch.empty(num_features, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """`alpha_init`, `shift_init`, weight 1, bias 0."""
        nn.init.constant_(self.alpha, self.alpha_init)
        nn.init.constant_(self.shift, self.shift_init)
        nn.init.ones_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Shape `[..., num_features]`, kept."""
        check_features(self, x, self.num_features)
        z = upcast(x)
        y = torch.erf(self.alpha.to(z.dtype) * z + self.shift.to(z.dtype))
        return torch.addcmul(self.bias.to(z.dtype), y, self.weight.to(z.dtype)).to(x.dtype)

    def extra_repr(self) -> str:
        """Arguments as they were given."""
        return f"{self.num_features}, alpha_init={self.alpha_init}, shift_init={self.shift_init}"
