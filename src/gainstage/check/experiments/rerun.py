"""One more forward pass, plain and unobserved: what the model returns in another mode or for another input."""

from typing import Any

from torch import Tensor, nn

from gainstage.check.experiments._plain import floats, plain
from gainstage.run import call


def rerun(model: nn.Module, example: Any, *, training: bool, seed: int = 0) -> list[Tensor]:
    """The floating point tensors of the model's output, in training or evaluation mode, without dropout or gradients.

    A third of the cost of a pass forward and backward. Every module is put into the mode, and back afterwards.
    """
    with plain(model, seed=seed, training=training):
        return floats(call(model, example))
