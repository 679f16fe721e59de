"""One rank: `python distributed_worker.py RANK WORLD STORE` prints one JSON line, what every call gave by wrapper."""

import json
import sys
import warnings
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

import gainstage as gs

WRAPPERS = ("fsdp2", "ddp", "tp")
CALLS = ("record", "plan", "check", "check with adam", "check with a step", "initialize", "calibrate")
LOSS = {"target": torch.arange(4), "loss": F.cross_entropy}


def make() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.LayerNorm(16), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4))


def wrap(model: nn.Module, wrapper: str) -> nn.Module:
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    if wrapper == "fsdp2":
        fully_shard(model[0], mesh=mesh)
        fully_shard(model, mesh=mesh)
        return model
    if wrapper == "tp":
        return parallelize_module(model, mesh, {"3": ColwiseParallel(), "5": RowwiseParallel()})
    return nn.parallel.DistributedDataParallel(model)


def batch(seed: int) -> Tensor:
    return torch.randn(4, 8, generator=torch.Generator().manual_seed(seed))


def step(model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor) -> Tensor:
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x), torch.arange(4))
    loss.backward()
    optimizer.step()
    return loss


def trained(model: nn.Module) -> list[float]:
    """The losses of two steps."""
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    return [step(model, optimizer, batch(seed)).item() for seed in (1, 2)]


def called(call: str, model: nn.Module, x: Tensor) -> Any:
    """What a call gives, as JSON can hold it."""
    if call == "record":
        tape = gs.record(model, x, **LOSS)
        return {s.path: s.backward and s.backward.mean_square for s in tape.sites if s.kind == "parameter"}
    if call == "plan":
        return gs.plan(model, x).to_json()
    if call in ("initialize", "calibrate"):
        return gs.initialize(model, x, seed=3, calibrate=call == "calibrate").to_json()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    further: dict[str, Callable[[], Tensor]] = {"train_step": lambda: step(model, optimizer, x)}
    given = {"check": {}, "check with adam": {"optimizer": optimizer}, "check with a step": further}[call]
    report = gs.check(model, x, **LOSS, **given)
    silent = [n.code for n in report.not_judged if "raised" in n.why or "report" in n.why]
    return {"findings": [f"{f.code} {f.where}" for f in report.findings], "silent": silent}


def alone() -> dict[str, Any]:
    """Every call on the model in one process."""
    return {call: called(call, make(), batch(7)) for call in CALLS}


def mean_over_batches() -> dict[str, float]:
    """What the gradients of the loss over both ranks' batches are in one process."""
    tape = gs.record(make(), torch.cat([batch(0), batch(1)]), target=torch.arange(4).repeat(2), loss=F.cross_entropy)
    return {s.path: s.backward.mean_square for s in tape.sites if s.kind == "parameter"}


def main(rank: int, world: int, store: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
    results: dict[str, Any] = {}
    for wrapper in WRAPPERS:
        results[wrapper] = {"never": trained(wrap(make(), wrapper))}
        for call in CALLS:
            model, like = wrap(make(), wrapper), make()
            given = called(call, model, batch(7))
            called(call, like, batch(7))
            results[wrapper][call] = {
                "given": given,
                "trained": trained(model),
                "expected": trained(wrap(like, wrapper)),
            }
        results[wrapper]["own batch"] = {
            call: called(call, wrap(make(), wrapper), batch(rank)) for call in ("record", "check", "calibrate")
        }
    print(json.dumps(results))
    dist.destroy_process_group()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
