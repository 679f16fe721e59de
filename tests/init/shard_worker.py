"""One rank of the sharding tests: `python shard_worker.py RANK WORLD STORE` prints one JSON line of digests."""

import json
import os
import sys
import warnings
from hashlib import sha256

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard, zeros
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

from gainstage import init

LAWS = {
    "normal": init.he_normal(),
    "uniform": init.torch_default(),
    "truncated": init.truncated_normal(std=0.02),
    "orthogonal": init.orthogonal(),
    "mirrored": init.mirrored(),
    "blocks": init.blocks((init.he_normal(), init.zeros(), init.orthogonal(scale="fan_in"))),
}
SHAPES = {"wide": (42, 70), "uneven": (30, 14), "cube": (12, 10, 6)}
BIG = (4096, 4096)


def cases(world: int):
    yield "whole", (world,), (Replicate(),)
    yield "rows", (world,), (Shard(0),)
    yield "columns", (world,), (Shard(1),)
    if world == 4:
        yield "grid", (2, 2), (Shard(0), Shard(1))
        yield "rows of rows", (2, 2), (Shard(0), Shard(0))
        yield "copies of rows", (2, 2), (Replicate(), Shard(0))


def combinations():
    for law in LAWS:
        yield "uneven", law, torch.float32
    yield "wide", "blocks", torch.bfloat16
    yield "cube", "normal", torch.bfloat16


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(24, 20), nn.ReLU(), nn.Linear(20, 9))


def fill_model(model: nn.Module) -> None:
    for name, p in model.named_parameters():
        init.fill_(p, init.he_normal() if p.dim() > 1 else init.uniform(-1, 1), seed=3, name=name)


def digest(tensor: Tensor) -> str:
    return sha256(tensor.detach().contiguous().view(torch.uint8).numpy().tobytes()).hexdigest()


def model_digests(model: nn.Module) -> dict[str, str]:
    full = {n: p.full_tensor() if hasattr(p, "full_tensor") else p for n, p in model.named_parameters()}
    return {name: digest(p) for name, p in full.items()}


def reset_peak() -> None:
    if os.path.exists("/proc/self/clear_refs"):
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")


def peak() -> float:
    """The most memory this process has held since `reset_peak`, in megabytes (0 where Linux is not there to say)."""
    if not os.path.exists("/proc/self/status"):
        return 0.0
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))


def main(rank: int, world: int, store: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
    results: dict[str, str] = {}
    for case, mesh_shape, placements in cases(world):
        mesh = init_device_mesh("cpu", mesh_shape)
        for shape_name, law_name, dtype in combinations():
            w = zeros(SHAPES[shape_name], dtype=dtype, device_mesh=mesh, placements=placements)
            init.fill_(w, LAWS[law_name], seed=7, name="w")
            results[f"{case}/{shape_name}/{law_name}/{dtype}"] = digest(w.full_tensor())

    mesh = init_device_mesh("cpu", (world,))
    with torch.device("meta"):
        model = mlp()
    fully_shard(model[0], mesh=mesh)
    fully_shard(model, mesh=mesh)
    model.to_empty(device="cpu")
    fill_model(model)
    for name, d in model_digests(model).items():
        results[f"fsdp/{name}"] = d
    if world == 4:
        mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("data", "tensor"))
        with torch.device("meta"):
            model = mlp()
        parallelize_module(model, mesh["tensor"], {"0": ColwiseParallel(), "2": RowwiseParallel()})
        fully_shard(model, mesh=mesh["data"])
        model.to_empty(device="cpu")
        fill_model(model)
        for name, d in model_digests(model).items():
            results[f"fsdp with tensor parallel/{name}"] = d
        mesh = init_device_mesh("cpu", (world,))

    for axis in (0, 1):
        local = [n // world if d == axis else n for d, n in enumerate(BIG)]
        big = DTensor.from_local(torch.ones(local), mesh, [Shard(axis)])
        init.fill_(DTensor.from_local(torch.zeros(2, 2), mesh, [Shard(0)]), init.normal(), name="warm")
        reset_peak()
        before = peak()
        init.fill_(big, init.normal(), seed=7, name="big")
        results[f"megabytes beyond the shard/{axis}"] = peak() - before
        results[f"big/{axis}"] = digest(big.full_tensor())
    print(json.dumps(results))
    dist.destroy_process_group()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
