"""Measure what the rules of `gs.check` compare with their thresholds, over the healthy models of the tests.

python benchmarks/healthy_distribution.py            # the extremes of every quantity, with the model
python benchmarks/healthy_distribution.py --train    # plain networks at bad starts: the quantities and the accuracy
"""

import argparse
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))
from healthy import HEALTHY
from healthy_hf import HUGGING_FACE

from gainstage.check import Evidence, NotMeasured
from gainstage.check.rules.backward import first_and_last
from gainstage.check.rules.streams import levels_of
from gainstage.signal import Subject


def collapse(e: Evidence) -> float:
    found = [e.forward(e.before_zero_heads(i)) for i in e.varied_outputs()]
    return max(m.variance_between / m.mean_square for m in found) / min(1, e.input_level[0] / e.input_level[1])


def head_input(e: Evidence) -> float:
    return max(e.forward(e.feeds(h)[0]).variance_between for h in e.heads) / min(1, e.input_level[0])


def head_rms(e: Evidence) -> float:
    return max(e.forward(h).rms for h in e.heads) / max(1.0, e.input_level[1]) ** 0.5


def dead(e: Evidence) -> float:
    from gainstage.check.rules.units import _countable

    return max(e.forward(s.index).dead for s in e.tape if _countable(e, s))


def saturated(e: Evidence) -> float:
    from gainstage.check.rules.units import _hidden_squash

    return max(e.forward(s.index).saturated for s in e.tape if _hidden_squash(e, s))


def growth(e: Evidence) -> float:
    return max(levels[-1] / levels[len(levels) // 2] for _, levels in levels_of(e))


def first_over_last(e: Evidence) -> float:
    first, last = first_and_last(e)
    return first.pull / last.pull


def last_over_first(e: Evidence) -> float:
    last, first = first_and_last(e, from_the_end=True)
    return last.pull / first.pull


QUANTITIES: list[Callable[[Evidence], float]] = [
    collapse, head_input, head_rms, dead, saturated, growth, first_over_last, last_over_first
]  # fmt: skip


def measure(subject: Subject, seed: int) -> dict[str, float]:
    evidence = Evidence(subject.model, subject.example, target=subject.target, loss=subject.loss, seed=seed)
    found = {}
    for quantity in QUANTITIES:
        try:
            found[quantity.__name__] = quantity(evidence)
        except (NotMeasured, ValueError, ZeroDivisionError):  # no such site in this model, or a zero head
            continue
    return found


def healthy(seeds: int) -> None:
    rows: dict[str, list[tuple[float, str]]] = {}
    for name, build in {**HEALTHY, **HUGGING_FACE}.items():
        for seed in range(seeds):
            torch.manual_seed(seed)
            for quantity, value in measure(build(), seed).items():
                rows.setdefault(quantity, []).append((value, name))
    for quantity, values in rows.items():
        values.sort()
        low = "  ".join(f"{value:.2g} {name}" for value, name in values[: 3 * seeds : seeds])
        high = "  ".join(f"{value:.2g} {name}" for value, name in values[: -3 * seeds - 1 : -seeds])
        print(f"{quantity}, {len(values)} models x seeds\n    lowest   {low}\n    highest  {high}")


def plain(depth: int, act: type[nn.Module], start: str, scale: float) -> nn.Module:
    layers = [part for _ in range(depth - 1) for part in (nn.Linear(64, 64), act())]
    model = nn.Sequential(*layers, nn.Linear(64, 10))
    for layer in model:
        if start != "default" and isinstance(layer, nn.Linear):
            {"he": nn.init.kaiming_normal_, "orthogonal": nn.init.orthogonal_}[start](layer.weight)
            layer.weight.data *= scale
            nn.init.zeros_(layer.bias)
    return model


def train() -> None:
    from sklearn.datasets import load_digits

    data = load_digits()
    x = torch.tensor(data.data, dtype=torch.float32)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    x, y = ((x - x.mean()) / x.std())[order], torch.tensor(data.target)[order]
    cases = [(d, act, "default", 1.0) for act in (nn.ReLU, nn.Tanh, nn.GELU) for d in (3, 6, 8, 10, 12, 16, 20, 30)]
    cases += [(10, nn.ReLU, "he", s) for s in (0.7, 0.5, 0.35, 0.25, 0.15, 1.5, 2.0, 3.0)]
    cases += [(d, nn.ReLU, "he", 1.0) for d in (30, 50, 100)]
    cases += [(d, nn.Tanh, "orthogonal", s) for d, s in ((50, 1.0), (10, 2.0), (20, 2.0), (20, 3.0), (20, 5.0))]
    for case in cases:
        torch.manual_seed(0)
        found = measure(Subject(plain(*case), x[:128], y[:128], F.cross_entropy), 0)
        accuracy = [max(accuracy_of(case, seed, rate, x, y) for rate in (1e-3, 1e-4)) for seed in (0, 1)]
        shown = "  ".join(f"{k} {v:.1e}" for k, v in found.items())
        print(f"{case[0]:>3} {case[1].__name__:<5}{case[2]:<11}{case[3]:<5}accuracy {accuracy}  {shown}", flush=True)


def accuracy_of(case: tuple, seed: int, rate: float, x: torch.Tensor, y: torch.Tensor) -> float:
    torch.manual_seed(seed)
    model = plain(*case)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    batches = torch.Generator().manual_seed(seed)
    for _ in range(300):
        rows = torch.randint(1200, (64,), generator=batches)
        optimizer.zero_grad()
        F.cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()
    return round((model(x[1200:]).argmax(1) == y[1200:]).float().mean().item(), 2)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    train() if options.train else healthy(options.seeds)
