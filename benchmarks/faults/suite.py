"""Finds the programs: every file of `programs/` (a fault and its repair) and of `healthy/`."""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

import torch

from kit import Program

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Case:
    """One program that a tool may be asked about; a healthy one has no cause."""

    name: str
    build: Callable[[], Program]
    cause: str | None = None

    def fresh(self, seed: int = 0) -> Program:
        torch.manual_seed(seed)
        return self.build()


@cache
def module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"fault_{path.parent.name}_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def files(folder: str) -> dict[str, ModuleType]:
    return {f"{p.parent.name}/{p.stem}": module(p) for p in sorted((HERE / folder).rglob("*.py"))}


def faulty() -> list[Case]:
    return [Case(name, each.build, each.CAUSE) for name, each in files("programs").items()]


def repaired() -> list[Case]:
    return [Case(name, each.repaired) for name, each in files("programs").items()]


def suspicious() -> list[Case]:
    """Programs that look wrong and are not."""
    return [Case(name, each.build) for name, each in files("healthy").items()]
