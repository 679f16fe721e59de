"""What `gs.check` costs: time and memory beside a plain training step, and time against depth.

    python benchmarks/check_cost.py [--runs 5]

Time is a ratio of medians to one plain forward and backward pass in the same run, taking turns. Memory is the highest
resident set of a fresh process beyond what importing and building the model took, as a ratio to that of one plain
training step with Adam.
"""

import argparse
import multiprocessing
import platform
import re
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import gainstage as gs
from networks import gpt2, resnet18
from timing import in_turn

Parts = tuple[nn.Module, Any, Callable[[], Tensor], dict[str, Any]]


def images() -> Parts:
    model, x, y = resnet18(), torch.randn(16, 3, 64, 64), torch.arange(16)
    return model, x, lambda: F.cross_entropy(model(x), y), {"target": y, "loss": F.cross_entropy}


def tokens() -> Parts:
    model, ids = gpt2(), torch.randint(0, 50257, (8, 128))
    example = {"input_ids": ids, "labels": ids}
    return model, example, lambda: model(**example).loss, {}


def optimized(parts: Parts) -> tuple[torch.optim.Optimizer, Callable[[], Tensor]]:
    """Adam, and the user's own step with it."""
    model, _, objective, _ = parts
    adam = torch.optim.Adam(model.parameters(), 1e-3)

    def step() -> Tensor:
        adam.zero_grad()
        loss = objective()
        loss.backward()
        adam.step()
        return loss.detach()

    return adam, step


def times(name: str, parts: Parts, runs: int) -> None:
    model, example, objective, given = parts
    adam, step = optimized(parts)

    def plain() -> None:
        objective().backward()
        model.zero_grad(set_to_none=True)

    def check(**more: Any) -> Any:
        return gs.check(model, example, **given, **more)

    ways = {"": {}, " with an optimizer": {"optimizer": adam}, " with a train_step": {"train_step": step}}
    ways[" with both"] = {"optimizer": adam, "train_step": step}
    peer, *ours = in_turn(runs, plain, *(partial(check, **more) for more in ways.values()))
    print(f"{name}: plain forward and backward {peer * 1e3:.0f} ms")
    for way, seconds in zip(ways, ours, strict=True):
        print(f"  check{way:<22} {seconds / peer:5.2f} x", flush=True)


def peak(build: Callable[[], Parts], what: str, result: Any) -> None:
    """Runs in a process of its own: how far the resident set rises, in MB."""
    torch.set_num_threads(2)
    parts = build()
    model, example, _, given = parts
    adam, step = optimized(parts)
    gs.check(nn.Linear(2, 2), torch.randn(4, 2))  # what is loaded and compiled once
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
    if what == "plain":
        step()
    else:
        gs.check(model, example, **given, **({"optimizer": adam} if what == "optimizer" else {}))
    result.put(resident("VmHWM") - before)


def resident(what: str) -> float:
    """Resident memory now (VmRSS) or at its peak (VmHWM), in MB; Linux only."""
    return int(re.search(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024


def memory(name: str, build: Callable[[], Parts]) -> None:
    context, rises = multiprocessing.get_context("spawn"), {}
    for what in ("plain", "check", "optimizer"):
        result = context.Queue()
        process = context.Process(target=peak, args=(build, what, result))
        process.start()
        rises[what] = result.get()
        process.join()
    print(f"{name}: a plain step with Adam takes {rises['plain']:.0f} MB more")
    for what in ("check", "optimizer"):
        print(
            f"  check{' with an optimizer' * (what == 'optimizer'):<22} {rises[what] / rises['plain']:5.2f} x",
            flush=True,
        )


class Residual(nn.Module):
    def __init__(self, depth: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Sequential(nn.LayerNorm(64), nn.Linear(64, 64), nn.ReLU()) for _ in range(depth))
        self.head = nn.Sequential(nn.LayerNorm(64), nn.Linear(64, 10))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = x + block(x) / len(self.blocks) ** 0.5
        return self.head(x)


def depths() -> None:
    x, y = torch.randn(64, 64), torch.arange(64) % 10
    for depth in (10, 30, 100, 300, 1000):
        model = Residual(depth)
        runs = []
        for _ in range(3):
            began = time.perf_counter()
            gs.check(model, x, target=y, loss=F.cross_entropy)
            runs.append(time.perf_counter() - began)
        print(f"depth {depth:>5}: {min(runs):6.3f} s, {min(runs) / depth * 1e3:5.2f} ms a block", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    for name, build in (("ResNet-18-like", images), ("GPT-2-like", tokens)):
        torch.manual_seed(0)
        times(name, build(), runs)
        memory(name, build)
    depths()


if __name__ == "__main__":
    main()
