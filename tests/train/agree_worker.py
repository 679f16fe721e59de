"""One of several processes: `python agree_worker.py RANK WORLD STORE FOLDER` prints one JSON line."""

import json
import math
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn

from gainstage.train import EarlyStopping, TrainError, load_checkpoint, save_checkpoint, update_batchnorm

VALUES = {  # by rank; the mean decides
    "mean": [[4.0, 2.0, 1.0, 3.0, 3.0], [4.0, 2.0, 5.0, 1.5, 1.5]],
    "one rank": [[4.0, 2.0, 3.0, 3.0, 3.0], [None] * 5],
    "nan": [[4.0, 2.0, 1.0, 0.5, 0.4], [4.0, 2.0, math.nan, 1.0, 1.0]],
}


def data() -> torch.Tensor:
    return torch.randn(30, 3, generator=torch.Generator().manual_seed(0)) * 0.01 + 1000


def main(rank: int, world: int, store: str, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
    results: dict[str, object] = {}
    model = nn.Linear(1, 1)
    for case, rows in VALUES.items():
        for path in (None, folder / f"{case}.safetensors"):
            stopper = EarlyStopping(patience=2, keep={"model": model}, path=path)
            for epoch, value in enumerate(rows[rank]):
                with torch.no_grad():
                    model.weight.fill_(epoch)
                if stopper.step(value):
                    break
            best = stopper.restore()
            where = "memory" if path is None else "disk"
            results[f"{case}/{where}"] = [stopper.epoch, stopper.reason, best, model.weight.item()]

    torch.manual_seed(rank)
    path = folder / "run.safetensors"
    save_checkpoint(path, model=model, epoch=3)
    drawn = torch.rand(1).item()
    rest = load_checkpoint(path, model=model)
    results["random"] = [rest, torch.rand(1).item() == drawn, drawn]
    try:  # the disk refuses the one that writes: both are told
        save_checkpoint(path / "below a file", model=model)
    except TrainError as error:
        results["refused"] = str(error)

    norm = nn.BatchNorm1d(3)
    parts = data().split([11, 19])[rank]  # unequal shares in an equal number of batches
    update_batchnorm(norm, parts.split([len(parts) - 4, 4]))
    results["batchnorm"] = [norm.running_mean.tolist(), norm.running_var.tolist()]
    print(json.dumps(results))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))
