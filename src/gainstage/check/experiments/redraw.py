"""Other draws from the same law: the entries of every weight in another order, with other signs."""

from typing import Any

import torch
from torch import Tensor, nn

from gainstage.check.experiments._plain import floats, plain
from gainstage.run import call, sharded_like, whole
from gainstage.signal import measure


def redraw(model: nn.Module, example: Any, *, batch: int, draws: int, seed: int) -> list[float]:
    """For every draw, the variance between samples over the mean square of the output, the largest of its tensors.

    Entries that are independent with one law may be put in any order, and where the law is symmetric around 0 be given
    any sign: each is a start that is as likely as the one at hand, whatever the law is. One forward pass a draw;
    parameters come back bit for bit.
    """
    found = []
    with plain(model, seed=seed):
        parameters = [p for p in model.parameters() if p.numel() > 1 and not p.is_complex()]
        symmetric = [
            bool(p.mean().abs() <= 3 * p.std() / p.numel() ** 0.5) for p in (whole(p).float() for p in parameters)
        ]
        for number in range(draws):
            generator = torch.Generator().manual_seed(seed + number)
            for parameter, flips in zip(parameters, symmetric, strict=True):
                order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
                entries = whole(parameter).flatten()[order]
                if flips:
                    entries *= torch.randint(0, 2, entries.shape, generator=generator).to(entries) * 2 - 1
                parameter.copy_(sharded_like(entries.reshape(parameter.shape), parameter))
            torch.manual_seed(seed)
            found.append(_spread(floats(call(model, example)), batch))
    return found


def _is_symmetric(entries: Tensor) -> bool:
    """Whether entries may be drawn from a law around 0."""
    return bool(entries.mean().abs() <= 3 * entries.std() / entries.numel() ** 0.5)


def _spread(outputs: list[Tensor], batch: int) -> float:
    rows = [measure(y, batch=batch).tolist() for y in outputs if y.numel()]
    return max((row[3] / row[2] for row in rows if row[3] == row[3] and row[2] > 0), default=0.0)


def independent(weights: list[Tensor]) -> bool:
    """Whether weights look like independent entries: not orthogonal, mirrored, sparse in blocks or repeated.

    The overlap of a matrix's rows, over that of its entries in another order, is 1 for independent entries, 0 for
    orthogonal rows, and far above 1 for mirrored or repeated ones.
    """
    generator = torch.Generator().manual_seed(0)
    own = shuffled = 0.0
    for weight in weights:
        rows = weight.detach().flatten(1).double().cpu()
        rows = rows if rows.shape[0] <= rows.shape[1] else rows.T
        mixed = rows.flatten()[torch.randperm(rows.numel(), generator=generator)].reshape(rows.shape)
        own, shuffled = own + _overlap(rows), shuffled + _overlap(mixed)
    return 0.6 < own / shuffled < 1.6 if shuffled else False


def _overlap(rows: Tensor) -> float:
    """Mean of the squared cosines between different rows, times their length: about 1 for independent entries."""
    rows = torch.nn.functional.normalize(rows, dim=1)
    few = rows[:64]
    cosines = (few @ few.T).square()
    return float(cosines.sum() - cosines.diagonal().sum()) / max(len(few) * (len(few) - 1), 1) * rows.shape[1]
