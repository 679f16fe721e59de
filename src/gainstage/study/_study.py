"""A study: arms times seeds, on one data set, with the learning rate of each arm tuned."""

import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any, cast

from gainstage._visible import shown
from gainstage.study._arm import ARMS, Arm, check_count, is_finite
from gainstage.study._data import Data, load
from gainstage.study._engine import run, tasks
from gainstage.study._errors import StudyError
from gainstage.study._init_text import init_of
from gainstage.study._measured import ArmResult
from gainstage.study._own import OwnTask, Train, arm_of, run_own
from gainstage.study._progress import Progress, Tally, show_progress
from gainstage.study._results import Results
from gainstage.study._store import Store
from gainstage.study._trial import Trial
from gainstage.study._tuning import tune
from gainstage.study._work import Work

TUNING = 1_000_000  # seeds from here on choose learning rates, those below are reported
COUNTS = {"seeds": 10_000, "steps": 100_000_000, "looks": 100_000, "tuning_seeds": 1_000}
RATES, TRIALS, DEVICE = 100, 1_000_000, re.compile(r"cpu|cuda(:[0-9]{1,3})?")


@dataclass(frozen=True, kw_only=True)
class Study:
    """Does it matter here? Arms times seeds, compared fairly.

    All arms see the same data, and a seed means the same batches in the same order for all of them, so that their
    differences are paired. An arm whose `lr` is `"tuned"` gets the best of a log grid by the validation part, with
    seeds that are not reported; what is reported is the score on the test part at the end of training.

    Args:
        arms: at least one, at most 10,000; see `grid`. With the seeds at most 1,000,000 trials.
        data: `"digits"`, `"mnist1d"`, `"breast_cancer"`, `"wine"`, `"iris"`, `"diabetes"`, `"mnist5k"`; or `(x, y)`,
            a dataset or a loader.
        seeds: how many, 0, 1, ..., at most 10,000; or which.
        steps: updates of every trial, at most 100,000,000.
        looks: points of the learning curves, at most 100,000.
        rates: learning rates to try, at most 100, and no others; by default five half decades that suit the optimizer,
            and up to two more where the best one is at an end.
        tuning_seeds: how many runs choose the learning rate, at most 1,000.
        split_seed: decides which samples are for training, validation and test; a whole number from 0 on.
        margin: the smallest difference in score that matters to you.
        device: `"cpu"`, `"cuda"` or one of them, `"cuda:1"`.
        train: your own training instead of ours: `train(arm, seed)` returns a score, higher is better, or the scores
            of a learning curve, the last one at its end. Arms are then dicts, whose `lr` may be `"tuned"` by `rates`;
            `data`, `steps` and `looks` are not used. It must give the same score for the same arm and seed, and it
            should draw its batches by the seed alone, so that differences are paired. Trials are kept by the hash of
            its file.
        score: what `train` returns, in a word.
        guess: with `train`, the score of a model that has learned nothing: a run that returns NaN counts with it.

    Raises:
        StudyError: there are no arms, two of them are equal, or a number is out of its range.

    Example:
        >>> from gainstage.study import Serial, Study, grid
        >>> arms = grid(init=["he_normal", "zeros"], depth=2, width=8, lr=0.01)
        >>> study = Study(arms=arms, data="wine", seeds=2, steps=40)
        >>> results = study.run(executor=Serial())
        >>> results.summary(0).mean > results.summary(1).mean
        True
    """

    arms: Sequence[Arm | Mapping[str, Any]]
    data: Any = "digits"
    seeds: int | Sequence[int] = 5
    steps: int = 300
    looks: int = 20
    rates: Sequence[float] | None = None
    tuning_seeds: int = 1
    split_seed: int = 0
    margin: float = 0.01
    device: str = "cpu"
    train: Train | None = None
    score: str = "score"
    guess: float = -inf

    def __post_init__(self) -> None:
        if not self.arms:
            raise StudyError("a study needs at least one arm: arms=gs.grid(init=['auto', 'torch']).")
        if len(self.arms) > ARMS:
            raise StudyError(f"a study has at most {ARMS:,} arms; got {len(self.arms):,}.")
        self._check_kind()
        told: dict[str, int] = {}
        for i, arm in enumerate(self.own_arms):
            if isinstance(arm.init, str):
                init_of(arm.init)
            first = told.setdefault(repr(arm.key()), i)
            if first != i:
                raise StudyError(f"arms {first} and {i} are the same: {arm}. Leave one of them out.")
        for name, most in COUNTS.items():
            if name != "seeds" or isinstance(self.seeds, int):
                check_count(name, getattr(self, name), most)
        self._check_seeds()
        rates = self.rates
        if rates is not None and not (0 < len(rates) <= RATES and all(is_finite(rate) and rate > 0 for rate in rates)):
            raise StudyError(
                f"rates are {shown(rates)}: expected up to {RATES} learning rates above 0, such as [1e-3, 1e-2]."
            )
        if not (is_finite(self.margin) and self.margin >= 0):
            raise StudyError(f"margin is {shown(self.margin)}: expected a score difference from 0 on, such as 0.01.")
        if not (isinstance(self.device, str) and DEVICE.fullmatch(self.device)):
            raise StudyError(f"device is {shown(self.device)}: expected 'cpu', 'cuda' or 'cuda:1'.")

    def _check_kind(self) -> None:
        """Arms are dicts where the training is the user's, and `Arm`s where it is ours."""
        if self.train is not None and not callable(self.train):
            raise StudyError(f"train is {shown(self.train)}: expected a function, train(arm, seed) -> score.")
        wrong = [arm for arm in self.arms if isinstance(arm, Mapping) != (self.train is not None)]
        if wrong and self.train is None:
            raise StudyError(
                f"an arm is {shown(wrong[0])}: expected gs.Arm(...), or Study(train=...) for arms of dicts."
            )
        if wrong:
            raise StudyError(f"an arm is {shown(wrong[0])}: with train= every arm is a dict, such as {{'width': 64}}.")

    @property
    def own_arms(self) -> tuple[Arm, ...]:
        """The arms; a dict of `train` as the arm that stands for it."""
        return tuple(arm if isinstance(arm, Arm) else arm_of(arm, cast("Train", self.train)) for arm in self.arms)

    def _check_seeds(self) -> None:
        seeds = self.seed_list
        whole = all(isinstance(seed, int) and 0 <= seed < TUNING for seed in seeds)
        if not whole or not 0 < len(set(seeds)) == len(seeds) <= COUNTS["seeds"]:
            raise StudyError(
                f"seeds are {shown(self.seeds)}: expected how many, or different numbers from 0 to {TUNING - 1:,}, at "
                f"most {COUNTS['seeds']:,}."
            )
        if (trials := len(seeds) * len(self.arms)) > TRIALS:
            raise StudyError(f"seeds and arms make {trials:,} trials: expected at most {TRIALS:,}.")
        if (
            isinstance(self.split_seed, bool)
            or not isinstance(self.split_seed, int)
            or not 0 <= self.split_seed < 2**63
        ):
            raise StudyError(f"split_seed is {shown(self.split_seed)}: expected a whole number from 0 on.")

    @property
    def seed_list(self) -> tuple[int, ...]:
        """The seeds that are reported."""
        return tuple(range(self.seeds)) if isinstance(self.seeds, int) else tuple(self.seeds)

    def run(
        self,
        *,
        executor: Executor | None = None,
        store: Store | str | Path | None = None,
        on_done: Sequence[Callable[[Progress], object]] = (),
        progress: bool | Tally = False,
    ) -> Results:
        """Carry out all trials that the store does not have, and compare.

        Every completed trial is in the store at once, so a run that was interrupted goes on where it ended.

        Args:
            executor: anything with `submit` like `concurrent.futures.Executor`; a process on each core by default.
            store: a file, or an open `Store`; by default outcomes are kept in memory only.
            on_done: functions that are told the `Progress`.
            progress: shows how far it is and the time that is left, on standard error; or the `Tally` to count by.

        Returns:
            The results of all arms and seeds.

        Raises:
            StudyError: an arm cannot be built or trained, the data do not fit, or the store cannot be used. What was
                completed stays in the store.
        """
        data = None if self.train is not None else load(self.data, seed=self.split_seed)
        fingerprint = "" if data is None else data.fingerprint
        arms = self.own_arms
        with ExitStack() as opened:
            if not isinstance(store, Store):
                store = opened.enter_context(Store(store))
            told = list(on_done)
            if progress is not False:
                tally = Tally(len(arms) * len(self.seed_list)) if progress is True else progress
                told.append(opened.enter_context(show_progress(tally)))
            work = Work(*self._done_by(data), store, executor, told, opened)
            tuned = tune(
                arms,
                lambda arm, seed: self._trial(arm, seed, fingerprint),
                lambda trials: work.carry_out("tuning", trials),
                seeds=range(TUNING, TUNING + self.tuning_seeds),
                rates=self.rates,
            )
            chosen = [replace(arm, lr=found.lr) for arm, found in zip(arms, tuned, strict=True)]
            trials = [self._trial(arm, seed, fingerprint) for arm in chosen for seed in self.seed_list]
            outcomes = work.carry_out("trials", trials)
        n = len(self.seed_list)
        made = tuple(
            ArmResult(arm, found.lr, found.tried, found.at_edge, tuple(outcomes[i * n : (i + 1) * n]))
            for i, (arm, found) in enumerate(zip(arms, tuned, strict=True))
        )
        if data is None:
            return Results("a training of your own", self.score, self.guess, 0, self.margin, self.seed_list, made)
        resolution = 1 / len(data.test.x) if data.classes else 0.0
        return Results(
            data.name, data.score_name, data.guess, self.steps, self.margin, self.seed_list, made, resolution
        )

    def _done_by(self, data: Data | None) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """What makes tasks of trials, and what carries out a task."""
        if data is None:
            train, guess = cast("Train", self.train), self.guess
            return (lambda trials: [OwnTask((trial,), train, guess) for trial in trials]), run_own
        tried: dict[str, tuple[int, bool]] = {}
        return (lambda trials: tasks(trials, data, tried)), run

    def _trial(self, arm: Arm, seed: int, fingerprint: str) -> Trial:
        steps, looks = (self.steps, self.looks) if self.train is None else (0, 0)
        return Trial(arm, seed, steps, looks, fingerprint, self.device)
