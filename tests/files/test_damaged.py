"""Files of every kind that this library reads, damaged: each is read as it was, or refused in one clear message.

`pytest` tries some of each kind; `python tests/files/test_damaged.py 11500` tries many and counts.
"""

import json
import random
import signal
import sqlite3
import struct
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import gainstage as gs

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))  # for the command line
from damage import BINARY, OTHERS, TEXT, Damage, another_tree, flipped, inserted

from gainstage.check import RULES, Baseline, Finding, Fix, Report
from gainstage.check.config import find
from gainstage.cli._files import read_text
from gainstage.cli._inputs import parse
from gainstage.errors import GainstageError
from gainstage.study import Arm, Look, Outcome, Store, Trial
from gainstage.study._toml import study_of
from gainstage.train import load_checkpoint, save_checkpoint
from gainstage.train._storage import read

EACH, PATIENCE = 60, 5.0  # damaged files of a kind, and seconds for each


class Wrong(AssertionError):
    """It was read, and is not what was written, or something was changed although it was refused."""


class Endless(BaseException):
    """It took too long; no `except Exception` holds it up."""


@dataclass(frozen=True)
class Kind:
    """A kind of file: a good one, how it goes bad, and how it is read and compared with what was written."""

    name: str
    make: Callable[[], bytes]
    use: Callable[[Path], None]
    ways: tuple[Damage, ...] = TEXT

    @cached_property
    def content(self) -> bytes:
        return self.make()


# --- a plan -------------------------------------------------------------------------------------------------------


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.lstm = nn.Embedding(11, 4), nn.LSTM(4, 4, batch_first=True)
        self.body = nn.Sequential(*[m for _ in range(4) for m in (nn.Linear(4, 4), nn.ReLU())])
        self.head = nn.Linear(4, 11)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(self.lstm(self.embed(ids))[0]))


def plan_file() -> bytes:
    return gs.plan(Net(), torch.randint(0, 11, (4, 5))).to_json().encode()


def use_plan(path: Path) -> None:
    plan = gs.Plan.from_json(read_text(path))
    if gs.Plan.from_json(plan.to_json()) != plan:
        raise Wrong("what was read is written as something else")
    if not all(line.isprintable() for line in plan.table().split("\n")):
        raise Wrong("the table of a plan sends control characters")
    compile(plan.to_python(), "plan.py", "exec")
    plan.apply(Net())


# --- a baseline, settings, a study, the shape of an input ---------------------------------------------------------


def baseline_file() -> bytes:
    found = [Finding(code, "n", "warning", f"a.{i}.weight", "1", "2", "m", Fix("f")) for i, code in enumerate(RULES)][
        :6
    ]
    return Baseline.of(Report("Net", 1, 1, tuple(found), (), ())).to_json().encode()


def use_baseline(path: Path) -> None:
    baseline = Baseline.from_json(read_text(path))
    if Baseline.from_json(baseline.to_json()) != baseline:
        raise Wrong("what was read is written as something else")
    baseline.knows([Finding("INI101", "n", "note", "a", "1", "2", "m", Fix("f"))])


SETTINGS = b"""[project]
name = "net"
version = "1.0"

[tool.ruff]
line-length = 120

[tool.gainstage]
select = ["INI", "FWD"]
ignore = ["INI103"]

[tool.gainstage.per-module-ignores]
"decoder.*.norm" = ["NRM"]
head = ["OUT", "FWD201"]

[tool.gainstage.severity]
OUT501 = "error"
INI = "off"
"""


def use_settings(path: Path) -> None:
    file = path.with_name("pyproject.toml")
    path.rename(file)
    config = find(file.parent)
    config.over(select=["INI"]).severity_of("INI101")
    config.adjusted([Finding("INI101", "n", "note", "decoder.3.norm", "1", "2", "m", Fix("f"))])


STUDY = b"""data = "wine"
seeds = 3
steps = 40
looks = 5
tuning_seeds = 1
split_seed = 0
margin = 0.02
rates = [1e-3, 1e-2]
device = "cpu"

[grid]
init = ["he_normal", "normal(std=0.01)", "none"]
depth = [4, 20]
width = [16, 32]
activation = "relu"
residual = true
weight_decay = 0.0

[[arms]]
name = "mine"
lr = 0.01
clip = 1.0
batch_size = 32

[[arms]]
norm = "none"
optimizer = "sgd"
options = {}
"""


def use_study(path: Path) -> None:
    study = study_of(read_text(path), file="study.toml")
    if len(study.arms) * len(study.seed_list) > 1_000_000:
        raise Wrong("a study without end")
    for arm in study.arms:
        json.dumps(arm.key(), allow_nan=False)


