"""Ask every rule of `gs.check` for its numbers on the healthy models of the tests, and print them beside its limits.

python benchmarks/healthy_distribution.py            # the extremes of every quantity, with the model
python benchmarks/healthy_distribution.py --train    # of the rules that train or draw many starts: some minutes more
python benchmarks/healthy_distribution.py FWD BWD301 # some rules

Of a model counts the number that is nearest to the limits. Where it is beyond one, another condition of the rule keeps
it silent: no model here is given a warning. Rules about the step are asked with Adam at 1e-3, and with SGD at 0.01,
momentum 0.9, a weight decay of 5e-4 and a training step that clips at 1.
"""

import argparse
import sys
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from math import isfinite
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))

import healthy_any  # noqa: F401
import healthy_norm  # noqa: F401
import healthy_optimizer  # noqa: F401
import healthy_output  # noqa: F401
from healthy import HEALTHY
from healthy_hf import HUGGING_FACE

from gainstage.check import RULES, Evidence, NotMeasured, Quantity
from gainstage.errors import GainstageError
from gainstage.run import Subject, call, objective

Row = tuple[str, str, Quantity]  # rule, setting, what it measures
SLOW = ("TRN",)
STEPS = ("OPT", "REG704")  # asked with optimizers of their own


def numbers(evidence: Evidence, codes: Iterable[str]) -> Iterator[tuple[str, Quantity, float]]:
    """Every finite number that these rules measure: the rule, the quantity, the value."""
    for code in codes:
        try:
            values = RULES[code].values(evidence)
        except (NotMeasured, GainstageError):
            continue
        yield from ((code, value.quantity, value.number) for value in values if isfinite(value.number))


def settings(build: Callable[[], Subject], codes: list[str], train: bool, seed: int) -> Iterator[tuple[str, Any, Any]]:
    """The evidence of one healthy model under each setting, with the rules that are asked there."""
    for name in ("", "Adam", "SGD"):
        asked = [code for code in codes if code.startswith(STEPS) == bool(name)]
        if not asked:
            continue
        torch.manual_seed(seed)
        subject = build()
        given: dict[str, Any] = {"target": subject.target, "loss": subject.loss, "seed": seed, "train": train}
        trained = [p for p in subject.model.parameters() if p.requires_grad]
        if name == "Adam":
            given["optimizer"] = Adam(trained, 1e-3)
        elif name:
            given["optimizer"] = SGD(trained, 0.01, momentum=0.9, weight_decay=5e-4)
            given["train_step"] = clipped(subject, given["optimizer"])
        yield name, Evidence(subject.model, subject.example, **given), asked


def clipped(subject: Subject, optimizer: torch.optim.Optimizer) -> Callable[[], Tensor]:
    """A step of the usual loop."""

    def step() -> Tensor:
        optimizer.zero_grad()
        loss, _ = objective(call(subject.model, subject.example), subject.target, subject.loss)
        loss.backward()
        nn.utils.clip_grad_norm_(subject.model.parameters(), 1.0)
        optimizer.step()
        return loss

    return step


def distribution(codes: list[str], seeds: int, train: bool) -> None:
    """Print the extremes of every quantity over the zoo, a row a quantity."""
    rows: dict[Row, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    zoo = {**HEALTHY, **HUGGING_FACE}
    for model, build in zoo.items():
        for seed in range(seeds):
            for setting, evidence, asked in settings(build, codes, train, seed):
                for code, quantity, number in numbers(evidence, asked):
                    rows[code, setting, quantity][model].append(number)
    print(f"{len(zoo)} models, {seeds} seed{'s' if seeds > 1 else ''}")
    for (code, setting, quantity), found in sorted(rows.items(), key=lambda row: row[0][:2]):
        show(f"{code} {RULES[code].name}{setting and f' ({setting})'}: {quantity.of}", quantity, found)


def show(title: str, quantity: Quantity, found: dict[str, list[float]]) -> None:
    """One row: the limits, and the models' numbers, each the nearest of a model to the limits."""
    mildest = list(quantity.limits.values())[-1]
    high = median(number for of_model in found.values() for number in of_model) <= mildest
    values = sorted((max(of_model) if high else min(of_model), model) for model, of_model in found.items())
    few = "  ".join(f"{values[round(share * (len(values) - 1))][0]:.2g}" for share in (0.05, 0.5, 0.95))
    limits = ", ".join(f"{severity} {limit:g}" for severity, limit in quantity.limits.items())
    extremes = values[: -4 if high else 3 : -1 if high else 1]
    print(
        f"{title}\n    {limits}; {len(values)} models, 5, 50, 95 %  {few}\n"
        f"    {'highest' if high else 'lowest'}  {'  '.join(f'{value:.2g} {model}' for value, model in extremes)}",
        flush=True,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("codes", nargs="*", help="beginnings of codes")
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    begins = tuple(options.codes) or tuple(RULES)
    chosen = [code for code in sorted(RULES) if code.startswith(begins) and code.startswith(SLOW) == options.train]
    distribution(chosen, options.seeds, options.train)
