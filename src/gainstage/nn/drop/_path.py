"""DropPath: whole residual branches."""

from typing import Literal, get_args

import torch
from torch import Tensor

from gainstage.nn._errors import LayerError, LayerInputError
from gainstage.nn.drop._mask import Drop, drop, drop_mask, rate

Mode = Literal["row", "batch"]


def drop_path(
    x: Tensor,
    p: float,
    mode: Mode = "row",
    training: bool = True,
    *,
    scale_by_keep: bool = True,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Set the branch `x` to 0 with probability `p`, for each sample or for the whole batch; scale it otherwise.

    $$ y_n = \frac{m_n x_n}{1 - p}, \qquad m_n \sim \text{Bernoulli}(1 - p) $$

    Also called stochastic depth. Use it before the addition: `x + drop_path(branch(x), p)`.

    Args:
        x: `[n, ...]`.
        p: the probability of dropping, 0 to 1. 1 gives zeros.
        mode: `"row"` draws for each sample, `"batch"` once for all.
        training: `False` returns `x`.
        scale_by_keep: `False` leaves what is kept as it is: the expectation is then (1 - p) x.
        generator: where the random numbers come from, on the device of `x`; torch's own by default.

    Returns:
        A tensor like `x`.

    Raises:
        LayerError: `p` is not within 0 to 1, `mode` is another word, or `x` has no dimension.

    Example:
        >>> drop_path(torch.ones(4, 2), 0.5, generator=torch.Generator().manual_seed(0))
        tensor([[0., 0.],
                [2., 2.],
                [0., 0.],
                [0., 0.]])

    References:
        Huang, Sun, Liu, Sedra, Weinberger, *Deep Networks with Stochastic Depth*, ECCV 2016.
    """
    rate(p)
    _known(mode)
    if x.dim() == 0:
        raise LayerInputError("drop_path was given a tensor without dimensions; expected [n, ...].")
    if not training or p == 0:
        return x
    first = x.shape[0] if mode == "row" else 1
    return drop(x, drop_mask(x, (first, *[1] * (x.dim() - 1)), p, generator), p, scaled=scale_by_keep)


def _known(mode: str) -> None:
    if mode not in get_args(Mode):
        raise LayerError(f"mode is {mode!r}; expected 'row' (each sample on its own) or 'batch' (all or none).")


class DropPath(Drop):
    r"""Drop a residual branch; see `drop_path`.

    $$ y_n = \frac{m_n x_n}{1 - p}, \qquad m_n \sim \text{Bernoulli}(1 - p) $$

    Args:
        p: the probability of dropping, 0 to 1. `depth_rates` gives one for each block of a network.
        mode: `"row"` draws for each sample, `"batch"` once for all.
        scale_by_keep: `False` leaves what is kept as it is, as in timm.
        generator: where the random numbers come from; torch's own by default.

    Example:
        >>> branch = torch.nn.Sequential(torch.nn.Linear(4, 4), DropPath(0.1))
        >>> x = torch.ones(8, 4)
        >>> (x + branch(x)).shape
        torch.Size([8, 4])
    """

    def __init__(
        self, p: float, mode: Mode = "row", scale_by_keep: bool = True, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__(p, generator=generator)
        _known(mode)
        self.mode: Mode = mode
        self.scale_by_keep = scale_by_keep

    def forward(self, x: Tensor) -> Tensor:
        """`x` or zeros, in training."""
        keep, generator = self.scale_by_keep, self.generator
        return drop_path(x, self.p, self.mode, self.training, scale_by_keep=keep, generator=generator)

    def extra_repr(self) -> str:
        """The rate and the mode."""
        return f"p={self.p:g}, mode={self.mode!r}" + ", scale_by_keep=False" * (not self.scale_by_keep)