def use_input(path: Path) -> None:
    sizes = parse(read_text(path)).sizes
    if np.prod(sizes, dtype=float) > 1e10:
        raise Wrong("an input without end")


# --- a store ------------------------------------------------------------------------------------------------------


def _trials() -> dict[str, tuple[Trial, Outcome]]:
    draw = random.Random(0)
    made = {}
    for seed in range(10):
        curve = tuple(Look(step, draw.random(), draw.random(), draw.random()) for step in range(8))
        trial = Trial(Arm(lr=0.1), seed, 300, 8, "c0ffee")
        made[trial.key] = trial, Outcome(None, curve, draw.random(), draw.random(), draw.random(), 1.5, "alone")
    return made


TRIALS = _trials()


def store_file() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.sqlite"
        with Store(path) as store:
            store.keep(TRIALS.values())
        return path.read_bytes()


def use_store(path: Path) -> None:
    before = path.read_bytes()
    try:
        with Store(path) as store:
            known = store.known(TRIALS)
            rows = list(store.rows())
            for key, outcome in known.items():
                if outcome != TRIALS[key][1]:
                    raise Wrong("another outcome than was kept")
            for row in rows:
                trial, outcome = TRIALS.get(str(row["key"]), (None, None))
                if outcome is None or (row["test"], row["seed"]) != (outcome.test, trial.seed):
                    raise Wrong("another row than was kept")
            store.keep(TRIALS.values())
            if store.known(TRIALS) != {key: outcome for key, (_, outcome) in TRIALS.items()}:
                raise Wrong("a damaged trial is not replaced by what was computed anew")
    except GainstageError:
        if path.read_bytes() != before and not path.with_name(path.name + "-wal").exists():
            raise Wrong("a file that was refused is not as it was") from None
        raise


def another_cell(draw: random.Random, content: bytes) -> bytes:
    """Something else in a row, written by SQLite itself."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.sqlite"
        path.write_bytes(content)
        db = sqlite3.connect(path)
        column = draw.choice(("key", "config", "outcome", "created"))
        row = draw.randrange(1, 11)
        old = db.execute(f"SELECT {column} FROM trials WHERE rowid = ?", (row,)).fetchone()[0].encode()
        damaged = draw.choice((flipped, another_tree))(draw, old)
        new = draw.choice((damaged.decode("utf-8", "replace"), damaged, 3, 1.5, "", "{}", "[" * 100_000))
        db.execute(f"UPDATE trials SET {column} = ? WHERE rowid = ?", (new, row))
        db.commit()
        db.close()
        return path.read_bytes()


# --- a checkpoint, and weights of another program -----------------------------------------------------------------


def _run() -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.randn(8, 4)).sum().backward()
    optimizer.step()
    return model, optimizer


def _all_of(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[Any]:
    state = optimizer.state_dict()["state"]
    tensors = [*model.state_dict().values(), *(v for each in state.values() for v in each.values())]
    return [
        random.getstate(),
        torch.get_rng_state().tolist(),
        str(np.random.get_state()),
        *(t.tolist() for t in tensors),
    ]


def checkpoint_file() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        model, optimizer = _run()
        save_checkpoint(Path(folder) / "x", model=model, optimizer=optimizer, epoch=7)
        return (Path(folder) / "x").read_bytes()


def use_checkpoint(path: Path) -> None:
    model, optimizer = _run()
    wanted = _all_of(model, optimizer)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    before = _all_of(model, optimizer)
    try:
        rest = load_checkpoint(path, model=model, optimizer=optimizer)
    except GainstageError:
        if _all_of(model, optimizer) != before:
            raise Wrong("a checkpoint that was refused has changed something") from None
        raise
    if rest != {"epoch": 7} or _all_of(model, optimizer)[3:] != wanted[3:]:
        raise Wrong("other numbers than were stored")


def another_header(draw: random.Random, content: bytes) -> bytes:
    """The header of a safetensors file, still JSON and of the right length, with something else in it."""
    (size,) = struct.unpack("<Q", content[:8])
    header, data = json.loads(content[8 : 8 + size]), content[8 + size :]
    if draw.random() < 0.5 and "gainstage" in header.get("__metadata__", {}):
        told = another_tree(draw, header["__metadata__"]["gainstage"].encode())
        header["__metadata__"]["gainstage"] = told.decode("utf-8", "replace")
        text = json.dumps(header).encode()
    else:
        text = another_tree(draw, json.dumps(header).encode())
    return struct.pack("<Q", len(text)) + text + data


def weights_file() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        save_file({"w": torch.ones(3, 2), "b": torch.zeros(2)}, Path(folder) / "w", metadata={"format": "pt"})
        return (Path(folder) / "w").read_bytes()


def use_weights(path: Path) -> None:
    read(path)
    raise Wrong("weights of another program were taken for a checkpoint")


KINDS = {
    kind.name: kind
    for kind in (
        Kind("plan", plan_file, use_plan),
        Kind("baseline", baseline_file, use_baseline),
        Kind("settings", lambda: SETTINGS, use_settings),
        Kind("study", lambda: STUDY, use_study),
        Kind("input", lambda: b"name=ids:8x128:50257", use_input),
        Kind("store", store_file, use_store, (*BINARY, another_cell, another_cell)),
        Kind("checkpoint", checkpoint_file, use_checkpoint, (*BINARY, another_header, another_header)),
        Kind("weights", weights_file, use_weights, (*BINARY, another_header)),
    )
}


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raise `Endless` where the block takes longer; only the clock is read where there is no alarm."""

    def ring(*_: object) -> None:
        raise Endless(f"took more than {seconds:g} s")

    began = time.monotonic()
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, ring)
        signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0)
    if time.monotonic() - began > seconds:
        raise Endless(f"took more than {seconds:g} s")


