"""What normalization costs, forward and backward, each as a ratio to torch's own layer in the same run.

    python benchmarks/norm.py [--runs 15] [--threads 1]

Layers take turns on the same input; a ratio is that of the medians. timm is a peer where it is installed.
"""

import argparse
import platform
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from gainstage.nn.norm import BatchNorm, EvoNormB0, EvoNormS0, FilterResponseNorm, RMSNorm
from gainstage.nn.norm import norm as by_name
from timing import in_turn

TOKENS, IMAGES = (4096, 1024), (32, 64, 32, 32)


def both_ways(layer: nn.Module, x: Tensor, gradient: Tensor) -> Callable[[], Any]:
    """One forward and one backward pass."""

    def run() -> None:
        x.grad = None
        layer.zero_grad(set_to_none=True)
        layer(x).backward(gradient)

    return run


def compare(shape: tuple[int, ...], layers: dict[str, nn.Module], runs: int, form: torch.memory_format) -> None:
    """Prints each layer's time as a ratio to the first."""
    x = torch.randn(shape).contiguous(memory_format=form).requires_grad_()
    gradient = torch.randn(shape).contiguous(memory_format=form)
    times = in_turn(runs, *(both_ways(layer, x, gradient) for layer in layers.values()))
    name = "" if form == torch.contiguous_format else ", channels last"
    print(f"\n{list(shape)} float32{name}: {next(iter(layers))} {times[0] * 1e3:.1f} ms")
    for label, seconds in zip(layers, times, strict=True):
        print(f"  {label:<44} {seconds / times[0]:5.2f} x", flush=True)


def timm_layers() -> dict[str, nn.Module]:
    """timm's layers of the same formulas, if it is installed."""
    try:
        from timm.layers import EvoNorm2dB0, EvoNorm2dS0, FilterResponseNormTlu2d
    except ImportError:
        print("timm is not installed: no peer for EvoNorm and FRN")
        return {}
    peers = (EvoNorm2dB0(64), EvoNorm2dS0(64), FilterResponseNormTlu2d(64))
    return {f"timm {type(peer).__name__}": peer for peer in peers}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}; forward and backward")
    tokens = {
        "torch LayerNorm": nn.LayerNorm(1024),
        "torch RMSNorm": nn.RMSNorm(1024),
        "RMSNorm (bar 1)": RMSNorm(1024),
    }
    tokens |= {name: by_name(name, 1024) for name in ("layer_simple", "ada", "dyt")}
    compare(TOKENS, tokens, arguments.runs, torch.contiguous_format)
    images: dict[str, nn.Module] = {"torch BatchNorm2d": nn.BatchNorm2d(64)}
    images |= {
        "BatchNorm": BatchNorm(64),
        "EvoNormB0 (bar 2)": EvoNormB0(64),
        "EvoNormS0 (bar 2)": EvoNormS0(64),
        "FilterResponseNorm, TLU (bar 2)": FilterResponseNorm(64),
        **timm_layers(),
    }
    others = ("ghost", "renorm", "group", "instance", "switchable", "self", "grn")
    compare(IMAGES, images | {name: by_name(name, 64) for name in others}, arguments.runs, torch.contiguous_format)
    compare(IMAGES, images, arguments.runs, torch.channels_last)


if __name__ == "__main__":
    main()
