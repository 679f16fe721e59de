"""States as one safetensors file, written so that a kill at any moment leaves the old file or the new one, and read
only where it is as it was written."""

import json
import math
import os
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from gainstage._visible import said
from gainstage.train._errors import TrainError

_KEY, _DIGEST, _FORMAT = "gainstage", "digest", {"format": "2"}
_PLAIN = (Tensor, nn.Parameter)


def write(path: str | Path, state: Mapping[str, Any]) -> None:
    """Write `state` to `path`: a file beside it, flushed to the disk and renamed over it, and the rename flushed.

    Tensors are stored as such, under names like `model/0.weight`; everything around them as JSON in the header. A
    tensor that occurs twice is stored once. A digest of all of it, some 1 GB a second, tells a damaged file from a
    whole one. One process writes to a path at a time.

    Raises:
        TrainError: the state holds something that is no data, or the disk refuses; the old file is as it was.
    """
    path = Path(path)
    tensors: dict[str, Tensor] = {}
    text = json.dumps(_Encoder(tensors).encode(dict(state), ()))
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, temporary, metadata={_KEY: text, _DIGEST: _digest(text, tensors), **_FORMAT})
        _flush(temporary)
        os.replace(temporary, path)
        _flush(path.parent)
    except (OSError, SafetensorError) as error:
        with suppress(OSError):
            temporary.unlink()
        raise TrainError(f"could not write {path}: {error}. What was there before is as it was") from error


def read(path: str | Path) -> dict[str, Any]:
    """What `write` wrote, on the CPU. Nothing in the file is executed.

    Raises:
        TrainError: there is no such file, it is of another format or damaged, or something else wrote it.
    """
    path = Path(path)
    if not path.is_file():
        raise TrainError(f"there is no file {path}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if _KEY not in metadata:
                raise TrainError(f"{path} holds tensors, but was not written by gainstage.train.save_checkpoint")
            if not metadata.items() >= _FORMAT.items():
                raise TrainError(f"{path} is not of format {_FORMAT['format']}, which this version of gainstage reads")
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        if metadata.get(_DIGEST) != _digest(metadata[_KEY], tensors):
            raise TrainError(f"{path} is damaged: it is not as it was written. Go on from an older checkpoint")
        return dict(_decode(json.loads(metadata[_KEY]), tensors))
    except TrainError:
        raise
    except Exception as error:  # whatever a foreign file makes fail on the way
        why = f"{type(error).__name__}: {said(error)}"
        raise TrainError(f"{path} is not a file that gainstage.train.save_checkpoint wrote ({why})") from error


def snapshot(state: Any) -> Any:
    """A copy of `state` whose tensors share no memory with it: on the CPU, and sharing with each other as before."""
    return _copied(state, {})


def _copied(value: Any, memo: dict[tuple[Any, ...], Tensor]) -> Any:
    if isinstance(value, Tensor):
        key = _identity(value)
        if key not in memo:
            plain = type(value) in _PLAIN
            memo[key] = value.detach().to("cpu", copy=True) if plain else value.detach().clone()
        return memo[key]
    if isinstance(value, Mapping):
        return _with_metadata({k: _copied(v, memo) for k, v in value.items()}, getattr(value, "_metadata", None))
    if type(value) in (list, tuple):
        return type(value)(_copied(item, memo) for item in value)
    return value


def _with_metadata(items: dict[Any, Any], metadata: Any) -> dict[Any, Any]:
    """`items`, with the versions of the modules that `Module.state_dict` attaches to its result."""
    if metadata is None:
        return items
    ordered = OrderedDict(items)
    ordered._metadata = metadata  # type: ignore[attr-defined]
    return ordered


def _identity(tensor: Tensor) -> tuple[Any, ...]:
    if type(tensor) not in _PLAIN or not tensor.numel() or tensor.layout != torch.strided or tensor.is_meta:
        return (id(tensor),)
    return tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride()


class _Encoder:
    """JSON for everything but tensors, which are collected under their names."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self._tensors = tensors
        self._names: dict[tuple[Any, ...], str] = {}
        self._storages: set[int] = set()
        self._alive: list[Tensor] = []  # identities are addresses: these must not be used twice

    def encode(self, value: Any, place: tuple[str, ...]) -> Any:
        if value is None or isinstance(value, bool | str):
            return value
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, int):
            return int(value)
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else {"float": str(float(value))}
        if isinstance(value, Tensor):
            return {"tensor": self._tensor(value, place)}
        if isinstance(value, Mapping):
            pairs = [[self.encode(k, place), self.encode(v, (*place, str(k)))] for k, v in value.items()]
            metadata = getattr(value, "_metadata", None)
            return {"dict": pairs} if metadata is None else {"dict": pairs, "metadata": self.encode(metadata, place)}
        if isinstance(value, list):
            return [self.encode(item, (*place, str(i))) for i, item in enumerate(value)]
        if isinstance(value, tuple):
            return {"tuple": [self.encode(item, (*place, str(i))) for i, item in enumerate(value)]}
        raise TrainError(
            f"{'/'.join(place)} is a {type(value).__name__}, which is no data. A checkpoint holds numbers, text, "
            "tensors, and lists, tuples and dictionaries of these"
        )

    def _tensor(self, tensor: Tensor, place: tuple[str, ...]) -> str:
        where = "/".join(place)
        if type(tensor) not in _PLAIN:
            raise TrainError(
                f"{where} is a {type(tensor).__name__}. A checkpoint holds whole plain tensors; sharded ones are "
                "written by torch.distributed.checkpoint"
            )
        if tensor.layout != torch.strided or tensor.is_meta or tensor.is_quantized:
            kind = "has no data" if tensor.is_meta else f"is {tensor.layout}, {tensor.dtype}"
            raise TrainError(f"{where} {kind}: a checkpoint holds dense tensors")
        key = _identity(tensor)
        if key not in self._names:
            while where in self._tensors:
                where += "'"
            self._alive.append(tensor)
            self._names[key] = where
            self._tensors[where] = self._own(tensor.detach().cpu().contiguous())
        return self._names[key]

    def _own(self, tensor: Tensor) -> Tensor:
        """`tensor` in memory of its own: safetensors stores no two tensors out of one piece."""
        storage = tensor.untyped_storage()
        if storage.nbytes() != tensor.nbytes or storage.data_ptr() in self._storages:
            return tensor.clone()
        self._storages.add(storage.data_ptr())
        return tensor


def _digest(text: str, tensors: Mapping[str, Tensor]) -> str:
    """Of the text, and of each tensor's name, kind and bytes."""
    digest = blake2b(text.encode(), digest_size=16)
    for name, tensor in sorted(tensors.items()):
        digest.update(json.dumps([name, str(tensor.dtype), *tensor.shape]).encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _decode(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_decode(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        return tensors[value["tensor"]]
    if "tuple" in value:
        return tuple(_decode(item, tensors) for item in value["tuple"])
    if "float" in value:
        return float(value["float"])
    items = {_decode(k, tensors): _decode(v, tensors) for k, v in value["dict"]}
    return _with_metadata(items, _decode(value.get("metadata"), tensors))


def _flush(path: Path) -> None:
    """Wait until the disk has what was written to a file, or to a directory."""
    if path.is_dir() and os.name == "nt":  # Windows flushes a rename by itself and opens no directory
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