def verdict(kind: Kind, content: bytes) -> str:
    """`read`, `refused`, or what went wrong with a file of this kind and content."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "file"
        path.write_bytes(content)
        try:
            with within(PATIENCE):
                kind.use(path)
        except GainstageError as error:
            if len(said := str(error)) > 2000 or not said.replace("\n", "").isprintable():
                return f"an error that is no message: {said[:100]!r}"
            return "refused"
        except (Exception, Endless) as error:
            return f"{type(error).__name__}: {str(error)[:100]}"
        return "read"


def damaged(kind: Kind, number: int) -> bytes:
    draw = random.Random(f"{kind.name} {number}")
    content = draw.choice(kind.ways)(draw, kind.content)
    return draw.choice((flipped, inserted))(draw, content) if content and draw.random() < 0.2 else content


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_damaged_file_is_read_as_it_was_or_refused(kind: Kind) -> None:
    whole = "refused" if kind.name == "weights" else "read"
    assert verdict(kind, kind.content) == whole
    assert verdict(kind, b"") == "refused" or kind.name in ("settings", "store")
    for number in range(EACH):
        said = verdict(kind, damaged(kind, number))
        assert said in ("read", "refused"), f"{kind.name} {number}: {said}"


@pytest.mark.parametrize("other", OTHERS, ids=range(len(OTHERS)))
def test_every_key_of_settings_and_of_a_study_takes_its_own_kind_only(other: str) -> None:
    """`[tool] gainstage = 3`, `seeds = 1000000000`, and the like at every level."""
    settings = [
        f"[tool]\ngainstage = {other}",
        f"tool = {other}",
        f"[tool.gainstage]\n{other} = 1",
        *(f"[tool.gainstage]\n{key} = {other}" for key in ("select", "ignore", "per-module-ignores", "severity")),
        *(f"[tool.gainstage.{key}]\nINI = {other}" for key in ("per-module-ignores", "severity")),
    ]
    top = ("data", "seeds", "steps", "looks", "rates", "tuning_seeds", "split_seed", "margin", "device", "grid", "arms")
    arm = (field for field in vars(Arm()) if field != "name")
    studies = [
        *(f"{key} = {other}\n[[arms]]\ndepth = 2" for key in top),
        *(f"[grid]\n{key} = {other}" for key in arm),
        f"[[arms]]\nname = {other}",
    ]
    for kind, texts in (("settings", settings), ("study", studies)):
        for text in texts:
            said = verdict(KINDS[kind], text.encode("utf-8", "surrogatepass"))
            assert said in ("read", "refused"), f"{text[:60]}: {said}"


if __name__ == "__main__":
    many = int(sys.argv[1]) // len(KINDS)
    began = time.monotonic()
    wrong: Counter[str] = Counter()
    for each in KINDS.values():
        counts: Counter[str] = Counter()
        for case in range(many):
            said = verdict(each, damaged(each, case))
            counts[said if said in ("read", "refused") else "WRONG"] += 1
            if said not in ("read", "refused"):
                wrong[f"{each.name}: {said[:70]}"] += 1
        print(f"{each.name:<11}", dict(counts), flush=True)
    print(f"{many * len(KINDS)} files, {wrong.total()} wrong, {time.monotonic() - began:.0f} s")
    for said, times in wrong.most_common(40):
        print(f"{times:>6}  {said}")
