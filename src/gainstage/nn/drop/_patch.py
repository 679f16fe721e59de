"""Patch dropout: fewer tokens while training."""

import torch
from torch import Tensor

from gainstage.nn._errors import LayerError, LayerInputError
from gainstage.nn.drop._mask import Drop, on_device, rate


def patch_dropout(
    x: Tensor,
    p: float = 0.5,
    num_prefix_tokens: int = 1,
    ordered: bool = False,
    training: bool = True,
    *,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""A random subset of the tokens of each sample, each subset of its size alike; the sequence gets shorter.

    $$ y = [x_1, \dots, x_k,\; x_{i_1}, \dots, x_{i_m}], \qquad m = \max(1, \lfloor (1 - p)\, (L - k) \rfloor) $$

    Nothing is scaled, as attention averages over the tokens that are left; the cost of a block falls with them. Add the
    position embedding before.

    Args:
        x: `[n, tokens, ...]`.
        p: the share of tokens to drop, 0 to below 1.
        num_prefix_tokens: $k$, tokens at the start that always stay: the class token, registers.
        ordered: keep the order of the tokens, which attention does not see.
        training: `False` returns `x`.
        generator: where the random numbers come from, on the device of `x`; torch's own by default.

    Returns:
        `[n, k + m, ...]`.

    Raises:
        LayerError: `p` is not within 0 to below 1, `num_prefix_tokens` is negative, or `x` has no token to choose from.

    Example:
        >>> y = patch_dropout(torch.arange(6.0).view(1, 6, 1), 0.5, generator=torch.Generator().manual_seed(0))
        >>> y.shape, y[0, 0].item()
        (torch.Size([1, 3, 1]), 0.0)

    References:
        Liu, Matsoukas, Strand, Azizpour, Smith, *PatchDropout: Economizing Vision Transformers Using Patch Dropout*,
        WACV 2023.
    """
    _check(p, num_prefix_tokens)
    if x.dim() < 2 or x.shape[1] <= num_prefix_tokens:
        raise LayerInputError(
            f"the input has shape {tuple(x.shape)}; expected [n, tokens, ...] with more than {num_prefix_tokens}."
        )
    if not training or p == 0:
        return x
    on_device(generator, x)
    prefix, rest = x[:, :num_prefix_tokens], x[:, num_prefix_tokens:]
    shape, kept = rest.shape[:2], max(1, int(rest.shape[1] * (1 - p)))
    draws = torch.rand(shape, device=x.device, generator=generator) if generator else torch.rand(shape, device=x.device)
    index = draws.argsort(1)[:, :kept]
    if ordered:
        index = index.sort(1).values
    index = index.view(*index.shape, *[1] * (x.dim() - 2)).expand(-1, -1, *x.shape[2:])
    return torch.cat([prefix, rest.gather(1, index)], 1)


class PatchDropout(Drop):
    r"""Fewer tokens while training; see `patch_dropout`.

    $$ y = [x_1, \dots, x_k,\; x_{i_1}, \dots, x_{i_m}] $$

    Args:
        p: the share of tokens to drop, 0 to below 1.
        num_prefix_tokens: tokens at the start that always stay.
        ordered: keep the order of the tokens.
        generator: where the random numbers come from; torch's own by default.

    Raises:
        LayerError: `p` is not within 0 to below 1, or `num_prefix_tokens` is negative.

    Example:
        >>> layer, x = PatchDropout(0.75), torch.randn(2, 1 + 196, 8)
        >>> layer(x).shape, layer.eval()(x).shape
        (torch.Size([2, 50, 8]), torch.Size([2, 197, 8]))
    """

    def __init__(
        self,
        p: float = 0.5,
        num_prefix_tokens: int = 1,
        ordered: bool = False,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(p, generator=generator)
        _check(p, num_prefix_tokens)
        self.num_prefix_tokens, self.ordered = num_prefix_tokens, ordered

    def forward(self, x: Tensor) -> Tensor:
        """`[n, tokens, ...]`, with fewer tokens in training."""
        how = (self.p, self.num_prefix_tokens, self.ordered, self.training)
        return patch_dropout(x, *how, generator=self.generator)

    def extra_repr(self) -> str:
        """Arguments as they were given."""
        return f"p={self.p:g}, num_prefix_tokens={self.num_prefix_tokens}, ordered={self.ordered}"


def _check(p: float, num_prefix_tokens: int) -> None:
    if rate(p) == 1:
        raise LayerError("p is 1: no token would be left. Use a p below 1.")
    if num_prefix_tokens < 0:
        raise LayerError(f"num_prefix_tokens is {num_prefix_tokens}: expected how many tokens always stay, 0 or more.")
