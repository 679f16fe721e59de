"""One more forward pass, plain and unobserved: what the model returns in another mode or for another input."""

from typing import Any

import torch
from torch import Tensor, nn

from gainstage.check.probes._quiet import Quiet
from gainstage.signal._record import _eager
from gainstage.signal._structure import call, tensors_in
from gainstage.signal._undisturbed import undisturbed


def rerun(model: nn.Module, example: Any, *, training: bool, seed: int = 0) -> list[Tensor]:
    """The floating point tensors of the model's output, in training or evaluation mode, without dropout or gradients.

    A third of the cost of a pass forward and backward. Every module is put into the mode, and back afterwards.
    """
    with undisturbed(model, seed=seed), _eager(model), Quiet(), torch.no_grad():
        model.train(training)
        return [y.detach().clone() for y in tensors_in(call(model, example)) if y.is_floating_point()]
