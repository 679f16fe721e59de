"""Batches in an order that depends on a seed and on nothing else."""

from collections.abc import Iterator

import torch
from torch import Tensor

from gainstage.train._errors import TrainError


def minibatches(x: Tensor, y: Tensor, *, batch_size: int, steps: int, seed: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
    """`steps` batches of `batch_size` samples, drawn without replacement until every sample was seen, then again.

    Every batch has the full size: where an epoch ends inside a batch, the next one begins in it. The order is drawn
    from a generator of its own on the CPU, so it is the same whatever else draws numbers and wherever `x` lies.

    Args:
        x: samples, `[n, ...]`.
        y: targets, `[n, ...]`.
        batch_size: samples a batch, from 1 to `n`.
        steps: number of batches.
        seed: of the order.

    Returns:
        An iterator over `(x[i], y[i])`.

    Raises:
        TrainError: `x` and `y` differ in length, or `batch_size` is not within 1 to `n`.

    Example:
        >>> x = torch.arange(4)
        >>> seen = torch.cat([batch for batch, _ in minibatches(x, x, batch_size=3, steps=4, seed=1)])
        >>> seen.bincount().tolist()
        [3, 3, 3, 3]
    """
    n = len(x)
    if len(y) != n:
        raise TrainError(f"x has {n} samples and y has {len(y)}: they must be as many")
    if not 1 <= batch_size <= n:
        raise TrainError(f"batch_size is {batch_size}, expected 1 to {n}, the number of samples")
    return _drawn(x, y, batch_size, steps, seed)


def _drawn(x: Tensor, y: Tensor, batch_size: int, steps: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    queue = torch.empty(0, dtype=torch.long)
    for _ in range(steps):
        if len(queue) < batch_size:  # at most one epoch is missing, as batch_size <= n
            queue = torch.cat([queue, torch.randperm(len(x), generator=generator)])
        index, queue = queue[:batch_size], queue[batch_size:]
        yield x[index.to(x.device)], y[index.to(y.device)]
