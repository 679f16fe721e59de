"""`--loss` and `--classes`: something to train on, where TARGET gives only a model."""

from typing import TYPE_CHECKING, Any

from gainstage.cli._errors import CannotRun

if TYPE_CHECKING:
    from gainstage.run import Subject


def with_objective(subject: "Subject", loss: str | None, classes: int | None, seed: int) -> "Subject":
    """The subject with a loss of `torch.nn.functional` and a target that is drawn for its output.

    Args:
        loss: one of `gainstage.run.LOSSES`; None leaves the subject as it is.
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
    import torch
    from torch import Tensor

    from gainstage.errors import GainstageError
    from gainstage.run import LOSSES, call, loss_of, target_for, undisturbed, valueless

    try:
        function = loss_of(loss)
    except GainstageError as error:
        raise CannotRun(f"--{error}") from None

    with valueless(subject.model), undisturbed(subject.model, subject.example, seed=seed), torch.no_grad():
        output: Any = call(subject.model, subject.example)
    if not isinstance(output, Tensor) or (LOSSES[loss] == "labels" and output.dim() < 2):
        found = f"shape {tuple(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
        raise CannotRun(f"--loss {loss} takes an output of shape (samples, classes, ...), and the model gives {found}.")
    target = target_for(loss, output, torch.Generator().manual_seed(seed), classes)
    return replace(subject, loss=function, target=target if output.is_meta else target.to(output.device))
