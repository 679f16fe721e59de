"""Files that appear whole or not at all."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from gainstage.cli._errors import CannotRun, explain

if TYPE_CHECKING:
    from torch import nn


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file beside `path`, then put it in place in one step.

    Raises:
        CannotRun: the directory is not there or cannot be written to; an older file at `path` stays as it was.
    """
    if path.is_dir() or not path.parent.is_dir():
        raise CannotRun(f"cannot write {path}: expected a file name in a directory that exists.")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise CannotRun(f"cannot write {path}: {explain(error)}") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""

    def write(temporary: Path) -> None:
        temporary.write_text(text, encoding="utf-8", newline="\n")

    write_whole(path, write)


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        CannotRun: it is not there, or not text in UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CannotRun(f"cannot read {path}: {explain(error)}") from error


def write_weights(path: Path, model: "nn.Module") -> None:
    """Write parameters and buffers as safetensors; tied tensors are written once and tied again by `load_model`.

    Raises:
        CannotRun: the file cannot be written, or the format cannot carry this model's tensors.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_model

    def write(temporary: Path) -> None:
        try:
            save_model(model, str(temporary))
        except (RuntimeError, ValueError, SafetensorError) as error:
            raise CannotRun(f"safetensors cannot carry this model: {explain(error)}") from error

    write_whole(path, write)
