"""Inputs of blocks until the way back, in memory or on disk; there a killed run finds what it had finished."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gainstage.errors import GainstageError


class Kept:
    """Inputs of blocks until they are run again.

    Args:
        directory: files go here, and those of an earlier run with the same `identity` are used; None keeps inputs in
            memory and nothing else.
        dtype: that inputs are kept in, for instance bfloat16; None keeps them as they are.
        identity: says which run this is.

    Raises:
        GainstageError: the directory holds another run, or something that is no run.
    """

    def __init__(self, directory: Path | None, dtype: torch.dtype | None, identity: str) -> None:
        self._directory, self._dtype = directory, dtype
        self._held: dict[int, list[tuple[Tensor, int]]] = {}
        if directory is None:
            return
        directory.mkdir(parents=True, exist_ok=True)
        mark = directory / "run.txt"
        if mark.exists() and mark.read_text() != identity:
            raise GainstageError(
                f"{directory} holds a run of another model, plan, seed or example; write directory=... with an empty "
                "one, or remove it"
            )
        if not mark.exists():
            if any(directory.iterdir()):
                raise GainstageError(f"{directory} holds other files; write directory=... with an empty one")
            _write(mark, lambda path: path.write_text(identity))

    def put(self, index: int, inputs: Sequence[Tensor]) -> None:
        """Keep the inputs of one call."""
        kept = [t.detach() if self._dtype is None else t.detach().to(self._dtype) for t in inputs]
        if self._directory is None:
            self._held[index] = [(t, t._version) for t in kept]
        else:
            self.save(index, "inputs", {"inputs": kept})

    def take(self, index: int, dtypes: Sequence[torch.dtype], path: str) -> list[Tensor]:
        """The inputs of one call, which nobody needs after this.

        Raises:
            GainstageError: they were written to in the meantime.
        """
        if self._directory is not None:
            kept = (self.load(index, "inputs") or {})["inputs"]
        else:
            held = self._held.pop(index)
            if any(t._version != version for t, version in held):
                raise GainstageError(
                    f"{path!r} (or what reads the same tensor) writes to its input, which its second run needs; "
                    "make the operation not in-place"
                )
            kept = [t for t, _ in held]
        return [t.to(dtype) for t, dtype in zip(kept, dtypes, strict=True)]

    def save(self, index: int, what: str, data: dict[str, Any]) -> None:
        """Write what one call found; a file is there whole or not at all."""
        if self._directory is not None:
            _write(self._path(index, what), lambda path: torch.save(data, path))

    def load(self, index: int, what: str) -> dict[str, Any] | None:
        """What an earlier run had found; None where it had not come so far."""
        if self._directory is None or not self._path(index, what).exists():
            return None
        try:
            data: dict[str, Any] = torch.load(self._path(index, what), weights_only=True)
            return data
        except Exception as error:
            raise GainstageError(
                f"{self._path(index, what)} is no file of this run ({type(error).__name__}); remove it"
            ) from error

    def _path(self, index: int, what: str) -> Path:
        assert self._directory is not None
        return self._directory / f"{index:05d}.{what}.pt"


def _write(path: Path, write: Any) -> None:
    temporary = path.with_suffix(f".{os.getpid()}")
    write(temporary)
    os.replace(temporary, path)
