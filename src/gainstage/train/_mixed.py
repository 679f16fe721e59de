"""The two targets of a mixed batch, and what a loss and an accuracy mean for them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gainstage.train._errors import TrainError
from gainstage.train._mixing import blend


class Mixed(NamedTuple):
    """The targets of a mixed batch: a share `lam` of each sample belongs to `y_a`, the rest to `y_b`.

    Attributes:
        y_a: the targets of the batch as it was.
        y_b: those of the samples that were mixed in.
        lam: the share of `y_a`, float32, one number or `[n]`.
    """

    y_a: Any
    y_b: Any
    lam: Tensor

    def soft(self, num_classes: int | None = None, *, smoothing: float = 0.0) -> Tensor:
        r"""The two targets as one.

        $$ y = \lambda\, y_a + (1 - \lambda)\, y_b $$

        Classes `[n]` become one-hot, with `smoothing` $\epsilon$ as $(1 - \epsilon) \cdot$ one-hot $+ \epsilon / C$;
        indicators of several labels `[n, num_classes]`, probabilities and regression targets are mixed as they are.

        Args:
            num_classes: needed for integer targets.
            smoothing: from 0 to 1, for classes only.

        Returns:
            `[n, num_classes]` for classes, else of the shape of `y_a`; float32 for integers.

        Raises:
            TrainError: the targets are no tensor, `num_classes` is missing or too small, or there is nothing to smooth.

        Example:
            >>> Mixed(torch.tensor([0, 2]), torch.tensor([2, 2]), torch.tensor(0.75)).soft(3)
            tensor([[0.7500, 0.0000, 0.2500],
                    [0.0000, 0.0000, 1.0000]])
        """
        a, b = (_dense(y, num_classes, smoothing) for y in (self.y_a, self.y_b))
        return blend(a, b, self.lam)


def mixed_loss(loss: Callable[[Any, Any], Tensor]) -> Callable[[Any, Mixed], Tensor]:
    r"""A loss for mixed targets: the loss to both, each at its share.

    $$ \ell = \lambda\, \ell(o, y_a) + (1 - \lambda)\, \ell(o, y_b) $$

    For cross-entropy this equals the loss to the soft target. For a squared error it differs from that by a constant:
    the gradients are the same.

    Args:
        loss: of the output and a target. If `lam` differs within the batch, it returns one value for each sample
            (`reduction="none"`), whose mean is taken.

    Returns:
        A function of the output and a `Mixed`, for instance for `fit`.

    Raises:
        TrainError: when called, if `lam` is one for each sample and the loss is not.

    Example:
        >>> loss = mixed_loss(torch.nn.functional.cross_entropy)
        >>> target = Mixed(torch.tensor([0, 1]), torch.tensor([1, 0]), torch.tensor(0.5))
        >>> round(loss(torch.zeros(2, 4), target).item(), 4)  # log 4
        1.3863
    """

    def mixed(output: Any, target: Mixed) -> Tensor:
        y_a, y_b, lam = target
        at_a, at_b = loss(output, y_a), loss(output, y_b)
        if lam.dim() and (at_a.dim() == 0 or at_a.shape[0] != lam.shape[0]):
            raise TrainError(
                f"lam has one value for each of {lam.shape[0]} samples and the loss returned shape "
                f'{tuple(at_a.shape)}. Pass a loss with reduction="none", or mix with per="batch".'
            )
        return blend(at_a, at_b, lam).mean()

    return mixed


def mixed_accuracy(output: Tensor, target: Mixed) -> float:
    r"""The share of the labels that the largest output hits.

    $$ \frac1n \sum_i \lambda_i [\hat y_i = y_{a,i}] + (1 - \lambda_i) [\hat y_i = y_{b,i}] $$

    Args:
        output: scores `[n, classes, ...]`; those that are not finite are wrong.
        target: classes `[n, ...]`, or floating scores of the shape of `output`, whose largest counts.

    Returns:
        A number from 0 to 1; 1 can be reached only where both targets agree or the share is 0 or 1.

    Raises:
        TrainError: there are no samples, or the targets do not fit.

    Example:
        >>> scores = torch.tensor([[2.0, 1.0], [0.0, 1.0]])
        >>> mixed_accuracy(scores, Mixed(torch.tensor([0, 0]), torch.tensor([1, 1]), torch.tensor(0.75)))
        0.5
    """
    guess, finite = output.argmax(1), output.isfinite().all(1)
    hits = []
    for y in target[:2]:
        labels = y.argmax(1) if isinstance(y, Tensor) and y.is_floating_point() and y.dim() == output.dim() else y
        if not isinstance(labels, Tensor) or labels.shape != guess.shape or labels.numel() == 0:
            raise TrainError(
                f"the output has shape {tuple(output.shape)} and the target {_shape(y)}: expected classes "
                f"{tuple(guess.shape)}, at least one, or floating scores like the output."
            )
        hits.append(((labels == guess) & finite).float())
    return blend(hits[0], hits[1], target.lam.to(output.device)).mean().item()


def _dense(y: Any, num_classes: int | None, smoothing: float) -> Tensor:
    if not isinstance(y, Tensor):
        raise TrainError(f"the targets are a {type(y).__name__}: soft targets need a tensor. Use y_a, y_b and lam.")
    classes = not y.is_floating_point() and y.dtype != torch.bool and y.dim() == 1
    if smoothing and not classes:
        raise TrainError(f"smoothing is for classes [n]; the targets are {y.dtype} of shape {tuple(y.shape)}.")
    if not 0 <= smoothing <= 1:
        raise TrainError(f"smoothing is {smoothing}: expected 0 to 1.")
    if y.is_floating_point():
        return y
    if not classes and (y.dtype == torch.bool or (y.dim() == 2 and y.shape[1] == num_classes)):
        return y.float()
    if not classes or num_classes is None:
        raise TrainError(
            f"the targets are {y.dtype} of shape {tuple(y.shape)}. Write soft(num_classes) for classes [n] or "
            "indicators [n, num_classes]; use y_a, y_b and lam for anything else."
        )
    if y.numel() and not 0 <= int(y.min()) <= int(y.max()) < num_classes:
        raise TrainError(f"classes run from {int(y.min())} to {int(y.max())}, and num_classes is {num_classes}.")
    hot: Tensor = torch.nn.functional.one_hot(y.long(), num_classes).float()
    return hot * (1 - smoothing) + smoothing / num_classes


def _shape(y: Any) -> str:
    return f"{tuple(y.shape)}" if isinstance(y, Tensor) else type(y).__name__
