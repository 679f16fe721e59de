"""What looking costs: record, check, initialize and calibrate, each as a ratio to a named peer in the same run.

    python benchmarks/speed.py [--runs 7]

`record` and `check` against a plain forward and backward pass of the same model; `initialize` of a 124 M-parameter
transformer against `torch.nn.init.normal_` over the same parameters; `calibrate` in forward passes. The peer and ours
take turns, the ratio is that of the medians.
"""

import argparse
import platform
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

import gainstage as gs
from networks import gpt2, resnet18
from timing import in_turn


def line(what: str, ours: float, peer: float, bar: float) -> None:
    print(f"{what:<46} {ours * 1e3:8.1f} ms  {ours / peer:5.2f} x  (bar {bar:g} x)", flush=True)


def passes(runs: int) -> None:
    """record and check on both models."""
    images, labels = torch.randn(16, 3, 64, 64), torch.arange(16)
    ids = torch.randint(0, 50257, (8, 128))
    subjects: dict[str, tuple[nn.Module, Any, dict[str, Any]]] = {
        "ResNet-18-like, batch 16, 64x64": (resnet18(), images, {"target": labels, "loss": F.cross_entropy}),
        "GPT-2-like, 6 layers, batch 8, 128 tokens": (gpt2(), {"input_ids": ids, "labels": ids}, {}),
    }
    for name, (model, example, options) in subjects.items():

        def plain(model: nn.Module = model, example: Any = example, options: dict[str, Any] = options) -> None:
            output = model(**example) if isinstance(example, dict) else model(example)
            loss = output.loss if isinstance(example, dict) else F.cross_entropy(output, options["target"])
            loss.backward()
            model.zero_grad(set_to_none=True)

        record, check = (
            lambda call=call, m=model, e=example, o=options: call(m, e, **o) for call in (gs.record, gs.check)
        )
        peer, recorded, checked = in_turn(runs, plain, record, check)
        print(f"{name}: plain forward and backward {peer * 1e3:.1f} ms")
        line("  record", recorded, peer, 1.3)
        line("  check", checked, peer, 4)


def starts(runs: int) -> None:
    """initialize and calibrate."""
    model = gpt2(12, 768, 12)
    ids = {"input_ids": torch.randint(0, 50257, (1, 16))}
    count = sum(p.numel() for p in model.parameters()) / 1e6

    def normal() -> None:
        for parameter in model.parameters():
            nn.init.normal_(parameter, 0.0, 0.02)

    peer, ours, planned = in_turn(
        runs, normal, lambda: gs.initialize(model, ids), lambda: gs.plan(model, ids)
    )  # fmt: skip
    print(f"transformer of {count:.0f} M parameters: normal_ over all of them {peer * 1e3:.1f} ms")
    line("  initialize", ours, peer, 1.5)
    line("    of which plan (one forward pass)", planned, peer, 1.5)
    small = gpt2(6, 384, 6)
    passes = []
    hook = small.register_forward_pre_hook(lambda *_: passes.append(1))
    gs.initialize(small, ids, calibrate=True)
    hook.remove()
    print(f"  calibrate: {len(passes)} forward passes in all  (bar 2)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    runs = parser.parse_args().runs
    torch.manual_seed(0)
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    passes(runs)
    starts(runs)


if __name__ == "__main__":
    main()
