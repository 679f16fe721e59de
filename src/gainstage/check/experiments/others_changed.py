"""One forward pass with every second sample exchanged: what does a sample's output owe to the others?"""

from typing import Any

import torch
from torch import Tensor, nn

from gainstage.check.experiments.rerun import rerun
from gainstage.run import map_tensors
from gainstage.signal import sample_axis


def others_changed(model: nn.Module, example: Any, *, batch: int, seed: int = 0) -> list[Tensor]:
    """The outputs in evaluation mode after every second sample was replaced by a copy of the one before.

    Compare rows 0, 2, 4, ...: interleaved, also what runs along the samples in one direction only is seen.

    A third of the cost of a pass forward and backward.
    """
    return rerun(model, exchanged(example, batch), training=False, seed=seed)


def exchanged(example: Any, batch: int) -> Any:
    """The example with a copy of sample 0 in place of sample 1, of 2 in place of 3, and so on."""

    def change(tensor: Tensor) -> Tensor:
        axis = sample_axis(tuple(tensor.shape), batch)
        if axis is None or tensor.shape[axis] != batch:
            return tensor
        return tensor.index_select(axis, torch.arange(batch, device=tensor.device) // 2 * 2)

    return map_tensors(example, change)
