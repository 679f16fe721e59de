"""Checkpoints: everything a run needs to go on, in one file."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch

from gainstage._visible import said
from gainstage.train._errors import TrainError
from gainstage.train._processes import gathered, rank, together
from gainstage.train._storage import read, snapshot, write

_RANDOM = "random states"


@runtime_checkable
class Stateful(Protocol):
    """A model, an optimizer, a schedule, an averaged model, an `EarlyStopping`: what gives and takes a state."""

    def state_dict(self) -> Any:
        """The state, as data."""

    def load_state_dict(self, state_dict: Any) -> Any:
        """Take the state over."""


def save_checkpoint(path: str | Path, **objects: Any) -> None:
    """Write the states of `objects`, and the random states, to one safetensors file.

    The file is written beside `path`, flushed to the disk and renamed over it, so that a kill at any moment leaves the
    old file or the new one, whole. A shared (tied) tensor is stored once. Where several processes run, all of them call
    this; the first one writes its objects, and the random states of all.

    Args:
        path: where to; directories are made.
        **objects: anything with `state_dict` and `load_state_dict`, or plain data: numbers, text, tensors, lists,
            tuples, dictionaries.

    Raises:
        TrainError: a state holds something that is no data, or the disk refuses; the old file is as it was.

    Example:
        >>> import tempfile
        >>> model = torch.nn.Linear(2, 1)
        >>> adam = torch.optim.Adam(model.parameters())
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "run.safetensors"
        ...     save_checkpoint(path, model=model, optimizer=adam, epoch=7)
        ...     load_checkpoint(path, model=model, optimizer=adam)
        {'epoch': 7}
    """
    everyone = gathered(random_states())
    state = {name: value.state_dict() if isinstance(value, Stateful) else value for name, value in objects.items()}
    with together():
        if rank() == 0:
            write(path, {_RANDOM: everyone, "objects": state})


def load_checkpoint(path: str | Path, **objects: Stateful) -> dict[str, Any]:
    """Put `objects` and the random states back as `save_checkpoint` found them.

    Random states of a process that was not there, or of a device that is not, are left as they are. All of the file is
    checked before anything is put back.

    Args:
        path: a file that `save_checkpoint` wrote.
        **objects: by the names that were used there.

    Returns:
        Everything else the file holds: plain data as it was given, states of objects that were not asked for.

    Raises:
        TrainError: the file is missing, damaged or not a checkpoint, it lacks a name, or a state does not fit its
            object; objects and random states are then as they were.
    """
    stored = read(path)
    everyone, states = stored.get(_RANDOM), stored.get("objects")
    if not isinstance(everyone, list) or not isinstance(states, dict) or len(stored) != 2:
        raise TrainError(f"{path} is not a checkpoint of save_checkpoint")
    own = everyone[rank()] if rank() < len(everyone) else None
    if own is not None:
        check_random_states(own, str(path))
    if missing := sorted(set(objects) - set(states)):
        raise TrainError(f"{path} holds no {missing[0]!r}; it holds {', '.join(map(repr, states))}")
    load_states(objects, {name: states[name] for name in objects})
    if own is not None:
        set_random_states(own)
    return {name: value for name, value in states.items() if name not in objects}


def load_states(objects: Mapping[str, Stateful], states: Mapping[str, Any]) -> None:
    """Load each state into its object, all or none."""
    before = {name: snapshot(thing.state_dict()) for name, thing in objects.items()}
    done: list[str] = []
    try:
        for name, thing in objects.items():
            done.append(name)
            thing.load_state_dict(states[name])
    except BaseException as error:
        for name in done:
            objects[name].load_state_dict(before[name])
        if not isinstance(error, Exception):
            raise
        raise TrainError(f"the stored state of {done[-1]!r} does not fit: {said(error, 2000)}") from error


def random_states() -> dict[str, Any]:
    """The states of Python's, NumPy's and torch's global generators, as data."""
    name, keys, *rest = np.random.get_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    return {
        "python": random.getstate(),
        "numpy": (name, np.asarray(keys).tolist(), *rest),
        "torch": torch.get_rng_state(),
        "cuda": cuda,
    }


def check_random_states(states: Any, where: str) -> None:
    """Put the states into generators that nobody uses: what they take, the global ones will take.

    Raises:
        TrainError: one does not.
    """
    try:
        random.Random().setstate(states["python"])
        np.random.RandomState().set_state(states["numpy"])
        torch.Generator().set_state(states["torch"])
        for state in states["cuda"] if _fits_cuda(states["cuda"]) else ():
            torch.Generator("cuda").set_state(state)
    except Exception as error:
        raise TrainError(f"{where} holds random states that no generator takes: {said(error)}") from error


def set_random_states(states: Mapping[str, Any]) -> None:
    """Put the generators back into the states that `random_states` found."""
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])
    torch.set_rng_state(states["torch"])
    if _fits_cuda(states["cuda"]):
        torch.cuda.set_rng_state_all(states["cuda"])


def _fits_cuda(states: Sequence[Any]) -> bool:
    return len(states) > 0 and torch.cuda.device_count() == len(states)
