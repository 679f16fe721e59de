"""What a watch costs: time of a training step with it over that without, beside other monitors.

    python benchmarks/watch.py [--rounds N]

Loops are run in turn, a block of steps each, so that a busy machine slows all of them; the ratio is of medians.
`naive` reads the norm of every gradient and of every module's output by `.item()` at every step, as monitors written
by hand do. `wandb.watch` runs offline and logs at every step (`log_freq=1`) or every 50.
"""

import argparse
import gc
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import gainstage as gs

BLOCK = 50  # steps, so that each block of every=50 holds a report


class GPT(nn.Module):
    """Two layers, 430 thousand parameters."""

    def __init__(self, width: int = 128, vocabulary: int = 128) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(vocabulary, width), nn.Embedding(64, width)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(width, 4, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True)
            for _ in range(2)
        )
        self.head = nn.Linear(width, vocabulary)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.tokens(ids) + self.places(torch.arange(ids.shape[1]))
        mask = nn.Transformer.generate_square_subsequent_mask(ids.shape[1])
        for layer in self.layers:
            x = layer(x, src_mask=mask, is_causal=True)
        return self.head(x).flatten(0, 1)


class Block(nn.Module):
    def __init__(self, i: int, o: int, stride: int) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(i, o, 3, stride, 1, bias=False), nn.Conv2d(o, o, 3, 1, 1, bias=False)
        self.n, self.m = nn.BatchNorm2d(o), nn.BatchNorm2d(o)
        self.skip = nn.Conv2d(i, o, 1, stride) if i != o else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.skip(x) + self.m(self.b(F.relu(self.n(self.a(x))))))


def resnet() -> nn.Module:
    sizes = [(16, 16, 1), (16, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1), (64, 128, 2), (128, 128, 1)]
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 1, 1),
        *(Block(*s) for s in sizes),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(128, 10),
    )


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))


def data(name: str) -> tuple[Tensor, Tensor]:
    if name == "gpt":
        ids = torch.randint(0, 128, (8, 65))
        return ids[:, :-1], ids[:, 1:].flatten()
    shape = (16, 3, 32, 32) if name == "resnet" else (128, 256)
    return torch.randn(shape), torch.randint(0, 10, (shape[0],))


MODELS: dict[str, Callable[[], nn.Module]] = {"gpt": GPT, "resnet": resnet, "mlp": mlp}


def naive(model: nn.Module) -> None:
    """The norm of every output and gradient, read at once."""
    seen: dict[str, float] = {}
    for name, module in model.named_modules():
        if not list(module.children()):
            module.register_forward_hook(lambda m, a, y, name=name: seen.__setitem__(name, y.norm().item()))
    for name, p in model.named_parameters():
        p.register_post_accumulate_grad_hook(lambda p, name=name: seen.__setitem__(name, p.grad.norm().item()))


def wandb_watch(every: int) -> Callable[[nn.Module], Any]:
    def attach(model: nn.Module) -> Any:
        import wandb

        run = wandb.init(mode="offline", dir="/tmp", settings=wandb.Settings(silent=True))
        run.watch(model, log="all", log_freq=every)
        return run

    return attach


def closed(model: nn.Module) -> None:
    gs.Watch(model, every=1).close()


ARMS: dict[str, Callable[[nn.Module], Any]] = {
    "none": lambda model: None,
    "watch, closed": closed,
    "watch, every=50": lambda model: gs.Watch(model, every=50),
    "watch, every=1": lambda model: gs.Watch(model, every=1),
    "naive, every step": naive,
    "wandb.watch, 50": wandb_watch(50),
    "wandb.watch, 1": wandb_watch(1),
}


def loop(name: str, arm: str) -> Callable[[int], float]:
    """A loop of its own that runs a number of steps and returns the seconds of one."""
    torch.manual_seed(0)
    model, (x, y) = MODELS[name](), data(name)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4)
    kept = ARMS[arm](model)

    def run(steps: int) -> float:
        begin = time.process_time()
        for _ in range(steps):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            if hasattr(kept, "log") and not isinstance(kept, gs.Watch):
                kept.log({"loss": 0.0})
        return (time.process_time() - begin) / steps

    run.kept = kept  # type: ignore[attr-defined]
    return run


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", nargs="*", default=list(MODELS))
    given = parser.parse_args()
    torch.set_num_threads(1)
    lines = [
        f"CPU seconds of a training step over that of the plain loop, medians of {given.rounds} rounds of {BLOCK} "
        f"steps in turn; one thread, torch {torch.__version__}",
        "",
        f"{'':<20}" + "".join(f"{name:>10}" for name in given.models),
    ]
    print("\n".join(lines))
    ratios: dict[str, list[float]] = {arm: [] for arm in ARMS}
    for name in given.models:
        plain = loop(name, "none")
        plain(3)
        base: list[float] = []
        for arm in ARMS:
            run = plain if arm == "none" else loop(name, arm)
            run(3)
            pairs = []
            for _ in range(given.rounds):
                before = plain(BLOCK)
                pairs.append(run(BLOCK) / before)
                base.append(before)
            ratios[arm].append(median(pairs))
            kept = getattr(run, "kept", None)
            if isinstance(kept, gs.Watch):
                kept.close()
            elif hasattr(kept, "finish"):
                kept.finish()
            del run, kept
            gc.collect()
    for arm, values in ratios.items():
        lines.append(f"{arm:<20}" + "".join(f"{value:>10.3f}" for value in values))
        print(lines[-1])
    if len(given.models) == len(MODELS):
        (Path(__file__).parent / "results" / "watch.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
