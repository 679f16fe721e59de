"""A trial: an arm with a seed. And what became of it."""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from gainstage.study._arm import Arm

ROOMS = ("init", "run", "signal", "theory", "nn", "plan", "train", "transfer", "study/families")
FILES = ("arm", "build", "data", "engine", "init_text", "own_data", "parameterized", "sources", "split", "trial")
LEAVES = ("_columns.py", "_foreign.py", "_memory.py", "_progress.py", "_visible.py")
CODE = (*ROOMS, *LEAVES, *(f"study/_{name}.py" for name in FILES))  # what decides a number


@dataclass(frozen=True)
class Trial:
    """One training run, all that decides its numbers.

    Attributes:
        arm: the configuration; its `lr` is a number.
        seed: of the start, the order of the batches and all masks; arms share seeds.
        steps: number of updates.
        looks: how often the run is looked at: the points of its curve.
        data: the fingerprint of the data, with their split.
        device: where it runs, `"cpu"` or `"cuda"`.
    """

    arm: Arm
    seed: int
    steps: int
    looks: int
    data: str
    device: str = "cpu"

    @property
    def key(self) -> str:
        """A hash of `config`: equal trials have equal keys, on every machine."""
        return hashlib.sha256(self.config.encode()).hexdigest()

    @property
    def config(self) -> str:
        """All of it and the code's version, as JSON."""
        values = {name: getattr(self, name) for name in ("seed", "steps", "looks", "data", "device")}
        return json.dumps(values | {"arm": self.arm.key(), "code": code_version()}, sort_keys=True)


@dataclass(frozen=True)
class Look:
    """One point of a learning curve; scores are accuracies, or R² for a regression, on the validation part.

    Attributes:
        step: number of updates that were made.
        train_loss: mean loss of the steps since the last look.
        loss: on the validation part.
        score: on the validation part.
    """

    step: int
    train_loss: float
    loss: float
    score: float


@dataclass(frozen=True)
class Outcome:
    """What became of a trial.

    Attributes:
        failed: why there is no result, a sentence: it diverged, could not be built, lost its worker; else None.
        curve: the looks, in order of time.
        validation: score on the validation part at the end; that of guessing where it failed.
        test: score on the test part at the end; that of guessing where it failed.
        loss: on the validation part at the end; infinite where it failed.
        seconds: that it took, shared among those that were trained as one.
        engine: how it was trained, `"as one with 39 others"` or `"alone"`.
    """

    failed: str | None
    curve: tuple[Look, ...]
    validation: float
    test: float
    loss: float
    seconds: float
    engine: str

    @property
    def area(self) -> float:
        """Mean of the validation score over the curve: the area under it, between 0 and 1 for an accuracy."""
        return sum(look.score for look in self.curve) / len(self.curve) if self.curve else self.validation

    def to_json(self) -> str:
        """One line of JSON; numbers that are not finite are written as strings."""
        values = asdict(self) | {"curve": [[told(v) for v in asdict(look).values()] for look in self.curve]}
        return json.dumps({name: told(value) for name, value in values.items()}, allow_nan=False)

    @staticmethod
    def from_json(text: str) -> "Outcome":
        """The outcome that `to_json` wrote."""
        values: dict[str, Any] = json.loads(text)
        curve = tuple(Look(int(step), *map(float, rest)) for step, *rest in values.pop("curve"))
        for name in ("validation", "test", "loss", "seconds"):
            values[name] = float(values[name])
        return Outcome(**values, curve=curve)


def told(value: Any) -> Any:
    """A JSON value; a float that is not finite becomes a string."""
    return str(value) if isinstance(value, float) and value - value != 0 else value


@cache
def code_version() -> str:
    """A hash of the source of all that decides a number, and of torch's version."""
    rooms = Path(__file__).parents[1]
    digest = hashlib.sha256(torch.__version__.encode())
    for part in CODE:
        for file in sorted((rooms / part).rglob("*.py")) or [rooms / part]:
            digest.update(file.relative_to(rooms).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()[:16]
