"""K networks trained as one, against a plain loop over them.

    python benchmarks/many.py [--steps 100] [--rounds 5]

The loop is the one everybody writes: `torch.optim`, one network after the other. Both take turns on the same data; the
ratio is that of the medians. `--threads` is torch's number of threads.
"""

import argparse
import platform

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gainstage.train import fit_many, minibatches
from timing import in_turn

COUNT, BATCH = 32, 64


def mlp(width: int, *, between: type[nn.Module] | None = None) -> nn.Module:
    def block(inputs: int) -> list[nn.Module]:
        extra = [] if between is None else [between(width) if between is nn.BatchNorm1d else between(0.5)]
        return [nn.Linear(inputs, width), *extra, nn.ReLU()]

    return nn.Sequential(*block(40), *block(width), nn.Linear(width, 10))


def cnn() -> nn.Module:
    block = [nn.Conv1d(1, 16, 5, 2, 2), nn.ReLU(), nn.Conv1d(16, 16, 3, 2, 1), nn.ReLU(), nn.Flatten()]
    return nn.Sequential(nn.Unflatten(1, (1, 40)), *block, nn.Linear(160, 10))


def loop(models: list[nn.Module], x: Tensor, y: Tensor, steps: int) -> None:
    for seed, model in enumerate(models):
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for some_x, some_y in minibatches(x, y, batch_size=BATCH, steps=steps, seed=seed):
            optimizer.zero_grad()
            F.cross_entropy(model(some_x), some_y).backward()
            optimizer.step()


def as_one(models: list[nn.Module], x: Tensor, y: Tensor, steps: int) -> None:
    fit_many(models, x, y, loss=F.cross_entropy, lr=1e-3, steps=steps, batch_size=BATCH, together=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    x, y = torch.randn(4000, 40, device=options.device), torch.randint(0, 10, (4000,), device=options.device)
    print(f"{platform.machine()}, {options.device}, {options.threads} threads, torch {torch.__version__}")
    print(f"{COUNT} networks, batches of {BATCH}, Adam, {options.steps} steps")
    rows = {
        "MLP, width 64": lambda: mlp(64),
        "MLP, width 64, dropout": lambda: mlp(64, between=nn.Dropout),
        "MLP, width 64, BatchNorm": lambda: mlp(64, between=nn.BatchNorm1d),
        "MLP, width 256": lambda: mlp(256),
        "CNN, 16 channels": cnn,
    }
    for name, make in rows.items():
        models = [make().to(options.device) for _ in range(COUNT)]

        def plain(models: list[nn.Module] = models) -> None:
            loop(models, x, y, options.steps)
            if options.device == "cuda":
                torch.cuda.synchronize()

        def ours(models: list[nn.Module] = models) -> None:
            as_one(models, x, y, options.steps)

        peer, mine = in_turn(options.rounds, plain, ours)
        each = mine / options.steps * 1e3
        print(f"{name:<28} loop {peer:6.2f} s   as one {mine:6.2f} s ({each:5.2f} ms a step)   {peer / mine:4.1f} x")


if __name__ == "__main__":
    main()
