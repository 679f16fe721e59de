"""What a check costs: its time over that of one plain forward and backward pass of the same model in the same run.

    python benchmarks/check.py

Both must stay below 4. Rounds alternate, so that what else the machine does meets both sides; medians are compared.
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))
from healthy import Basic

import gainstage as gs
from gainstage.signal import Subject

ROUNDS = 7


def resnet18() -> Subject:
    layers: list[nn.Module] = [
        nn.Conv2d(3, 64, 7, 2, 3, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(True),
        nn.MaxPool2d(3, 2, 1),
    ]
    width = 64
    for out in (64, 128, 256, 512):
        for _ in range(2):
            layers.append(Basic(width, out, 2 if out > width else 1))
            width = out
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))
    return Subject(model, torch.randn(16, 3, 64, 64), torch.randint(0, 1000, (16,)), F.cross_entropy)


def gpt2_6_layers() -> Subject:
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(n_layer=6, n_head=8, n_embd=512, vocab_size=16_000)).train()
    tokens = torch.randint(0, 16_000, (8, 128))
    return Subject(model, {"input_ids": tokens, "labels": tokens})


def pass_of(subject: Subject) -> Callable[[], object]:
    def run() -> None:
        subject.model.zero_grad(set_to_none=True)
        if isinstance(subject.example, dict):
            subject.model(**subject.example).loss.backward()
        else:
            subject.loss(subject.model(subject.example), subject.target).backward()

    return run


def check_of(subject: Subject) -> Callable[[], object]:
    return lambda: gs.check(subject.model, subject.example, target=subject.target, loss=subject.loss)


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main() -> None:
    for build in (resnet18, gpt2_6_layers):
        torch.manual_seed(0)
        subject = build()
        plain, check = pass_of(subject), check_of(subject)
        plain(), check()
        times = [(seconds(plain), seconds(check)) for _ in range(ROUNDS)]
        base, cost = (statistics.median(column) for column in zip(*times, strict=True))
        print(f"{build.__name__:<15} plain {base * 1e3:7.0f} ms   check {cost * 1e3:7.0f} ms   ratio {cost / base:.2f}")


if __name__ == "__main__":
    main()
