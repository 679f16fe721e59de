"""Locked (variational) dropout: one mask for all time steps of a sequence."""

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from gainstage.nn._errors import LayerInputError
from gainstage.nn.drop._mask import Drop, drop, drop_mask, rate


def locked_dropout(
    x: Tensor,
    p: float = 0.5,
    training: bool = True,
    *,
    batch_first: bool = False,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Drop the same features of a sample at every time step.

    $$ y_{tnf} = \frac{m_{nf}\, x_{tnf}}{1 - p}, \qquad m_{nf} \sim \text{Bernoulli}(1 - p) $$

    Args:
        x: `[time, n, features]`, with `batch_first` `[n, time, features]`, or `[time, features]` without a batch.
        p: the probability of dropping, 0 to 1.
        training: `False` returns `x`.
        batch_first: as in `torch.nn.LSTM`.
        generator: where the random numbers come from, on the device of `x`; torch's own by default.

    Returns:
        A tensor like `x`.

    Raises:
        LayerError: `p` is not within 0 to 1, or `x` has neither 2 nor 3 dimensions.

    Example:
        >>> y = locked_dropout(torch.ones(2, 1, 4), 0.5, generator=torch.Generator().manual_seed(0))
        >>> y.tolist()
        [[[0.0, 2.0, 0.0, 0.0]], [[0.0, 2.0, 0.0, 0.0]]]

    References:
        Gal, Ghahramani, *A Theoretically Grounded Application of Dropout in Recurrent Neural Networks*, NeurIPS 2016.
        Merity, Keskar, Socher, *Regularizing and Optimizing LSTM Language Models*, ICLR 2018.
    """
    rate(p)
    if x.dim() not in (2, 3):
        order = "[n, time, features]" if batch_first else "[time, n, features]"
        raise LayerInputError(f"locked dropout was given shape {tuple(x.shape)}; expected {order} or [time, features].")
    if not training or p == 0:
        return x
    time = 1 if batch_first and x.dim() == 3 else 0
    shape = [1 if dim == time else size for dim, size in enumerate(x.shape)]
    return drop(x, drop_mask(x, shape, p, generator), p)


def _packed(x: PackedSequence, p: float, generator: torch.Generator | None) -> PackedSequence:
    """The same for a packed sequence: the rows of step t are the first `batch_sizes[t]` samples."""
    sample = torch.cat([torch.arange(size) for size in x.batch_sizes.tolist()]).to(x.data.device)
    mask = drop_mask(x.data, (int(x.batch_sizes[0]), *x.data.shape[1:]), p, generator)
    return x._replace(data=drop(x.data, mask[sample], p))


class LockedDropout(Drop):
    r"""Dropout with one mask for all time steps; see `locked_dropout`. Takes packed sequences too.

    $$ y_{tnf} = \frac{m_{nf}\, x_{tnf}}{1 - p}, \qquad m_{nf} \sim \text{Bernoulli}(1 - p) $$

    Args:
        p: the probability of dropping, 0 to 1.
        batch_first: as in `torch.nn.LSTM`: `[n, time, features]` rather than `[time, n, features]`.
        generator: where the random numbers come from; torch's own by default.

    Example:
        >>> y = LockedDropout(0.5, batch_first=True)(torch.ones(8, 20, 4))
        >>> bool((y[:, :1] == y).all())
        True
    """

    def __init__(self, p: float = 0.5, batch_first: bool = False, *, generator: torch.Generator | None = None) -> None:
        super().__init__(p, generator=generator)
        self.batch_first = batch_first

    def forward(self, x: Tensor | PackedSequence) -> Tensor | PackedSequence:
        """`x` with features dropped, in training."""
        if not isinstance(x, PackedSequence):
            return locked_dropout(x, self.p, self.training, batch_first=self.batch_first, generator=self.generator)
        return _packed(x, rate(self.p), self.generator) if self.training and self.p > 0 else x

    def extra_repr(self) -> str:
        """The rate and the layout."""
        return f"p={self.p:g}, batch_first={self.batch_first}"
