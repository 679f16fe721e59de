"""`--loss` and `--classes`: something to train on, where TARGET gives only a model."""

from typing import TYPE_CHECKING, Any

from gainstage._visible import shown
from gainstage.cli._errors import CannotRun, did_you_mean

if TYPE_CHECKING:
    from torch import Tensor

    from gainstage.run import Subject

_CLASSES = ("cross_entropy", "nll_loss", "multi_margin_loss")  # labels are whole numbers, one axis fewer
_TWO = ("binary_cross_entropy", "binary_cross_entropy_with_logits", "soft_margin_loss", "multilabel_soft_margin_loss")
_NUMBERS = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "poisson_nll_loss")
LOSSES = (*_CLASSES, *_TWO, *_NUMBERS)


def with_objective(subject: "Subject", loss: str | None, classes: int | None, seed: int) -> "Subject":
    """The subject with a loss of `torch.nn.functional` and a target that is drawn for its output.

    Args:
        loss: one of `LOSSES`; None leaves the subject as it is.
        classes: labels are drawn below it; as many as the model has outputs by default.
        seed: of a generator of its own.

    Raises:
        CannotRun: the loss is unknown, or the model's output is no tensor that it could take.
    """
    from dataclasses import replace

    if loss is None:
        if classes is not None:
            raise CannotRun("--classes says how many labels there are: add --loss cross_entropy.")
        return subject
    if loss not in LOSSES:
        raise CannotRun(f"--loss {shown(loss)} is not known.{did_you_mean(loss, LOSSES)} Known: {', '.join(LOSSES)}.")
    import torch
    from torch import Tensor

    from gainstage.run import call, undisturbed, valueless

    with valueless(subject.model), undisturbed(subject.model, subject.example, seed=seed), torch.no_grad():
        output: Any = call(subject.model, subject.example)
    if not isinstance(output, Tensor) or (loss in _CLASSES and output.dim() < 2):
        found = f"shape {tuple(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
        raise CannotRun(f"--loss {loss} takes an output of shape (samples, classes, ...), and the model gives {found}.")
    target = _target(loss, classes, output, torch.Generator().manual_seed(seed))
    return replace(
        subject, loss=getattr(torch.nn.functional, loss), target=target if output.is_meta else target.to(output.device)
    )


def _target(loss: str, classes: int | None, output: "Tensor", generator: Any) -> "Tensor":
    import torch

    if loss in _CLASSES:
        shape = (output.shape[0], *output.shape[2:])
        return torch.randint(classes or output.shape[1], shape, generator=generator)
    if loss in _TWO:
        low = -1 if loss == "soft_margin_loss" else 0
        return torch.randint(2, output.shape, generator=generator).to(output.dtype) * (1 - low) + low
    numbers = torch.randn(output.shape, generator=generator).to(output.dtype)
    return numbers.abs().round() if loss == "poisson_nll_loss" else numbers
