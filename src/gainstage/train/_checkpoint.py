"""Checkpoints: everything a run needs to go on, in one file."""

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch

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

    Random states of a process that was not there, or of a device that is not, are left as they are.

    Args:
        path: a file that `save_checkpoint` wrote.
        **objects: by the names that were used there.

    Returns:
        Everything else the file holds: plain data as it was given, states of objects that were not asked for.

    Raises:
        TrainError: the file is missing or not a checkpoint, it lacks a name, or a state does not fit its object; the
            objects are then as they were.
    """
    stored = read(path)
    if set(stored) != {_RANDOM, "objects"}:
        raise TrainError(f"{path} is not a checkpoint of save_checkpoint")
    states = stored["objects"]
    if missing := sorted(set(objects) - set(states)):
        raise TrainError(f"{path} holds no {missing[0]!r}; it holds {', '.join(map(repr, states))}")
    load_states(objects, {name: states[name] for name in objects})
    if rank() < len(stored[_RANDOM]):
        set_random_states(stored[_RANDOM][rank()])
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
        raise TrainError(f"the stored state of {done[-1]!r} does not fit: {error}") from error


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


def set_random_states(states: Mapping[str, Any]) -> None:
    """Put the generators back into the states that `random_states` found."""
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])
    torch.set_rng_state(states["torch"])
    if states["cuda"] and torch.cuda.device_count() == len(states["cuda"]):
        torch.cuda.set_rng_state_all(states["cuda"])
