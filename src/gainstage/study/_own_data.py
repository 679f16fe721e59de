"""Samples and targets of the user's own, read and looked through."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler, SequentialSampler

from gainstage.run import seeded
from gainstage.study._errors import StudyError

FEWEST = 5  # of a class: three to train on, one for each other part


class Own(NamedTuple):
    """Samples in float64; classes `[n]` in int64 or quantities `[n, k]` in float64; number of classes or 0."""

    x: Tensor
    y: Tensor
    classes: int


def own(data: Any) -> Own:
    """Samples and targets from a pair, a dataset or a loader.

    Raises:
        StudyError: they cannot be used; the message says why and what to write.
    """
    if isinstance(data, Dataset | DataLoader):
        data = _read(data)
    if not isinstance(data, tuple | list) or len(data) != 2:
        came = f"a {type(data).__name__} of {len(data)}" if isinstance(data, tuple | list) else type(data).__name__
        raise StudyError(
            f"data are {came}: expected a name, a pair (x, y), a Dataset, a DataLoader, or Data(name, train, "
            "validation, test, classes) with parts of your own."
        )
    x, y = _tensor(data[0], "x"), _tensor(data[1], "y")
    if x.dim() < 2:
        raise StudyError(f"x has shape {list(x.shape)}: expected [n, features], or more axes. Write x[:, None].")
    if y.dim() == 0 or len(x) != len(y):
        raise StudyError(f"x has {len(x)} samples and y has {len(y) if y.dim() else 'no'}: they must be as many.")
    if x[:1].numel() == 0:
        raise StudyError(f"x has shape {list(x.shape)}: expected at least one sample, and one number in each.")
    for name, values in (("x", x), ("y", y)):
        _check_finite(name, values)
    if y.is_floating_point():
        return Own(x.double(), _quantities(y), 0)
    return Own(x.double(), *_classes(y))


def _tensor(values: Any, name: str) -> Tensor:
    try:
        tensor = values.detach() if isinstance(values, Tensor) else torch.tensor(np.asarray(values))
    except (TypeError, ValueError) as error:
        hint = " Write y = np.unique(y, return_inverse=True)[1]." if name == "y" else ""
        raise StudyError(f"{name} holds no numbers: {str(error).splitlines()[0]}.{hint}") from error
    if tensor.is_complex():
        raise StudyError(f"{name} holds complex numbers: expected real ones. Write torch.view_as_real({name}).")
    return tensor.cpu() if tensor.is_floating_point() else tensor.cpu().long()


def _check_finite(name: str, values: Tensor) -> None:
    wrong = (~values.isfinite()).nonzero()
    if len(wrong):
        what = "1 value that is" if len(wrong) == 1 else f"{len(wrong)} values that are"
        row = int(wrong[0, 0])
        raise StudyError(f"{name} holds {what} not finite, the first in row {row}. Fill in, or leave such rows out.")


def _quantities(y: Tensor) -> Tensor:
    y = y.double()[:, None] if y.dim() == 1 else y.double()
    if y.dim() != 2:
        raise StudyError(f"y has shape {list(y.shape)}: expected [n], or [n, targets].")
    if len(y) < 2 * FEWEST:
        raise StudyError(f"there are {len(y)} samples: expected at least {2 * FEWEST} for three parts.")
    same = (y == y[:1]).all(0).nonzero()
    if len(same):
        raise StudyError(f"target {int(same[0])} of y is {float(y[0, same[0]]):g} everywhere: nothing can be learned.")
    return y


def _classes(y: Tensor) -> tuple[Tensor, int]:
    if y.dim() != 1:
        hint = "y.argmax(1)" if y.dim() == 2 and y.shape[1] > 1 else "y.reshape(-1)"
        raise StudyError(f"y has shape {list(y.shape)}: expected one class a sample, [n]. Write {hint}.")
    y = y.long()
    low, high = int(y.min()), int(y.max())
    found, counts = np.unique(y.numpy(), return_counts=True)
    if low < 0 or len(found) != high + 1:
        gap = int((found != np.arange(len(found))).argmax())
        what = f", and no sample is of class {gap}" if low >= 0 else ""
        raise StudyError(
            f"the classes in y go from {low} to {high}{what}: expected 0 to C-1, each of them used. "
            "Write y = np.unique(y, return_inverse=True)[1]; if y are quantities, write y.float()."
        )
    if high == 0:
        raise StudyError("all samples are of class 0: expected at least two classes.")
    if (few := int(counts.min())) < FEWEST:
        raise StudyError(
            f"class {int(counts.argmin())} has {few} sample{'s' * (few > 1)}: expected at least {FEWEST}, "
            "so that each part has some. Leave the class out; if y are quantities, write y.float()."
        )
    return y, high + 1


def _read(data: "Dataset[Any] | DataLoader[Any]") -> tuple[Tensor, Tensor]:
    """All samples, in the order of the dataset where a loader merely shuffles it; random states stay as they were."""
    loader = _loader(data)
    drawing = {loader.generator, getattr(loader.sampler, "generator", None)} - {None}
    states = [(generator, generator.get_state()) for generator in drawing if generator is not None]
    try:
        with seeded(0):
            pairs = [_pair(batch) for batch in loader]
        x, y = (torch.cat([torch.as_tensor(pair[i]) for pair in pairs]) for i in (0, 1))
    except StudyError:
        raise
    except Exception as error:
        raise StudyError(
            f"the {type(data).__name__} cannot be read into tensors x [n, ...] and y [n]: "
            f"{type(error).__name__}: {error}"
        ) from error
    finally:
        for generator, state in states:
            generator.set_state(state)
    return x, y


def _loader(data: "Dataset[Any] | DataLoader[Any]") -> "DataLoader[Any]":
    if not isinstance(data, DataLoader):
        if not hasattr(data, "__len__") and not isinstance(data, IterableDataset):
            raise StudyError(f"{type(data).__name__} has no length: give it __len__, or make it an IterableDataset.")
        return DataLoader(data, 256)
    whole = isinstance(data.sampler, SequentialSampler) or (
        isinstance(data.sampler, RandomSampler)
        and not data.sampler.replacement
        and data.sampler.num_samples == len(data.sampler.data_source)
    )
    if whole and data.batch_size is not None:
        return DataLoader(data.dataset, data.batch_size, collate_fn=data.collate_fn)
    return data


def _pair(batch: Any) -> tuple[Any, Any]:
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        came = f"{type(batch).__name__} of {len(batch)}" if hasattr(batch, "__len__") else type(batch).__name__
        raise StudyError(f"each item of the dataset is a {came}: expected a pair (x, y).")
    return batch[0], batch[1]
