"""Speed of `gainstage.init` against `torch.nn.init`: `python benchmarks/init.py [--quick]`.

Every line is the median of several runs, ours and torch's taken in turn in the same process, and the ratio of the two
medians (above 1: we are faster). Bars are those that the project set itself.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable

import torch
from torch import nn

from gainstage import init
from timing import in_turn

FIRST_FILL = """
import torch, time
from gainstage import init
w = torch.empty(256, 256)
start = time.perf_counter()
init.fill_(w, init.normal(), name="w")
print(time.perf_counter() - start)
"""


def machine() -> str:
    model = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as file:
            model = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), model)
    return f"{model}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, torch {torch.__version__}"


def line(what: str, ours: float, theirs: float, bar: float | None, note: str = "") -> None:
    ratio = theirs / ours
    verdict = "" if bar is None else f"bar {bar:g}: {'met' if ratio >= bar else 'MISSED'}"
    print(f"{what:<34}{ours * 1e3:>10.2f} ms{theirs * 1e3:>10.2f} ms{ratio:>8.2f} x  {verdict:<15}{note}", flush=True)


def pointwise(n: int, runs: int) -> None:
    w = torch.empty(n)
    laws = {
        "normal": (init.normal(std=0.02), lambda: nn.init.normal_(w, std=0.02), 1.8),
        "uniform": (init.uniform(-0.1, 0.1), lambda: nn.init.uniform_(w, -0.1, 0.1), 2.0),
        "truncated normal": (
            init.truncated_normal(std=0.02),
            lambda: nn.init.trunc_normal_(w, std=0.02, a=-0.04, b=0.04),
            20.0,
        ),
    }
    for name, (law, theirs, bar) in laws.items():
        times = in_turn(runs if name != "truncated normal" else 3, lambda law=law: init.fill_(w, law, name="w"), theirs)
        line(f"{name}, {n >> 20} M float32", *times, bar)
    half = torch.empty(n // 4, dtype=torch.bfloat16)
    times = in_turn(runs, lambda: init.fill_(half, init.normal(), name="w"), lambda: nn.init.normal_(half))
    line(f"normal, {n >> 22} M bfloat16", *times, None)
    (ours, zeros) = in_turn(runs, lambda: init.fill_(w, init.normal(), name="w"), w.zero_)
    print(f"{'normal, share of the speed of zero_':<34}{zeros / ours:>10.0%}")


def orthogonal(sizes: list[int], runs: int) -> None:
    for n in sizes:
        w, t = torch.empty(n, n), torch.empty(n, n)
        times = in_turn(
            runs, lambda w=w: init.fill_(w, init.orthogonal(), name="w"), lambda t=t: nn.init.orthogonal_(t)
        )
        errors = [float(torch.linalg.matrix_norm(m.double().t() @ m.double() - torch.eye(n))) for m in (w, t)]
        line(f"orthogonal {n}", *times, 1.5, f"|Q'Q - I| {errors[0]:.1e}, torch {errors[1]:.1e}")


def attention(widths: list[int], runs: int) -> None:
    """One projection of `mimetic` against the decomposition in LAPACK that it would otherwise be: slower, by design."""
    for n in widths:
        w, m = torch.empty(n, n), torch.randn(n, n)
        for part, heads in (("v", 1), ("q", 12)):
            law = init.mimetic(part, heads, pair="a")
            times = in_turn(
                runs,
                lambda w=w, law=law: init.fill_(w, law, name="w"),
                lambda m=m, heads=heads: [torch.linalg.svd(m) for _ in range(heads)],
            )
            line(f"mimetic {part} {n}, {heads} heads", *times, None, "the same bits everywhere; torch: LAPACK's")


def growth(largest: int, runs: int) -> None:
    print("\nnormal, time per element as the tensor grows, and by threads")
    w = torch.empty(largest)
    sizes = [n for n in (1 << 20, 1 << 22, 1 << 24, 1 << 26) if n <= largest]
    for n in sizes:
        part = w[:n]
        (ours,) = in_turn(runs, lambda part=part: init.fill_(part, init.normal(), name="w"))
        print(f"  {n >> 20:>4} M elements: {ours / n * 1e9:.2f} ns each")
    threads, alone = torch.get_num_threads(), 0.0
    for count in range(1, threads + 1):
        torch.set_num_threads(count)
        (ours,) = in_turn(runs, lambda: init.fill_(w, init.normal(), name="w"))
        alone = alone or ours
        print(f"  {count} threads: {largest / ours / 1e6:.0f} M/s, {alone / ours:.2f} times one")


def small_and_first(runs: int) -> None:
    print()
    w = torch.empty(32, 32)

    def many(fill: Callable[[], object]) -> Callable[[], object]:
        return lambda: [fill() for _ in range(1000)]

    ours, theirs = in_turn(runs, many(lambda: init.fill_(w, init.normal(), name="w")), many(lambda: nn.init.normal_(w)))
    print(f"a fill of 1024 elements: {ours * 1e3:.0f} us (bar 30), torch {theirs * 1e3:.0f} us")
    fresh = [sys.executable, "-c", FIRST_FILL]
    first = [float(subprocess.run(fresh, capture_output=True, text=True, check=True).stdout) for _ in range(runs)]
    print(f"first fill in a fresh process, numba's cache warm: {statistics.median(first):.2f} s (bar 1)")


def transformer(runs: int) -> None:
    """The parameters of a GPT-2 small: 124 M, most of them normal, each under its own name."""
    d, shapes = 768, {"wte": (50257, 768), "wpe": (1024, 768)}
    for i in range(12):
        shapes |= {f"h.{i}.qkv": (3 * d, d), f"h.{i}.o": (d, d), f"h.{i}.up": (4 * d, d), f"h.{i}.down": (d, 4 * d)}
        shapes |= {f"h.{i}.{n}": (d,) for n in ("ln_1", "ln_2", "qkv_b", "o_b", "up_b", "down_b")}
    tensors, law = {name: torch.empty(shape) for name, shape in shapes.items()}, init.normal(std=0.02)
    ours = lambda: [init.fill_(w, law, name=name) for name, w in tensors.items()]  # noqa: E731
    theirs = lambda: [nn.init.normal_(w, std=0.02) for w in tensors.values()]  # noqa: E731
    line("GPT-2 small, all normal", *in_turn(runs, ours, theirs), None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller tensors, fewer runs")
    quick = parser.parse_args().quick
    runs, n = (3, 1 << 22) if quick else (7, 1 << 26)
    print(machine())
    print(f"{'':<34}{'ours':>13}{'torch':>13}{'ratio':>10}")
    pointwise(n, runs)
    orthogonal([512] if quick else [1024, 2048, 4096], 3)
    attention([192] if quick else [768], 3)
    transformer(3)
    growth(n, runs)
    small_and_first(runs)


if __name__ == "__main__":
    main()
