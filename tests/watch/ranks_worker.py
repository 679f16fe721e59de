"""One rank: `python ranks_worker.py RANK WORLD STORE` prints what a watch measures in DDP and FSDP2, as JSON."""

import json
import sys
import warnings
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

import gainstage as gs

WRAPPERS = ("ddp", "fsdp2")
STEPS = 4


def make() -> nn.Module:
    torch.manual_seed(0)
    layers = (nn.Linear(8, 16), nn.GELU(), nn.LayerNorm(16), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4))
    return nn.Sequential(*layers).double()  # so that what differs is not rounding of the training itself


def trained(model: nn.Module, rank: int | None = None) -> dict[str, Any]:
    """The readings of a few steps; a rank trains on its half of each batch."""
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    collectives = []
    with gs.Watch(model, optimizer, every=2) as watch:
        original = dist.all_reduce
        dist.all_reduce = lambda *args, **kwargs: (collectives.append(1), original(*args, **kwargs))[1]
        for step in range(STEPS):
            x = torch.randn(8, 8, generator=torch.Generator().manual_seed(step), dtype=torch.float64)
            y = torch.arange(8) % 4
            if rank is not None:
                x, y = x[4 * rank : 4 * rank + 4], y[4 * rank : 4 * rank + 4]
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
        dist.all_reduce = original
    parameters = [
        {n: [p.gradient, p.arrived, p.weight, p.update] for n, p in r.parameters.items()} for r in watch.readings
    ]
    sites = [{n: [s.rms, s.zeros] for n, s in r.sites.items() if "#" in n} for r in watch.readings]
    steps = [s.loss for s in watch.history.steps]
    findings = [f.code for f in watch.report.findings]
    return {
        "steps": [r.step for r in watch.readings], "parameters": parameters, "sites": sites, "losses": steps,
        "collectives": len(collectives), "findings": findings,
    }  # fmt: skip


def main(rank: int, world: int, store: str) -> None:
    warnings.simplefilter("ignore")
    dist.init_process_group("gloo", store=dist.FileStore(store, world), rank=rank, world_size=world)
    report = {}
    for wrapper in WRAPPERS:
        model = make()
        if wrapper == "ddp":
            model = nn.parallel.DistributedDataParallel(model)
        else:
            mesh = init_device_mesh("cpu", (world,))
            fully_shard(model[3], mesh=mesh)
            fully_shard(model, mesh=mesh)
        report[wrapper] = trained(model, rank)
    print(json.dumps(report))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
