"""Trials in, outcomes out: what the store does not have goes to the executor, and comes back into the store."""

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import ExitStack
from typing import Any

from gainstage.study._engine import Task
from gainstage.study._errors import StudyError
from gainstage.study._own import OwnTask
from gainstage.study._pool import Pool
from gainstage.study._progress import Progress
from gainstage.study._store import Store
from gainstage.study._trial import Outcome, Trial

AnyTask = Task | OwnTask


class Work:
    """A study's tasks, store and executor.

    Args:
        share: makes tasks of trials.
        run: carries out a task, in whatever process it is.
        store: where outcomes are kept.
        executor: None for a process on each core, started when there is something to do.
        on_done: functions that are told the `Progress`.
        opened: closes the processes.
    """

    def __init__(
        self,
        share: Callable[[Sequence[Trial]], Sequence[AnyTask]],
        run: Callable[[Any], tuple[Outcome, ...]],
        store: Store,
        executor: Executor | None,
        on_done: Sequence[Callable[[Progress], object]],
        opened: ExitStack,
    ) -> None:
        self._share, self._run, self._store, self._executor = share, run, store, executor
        self._on_done, self._opened = on_done, opened

    def carry_out(self, stage: str, trials: Sequence[Trial]) -> list[Outcome]:
        """The outcome of each trial, from the store or by training.

        A task with a trial that the store does not have is done whole: the numbers of networks that are trained as one
        depend in their last bits on how many they are.

        Raises:
            StudyError: a task raised; those that were running are waited for and kept, the others are not begun.
        """
        keys = [trial.key for trial in trials]
        known = self._store.known(keys)
        had = len(known)

        def keep(task: AnyTask, outcomes: Sequence[Outcome]) -> None:
            self._store.keep(zip(task.trials, outcomes, strict=True))
            for trial, outcome in zip(task.trials, outcomes, strict=True):
                known.setdefault(trial.key, outcome)
            self._tell(Progress(stage, len(known), len(trials), had))

        self._tell(Progress(stage, had, len(trials), had))
        if had < len(keys):
            shared = self._share(trials)
            self._do([task for task in shared if any(trial.key not in known for trial in task.trials)], keep)
        return [known[key] for key in keys]

    def _do(self, wanted: Sequence[AnyTask], keep: Callable[[AnyTask, Sequence[Outcome]], None]) -> None:
        if self._executor is None:
            self._executor = self._opened.enter_context(Pool())
        running: dict[Future[tuple[Outcome, ...]], AnyTask] = {}

        def collect(timeout: float | None) -> None:
            for future in wait(running, timeout, FIRST_COMPLETED).done:
                keep(running.pop(future), future.result())

        try:
            for task in wanted:
                running[self._executor.submit(self._run, task)] = task
                collect(timeout=0)
            while running:
                collect(timeout=None)
        except BaseException as error:
            left = [future for future in running if not future.cancel()]
            if isinstance(error, StudyError):  # those that have begun are waited for
                for future in wait(left).done:
                    if future.exception() is None:
                        keep(running[future], future.result())
            raise

    def _tell(self, progress: Progress) -> None:
        for told in self._on_done:
            told(progress)
