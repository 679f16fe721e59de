"""A run that is killed again and again: `python kill_worker.py FOLDER` prints one JSON line.

Every attempt is a process of its own (a fork, so that torch is imported once), killed with SIGKILL by itself at one
chosen moment of writing a checkpoint, or by the parent at a random time. The next attempt resumes from the file.
"""

import json
import os
import random
import signal
import sys
import time
from hashlib import sha256
from pathlib import Path

import torch
from torch import nn

from gainstage.train import EarlyStopping, _storage, load_checkpoint, save_checkpoint

EPOCHS = 12
VALUES = [9.0, 5.0, 4.0, 6.0, 3.0, 7.0, 2.5, 4.0, 2.0, 3.0, 3.0, 3.0]


def train(folder: Path, on_disk: bool) -> dict[str, str]:
    """One attempt: from the checkpoint, if there is one, to the end."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    keep = {"model": model, "optimizer": optimizer}
    stopper = EarlyStopping(patience=3, keep=keep, path=folder / "best.safetensors" if on_disk else None)
    path = folder / "run.safetensors"
    if path.exists():
        load_checkpoint(path, model=model, optimizer=optimizer, stopper=stopper)
    while stopper.epoch < EPOCHS and not stopper.reason:
        for _ in range(3):
            optimizer.zero_grad()
            (model(torch.randn(8, 4)) - random.random()).square().mean().backward()
            optimizer.step()
        stopper.step(VALUES[stopper.epoch])
        save_checkpoint(path, model=model, optimizer=optimizer, stopper=stopper)
    end = digest(model.state_dict())
    best = stopper.restore()
    return {"end": end, "best": digest(model.state_dict()), "value": str(best), "why": str(stopper.reason)}


def digest(state: dict[str, torch.Tensor]) -> str:
    return sha256(b"".join(t.numpy().tobytes() for t in state.values())).hexdigest()


def die_in_write(number: int, moment: str) -> None:
    """Arrange for this process to kill itself at a moment of its write number `number`."""
    count = 0

    def deadly(name: str, real):
        def call(*args, **kwargs):
            nonlocal count
            count += name == "save_file"
            if count == number and moment == f"before {name}":
                if name == "os.replace":  # the new file is only there as far as the disk had got
                    os.truncate(args[0], 100)
                os.kill(os.getpid(), signal.SIGKILL)
            result = real(*args, **kwargs)
            if count == number and moment == f"after {name}":
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call

    _storage.save_file = deadly("save_file", _storage.save_file)
    os.replace, os.fsync = deadly("os.replace", os.replace), deadly("os.fsync", os.fsync)


MOMENTS = [f"{when} {what}" for when in ("before", "after") for what in ("save_file", "os.fsync", "os.replace")]


def attempt(
    folder: Path, on_disk: bool, number: int | None = None, moment: str = "", after: float | None = None
) -> bool:
    """Run in a process of its own; whether it was killed."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            random.seed(0)
            if number:
                die_in_write(number, moment)
            (folder / "result.json").write_text(json.dumps(train(folder, on_disk)))
            code = 0
        finally:
            os._exit(code)
    if after is not None:
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise SystemExit("an attempt failed")
    return os.WIFSIGNALED(status)


def story(folder: Path, on_disk: bool, attempts) -> dict[str, object]:
    folder.mkdir(parents=True)
    kills = sum(attempt(folder, on_disk, **how) for how in attempts)
    attempt(folder, on_disk)
    return json.loads((folder / "result.json").read_text()) | {"kills": kills, "files": sorted(os.listdir(folder))}


def main(root: Path) -> None:
    torch.set_num_threads(1)
    chance = random.Random(0)
    report = {}
    (root / "warm").mkdir(parents=True)
    train(root / "warm", on_disk=True)  # what torch imports at first use is imported once
    for on_disk in (False, True):
        place = "disk" if on_disk else "memory"
        report[f"{place}/whole"] = story(root / f"{place}-whole", on_disk, [])
        for moment in MOMENTS:  # in the first, second, ... write of each attempt, so every file is written again
            how = [{"number": number, "moment": moment} for number in (1, 1, 3)]
            report[f"{place}/{moment}"] = story(root / f"{place}-{moment}", on_disk, how)
        how = [{"after": chance.uniform(0, 0.05)} for _ in range(8)]
        report[f"{place}/any time"] = story(root / f"{place}-any", on_disk, how)
    print(json.dumps(report))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
