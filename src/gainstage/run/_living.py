"""The optimizers and schedules that there are in this process."""

import gc

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau


def living() -> list[Optimizer]:
    """Every optimizer there is."""
    return [thing for thing in gc.get_objects() if issubclass(type(thing), Optimizer)]


def trains_any(optimizer: Optimizer, among: set[int]) -> bool:
    """Whether it holds one of these parameters."""
    return any(id(p) in among for g in getattr(optimizer, "param_groups", ()) for p in g["params"])


def schedules(optimizer: Optimizer | None) -> tuple[str, ...]:
    kinds = (LRScheduler, ReduceLROnPlateau)
    found = [t for t in gc.get_objects() if issubclass(type(t), kinds) and getattr(t, "optimizer", None) is optimizer]
    return tuple(type(schedule).__name__ for schedule in found)
