"""Data of one's own from a file: a table, or two arrays."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gainstage._visible import shown, visible
from gainstage.study._errors import StudyError

TARGETS = ("target", "label", "class", "y")  # columns that are taken for the target; without one it is the last


def read(path: Path) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Samples and targets of a `.csv` or a `.npz`.

    Args:
        path: a table with a row a sample, in which every column but the target is a number, with or without a row of
            names; or an archive of NumPy with arrays `x` and `y`.

    Returns:
        Samples `[n, ...]` and targets `[n]`: whole numbers or words are classes, other numbers a regression.

    Raises:
        StudyError: there is no such file, or it is not of that form; the message names the line.
    """
    if not path.is_file():
        raise StudyError(f"there is no file {visible(str(path))}.")
    return _archive(path) if path.suffix == ".npz" else _table(path)


def _archive(path: Path) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return arrays["x"], arrays["y"]
    except (KeyError, ValueError, OSError, EOFError) as error:
        raise StudyError(
            f"{visible(str(path))}: expected an archive with arrays x and y ({shown(str(error))})."
        ) from error


def _table(path: Path) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    name = visible(str(path))
    try:
        rows = [row for row in csv.reader(path.read_text(encoding="utf-8").splitlines()) if row]
    except (csv.Error, UnicodeDecodeError) as error:
        raise StudyError(f"{name} is no table of text: {shown(str(error))}.") from error
    names = [] if not rows or all(_number(cell) is not None for cell in rows[0][:-1]) else rows.pop(0)
    if not rows or len(rows[0]) < 2:
        raise StudyError(f"{name}: expected rows of at least one number and a target.")
    width = len(rows[0])
    at = next((i for i, word in enumerate(names) if word.strip().lower() in TARGETS), width - 1)
    samples, targets = [], []
    for line, row in enumerate(rows, 1 + bool(names)):
        numbers = [_number(cell) for i, cell in enumerate(row) if i != at]
        if len(row) != width or None in numbers:
            wrong = next((cell for i, cell in enumerate(row) if i != at and _number(cell) is None), f"{len(row)} cells")
            raise StudyError(
                f"{name}, line {line}: got {shown(wrong)}, expected {width} cells of numbers and a target."
            )
        samples.append(numbers)
        targets.append(row[at].strip())
    return np.array(samples, dtype=np.float64), _targets(targets)


def _targets(words: list[str]) -> npt.NDArray[Any]:
    numbers = [_number(word) for word in words]
    if None in numbers:
        return np.unique(words, return_inverse=True)[1]
    found = np.array(numbers, dtype=np.float64)
    whole = found.astype(np.int64)
    return np.unique(whole, return_inverse=True)[1] if (found == whole).all() and len(set(whole)) <= 100 else found


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
