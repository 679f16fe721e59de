"""Layer normalization whose shift and scale come from a condition: a class, a time step, a text."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gainstage.nn._errors import LayerInputError
from gainstage.nn._leaf import Leaf
from gainstage.nn.norm._axes import check_features


class _Modulation(nn.Linear):
    """A linear layer that starts at 0, also when each module of a model is asked to reset its own parameters."""

    def reset_parameters(self) -> None:
        """Weight and bias 0."""
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)


class _Modulated(Leaf, nn.Module):
    """Layer normalization, and as many vectors of the condition as a subclass asks for, all 0 at the start."""

    vectors: int

    def __init__(
        self,
        num_features: int,
        cond_features: int,
        eps: float = 1e-6,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.num_features, self.cond_features, self.eps = num_features, cond_features, eps
        self.modulation = _Modulation(cond_features, self.vectors * num_features, device=device, dtype=dtype)

    def _modulate(self, x: Tensor, condition: Tensor) -> tuple[Tensor, ...]:
        """The normalized, shifted and scaled input, and what vectors are left."""
        check_features(self, x, self.num_features)
        fits = condition.dim() in (2, x.dim()) and condition.shape[-1:] == (self.cond_features,)
        if not fits or condition.shape[0] not in (1, x.shape[0]):
            raise LayerInputError(
                f"{type(self).__name__} expected a condition [{x.shape[0]}, {self.cond_features}], one for each sample "
                f"of {list(x.shape)}, or one for each token; got {list(condition.shape)}"
            )
        vectors = self.modulation(F.silu(condition))
        if condition.dim() < x.dim():
            vectors = vectors.view(condition.shape[0], *[1] * (x.dim() - 2), vectors.shape[-1])
        shift, scale, *others = vectors.to(x.dtype).chunk(self.vectors, -1)
        y = F.layer_norm(x, (self.num_features,), eps=self.eps)
        return (y * (1 + scale) + shift).to(x.dtype), *others

    def extra_repr(self) -> str:
        """Arguments as they were given."""
        return f"{self.num_features}, {self.cond_features}, eps={self.eps}"


class AdaLN(_Modulated):
    r"""Adaptive layer normalization: shift and scale from a condition.

    $$ y = \operatorname{LN}(x)\,(1 + s(c)) + b(c), \qquad [b, s](c) = W \operatorname{SiLU}(c) + w $$

    At the start $W = w = 0$, so that it is a layer normalization without affine for every condition.

    Args:
        num_features: size of the last axis of `x`.
        cond_features: size of the last axis of the condition.
        eps: added to the variance.

    Raises:
        LayerError: on calling it with sizes that do not fit.

    Example:
        >>> AdaLN(8, 4)(torch.randn(2, 5, 8), torch.randn(2, 4)).shape
        torch.Size([2, 5, 8])

    References:
        Perez et al., *FiLM*, AAAI 2018. Peebles & Xie, *Scalable Diffusion Models with Transformers*, ICCV 2023.
    """

    vectors = 2

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """`x` is `[N, ..., num_features]`; `condition` `[N, cond_features]`, or with all axes of `x`."""
        return self._modulate(x, condition)[0]


class AdaLNZero(_Modulated):
    r"""Adaptive layer normalization with a gate for the residual branch behind it.

    $$ y = \operatorname{LN}(x)\,(1 + s(c)) + b(c), \quad \alpha(c); \qquad
       \text{to be used as } x + \alpha(c)\, f(y) $$

    At the start $[b, s, \alpha] = 0$: every block is the identity, whatever $f$ is.

    Args:
        num_features: size of the last axis of `x`.
        cond_features: size of the last axis of the condition.
        eps: added to the variance.

    Raises:
        LayerError: on calling it with sizes that do not fit.

    Example:
        >>> norm, branch = AdaLNZero(8, 4), nn.Linear(8, 8)
        >>> x = torch.randn(2, 5, 8)
        >>> y, gate = norm(x, torch.randn(2, 4))
        >>> torch.equal(x + gate * branch(y), x)
        True

    References:
        Peebles & Xie, *Scalable Diffusion Models with Transformers*, ICCV 2023, section 3.2.
    """

    vectors = 3

    def forward(self, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """`(y, gate)`; `x` is `[N, ..., num_features]`, `condition` `[N, cond_features]`, or with all axes of `x`."""
        y, gate = self._modulate(x, condition)
        return y, gate
