"""How alike the samples of a tensor are, and its positions."""

from torch import Tensor

from gainstage.signal._spread import Spread, uniform


def likeness(indices: Tensor) -> tuple[float, float]:
    """The share of equal indices in neighbouring samples, and at neighbouring positions of one sample.

    Example:
        >>> import torch
        >>> likeness(torch.arange(6).expand(4, 6))
        (1.0, 0.0)
    """
    if indices.dim() < 2:
        return 0.0, 0.0
    samples, positions = indices[1:] == indices[:-1], indices[:, 1:] == indices[:, :-1]
    found = [float(same.float().mean()) if same.numel() else 1.0 for same in (samples, positions)]
    return found[0], found[1]


def spread_of(x: Tensor, unit_axis: int) -> Spread:
    """The moments of a tensor whose first axis are samples and whose other axes, but one, are positions."""
    rows = x.detach().double().movedim(unit_axis, -1) if x.dim() > 1 else x.detach().double().unsqueeze(-1)
    rows = rows.reshape(rows.shape[0], -1, rows.shape[-1])
    square, mean = float(rows.square().mean()), float(rows.mean())

    def pairs(pooled: Tensor, each: float, n: int) -> float:
        """The mean of n entries has the square each / n + (1 - 1 / n) pairs."""
        return (n * float(pooled.square().mean()) - each) / (n - 1) if n > 1 else each

    samples = pairs(rows.mean(0), square, rows.shape[0])
    positions = pairs(rows.mean(1), square, rows.shape[1])
    n, t = rows.shape[:2]
    across = samples
    if n > 1 and t > 1:  # of all pairs of rows, those of other samples and other positions
        total = float(rows.mean((0, 1)).square().mean()) * n * t
        across = (total - square - (n - 1) * samples - (t - 1) * positions) / ((n - 1) * (t - 1))
    return uniform(square, mean, samples, positions, across)
