"""What a repaired network is judged by: the check, what the lesson demands, and a hundred steps of training."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from math import inf, log
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from gainstage.check import Finding, Report, check
from gainstage.lab._data import digits
from gainstage.run import Subject
from gainstage.signal import record
from gainstage.train import accuracy, fit, minibatches, one_thread

STEPS = 100
GUESS = log(10)  # cost of ten equal probabilities, in nats


@dataclass(frozen=True)
class Demand:
    """One thing that the lesson demands of the network, measured on it.

    Attributes:
        says: what it is, with its unit.
        measured: the number.
        least, most: the range in which it must be.
    """

    says: str
    measured: float
    least: float = -inf
    most: float = inf

    @property
    def met(self) -> bool:
        """Whether the number is in its range; NaN is in none."""
        return self.least <= self.measured <= self.most


@dataclass(frozen=True)
class Trained:
    """What a hundred steps of training made of the network.

    Attributes:
        losses: before each step; fewer where the loss was no finite number any more.
        score: what it can do afterwards.
        needed: what it must be able to do.
        says: what the score is.
        steps: that were asked for.
        guess: cost of somebody who knows nothing.
    """

    losses: tuple[float, ...]
    score: float
    needed: float
    says: str = "share of the test images that it gets right"
    steps: int = STEPS
    guess: float = GUESS

    @property
    def learned(self) -> bool:
        """Whether it went through all its steps and reached the score."""
        return len(self.losses) == self.steps and self.score >= self.needed


@dataclass(frozen=True)
class Judgement:
    """All three together.

    Attributes:
        report: of `gs.check`.
        demands: of the lesson.
        trained: see `Trained`; None where the lesson trains nothing.
    """

    report: Report
    demands: tuple[Demand, ...] = ()
    trained: Trained | None = None
    findings: tuple[Finding, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "findings", self.report.findings)

    @property
    def ok(self) -> bool:
        """Nothing above a note, every demand met, and it learned."""
        return self.report.ok and all(d.met for d in self.demands) and (self.trained is None or self.trained.learned)


Train = Callable[[Subject], Trained]
Demands = Callable[[Subject], Sequence[Demand]]
Batches = Callable[[Subject], Iterable[tuple[Any, Any]]]


def judge(subject: Subject, demands: Demands | None, train: Train | None) -> Judgement:
    """The check and the demands, which leave the network as it is, and then the training, which does not."""
    report = check(
        subject.model, subject.example, target=subject.target, loss=subject.loss, optimizer=subject.optimizer
    )
    asked = tuple(demands(subject)) if demands is not None else ()
    with one_thread():
        return Judgement(report, asked, train(subject) if train is not None else None)


def on_digits(
    *, needed: float = 0.7, batch: int | None = 64, adam: float = 0.0, batches: Batches | None = None
) -> Train:
    """A hundred steps on handwritten digits, then the share of test images that it gets right in use.

    Args:
        needed: that share; guessing gives 0.1.
        batch: images in a batch; None takes as many as the example of the subject has.
        adam: rate of Adam, where the subject brings no optimizer; 0 takes plain gradient descent at a rate of 0.05.
        batches: what to train on instead, for a subject.
    """

    def train(subject: Subject) -> Trained:
        data, model = digits(), subject.model
        size = batch or len(subject.example)
        drawn = minibatches(data.x, data.y, batch_size=size, steps=STEPS, seed=1)
        steps = drawn if batches is None else batches(subject)
        own = torch.optim.Adam(model.parameters(), lr=adam) if adam else torch.optim.SGD(model.parameters(), lr=0.05)
        optimizer = subject.optimizer or own
        run = fit(model.train(), steps, loss=subject.loss or cross_entropy, optimizer=optimizer, steps=STEPS)
        return Trained(tuple(run.losses), accuracy(model, data.test_x, data.test_y), needed)

    return train


def keeps_its_level(least: float = 0.85, most: float = 1.18, *, op: str = "linear", gradient: bool = False) -> Demands:
    """The factor that a layer multiplies the level with, from the first to the last, on geometric average.

    Args:
        least, most: the range.
        op: of the sites that are compared.
        gradient: also of the gradient, on its way back.
    """

    def demands(subject: Subject) -> list[Demand]:
        tape = record(subject.model, subject.example, target=subject.target, loss=subject.loss, backward=gradient)
        sites = [site for site in tape if site.op == op]
        ways = {"signal": [site.forward.rms for site in sites if site.forward]}
        if gradient:
            ways["gradient, on its way back,"] = [site.backward.rms for site in reversed(sites) if site.backward]
        return [Demand(f"factor of the {name} a layer", _factor(levels), least, most) for name, levels in ways.items()]

    return demands


def near_one_elsewhere(most: float = 1.1) -> Demands:
    """The level of every linear layer on images that had no part in the start, near 1.

    Args:
        most: the largest factor between a level and 1.
    """

    def demands(subject: Subject) -> list[Demand]:
        tape = record(subject.model, digits().test_x, backward=False)
        levels = [site.forward.rms for site in tape if site.op == "linear" and site.forward]
        worst = max(max(level, 1 / level) if level else inf for level in levels)
        return [Demand("largest factor between a layer's level and 1, on other images", worst, most=most)]

    return demands


def _factor(levels: Sequence[float]) -> float:
    """What one layer multiplies by, on geometric average."""
    return float((levels[-1] / levels[0]) ** (1 / max(len(levels) - 1, 1))) if levels[0] else 0.0
