"""Stop when it gets no better, say why, and go back to the best."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from gainstage.train._checkpoint import Stateful, load_states
from gainstage.train._criteria import Criterion, Smooth
from gainstage.train._errors import TrainError
from gainstage.train._loop import Epoch
from gainstage.train._monitor import Mode, mode_of
from gainstage.train._processes import agreed, gathered, rank, together
from gainstage.train._storage import read, snapshot, write

_STATE = ("metric", "mode", "epoch", "last", "values", "training", "best", "best_epoch", "progress", "wait")


class EarlyStopping:
    r"""Watch one number an epoch, keep the state at its best, and stop when it gets no better.

    An epoch counts as progress if $v < r - \delta$ (or $v > r + \delta$), where $r$ is the value of the last progress,
    at first the baseline, and $\delta$ is `min_delta`, or `min_delta` times $|r|$. The best is the best value seen,
    however small its lead: `min_delta` decides about waiting alone. A value that is not finite is never progress and
    never the best.

    Where several processes run, all of them call `step`; the mean of their values decides, so all stop together.
    A process that has no value passes None.

    Args:
        metric: its name; in `fit` the one of `validate`.
        patience: epochs without progress after which to stop; None to stop for other reasons only.
        min_delta: the least progress, at least 0.
        relative: `min_delta` is a share of the value to improve on, whatever its sign.
        cumulative: small steps add up: $r$ is the value of the last progress. `False` measures each step by itself: $r$
            is then the best value so far, as with `cumulative_delta=False` in ignite.
        mode: `"min"` or `"max"`; by default what the metric's name says, see `mode_of`.
        baseline: progress begins beyond this value.
        start_from: epochs at the start that are only checked for values that are not finite.
        stopping_threshold: stop once the value is at least as good as this.
        divergence_threshold: stop once the value is at least as bad as this.
        on_nonfinite: `"stop"` at a value that is not finite, or `"wait"`: one more epoch without progress.
        smooth: `moving_average(decay)` or `moving_median(window)`; what is said of the value above is then said of the
            smoothed one. Values that are not finite stay outside.
        criterion: `GL`, `PQ` or `UP`, or any function of the validation and training values that returns a reason.
        keep: what to keep at its best, for instance `{"model": model, "optimizer": adam, "averaged": ema}`: anything
            with a state.
        path: keep it in this file, which all processes can read, instead of in memory (on the CPU).

    Attributes:
        epoch: how many epochs it has seen.
        best, best_epoch: the best value and its epoch, counted from 0; None before there is one.
        reason: why to stop, a sentence; None to go on.

    Raises:
        TrainError: settings that cannot work.

    Example:
        >>> stopper = EarlyStopping("val_loss", patience=2)
        >>> [stopper.step(loss) for loss in (1.0, 0.5, 0.6, 0.55)]
        [False, False, False, True]
        >>> stopper.reason
        'val_loss has not fallen below 0.5 (epoch 1) for 2 epochs'

    References:
        Prechelt, *Early stopping — but when?*, 1998.
    """

    def __init__(
        self,
        metric: str = "val_loss",
        *,
        patience: int | None = 10,
        min_delta: float = 0.0,
        relative: bool = False,
        cumulative: bool = True,
        mode: Mode | None = None,
        baseline: float | None = None,
        start_from: int = 0,
        stopping_threshold: float | None = None,
        divergence_threshold: float | None = None,
        on_nonfinite: Literal["stop", "wait"] = "stop",
        smooth: Smooth | None = None,
        criterion: Criterion | None = None,
        keep: Mapping[str, Stateful] | None = None,
        path: str | Path | None = None,
    ) -> None:
        self.metric = metric
        self.mode: Mode = mode_of(metric) if mode is None else mode
        self.patience, self.min_delta, self.relative, self.baseline = patience, min_delta, relative, baseline
        self.cumulative = cumulative
        self.start_from, self.on_nonfinite, self.smooth, self.criterion = start_from, on_nonfinite, smooth, criterion
        self.stopping_threshold, self.divergence_threshold = stopping_threshold, divergence_threshold
        self.keep, self.path = dict(keep or {}), None if path is None else Path(path)
        self._check_settings()
        self.reset()

    def reset(self) -> None:
        """Forget all it has seen and keeps, to watch another run under the same settings.

        A file at `path` stays until the new run has a best epoch, which is written over it.

        Example:
            >>> stopper = EarlyStopping("val_loss", patience=1)
            >>> stopper.step(0.5), stopper.step(0.6), stopper.reset(), stopper.step(0.9), stopper.best
            (False, True, None, False, 0.9)
        """
        self.epoch = self.wait = 0
        self.best: float | None = None
        self.best_epoch: int | None = None
        self.progress: float | None = None  # the value of the last progress
        self.last: float | None = None
        self.values: list[float] = []
        self.training: list[float | None] = []
        self.reason: str | None = None
        self._kept: dict[str, Any] | None = None
        self._on_disk: float | None = None  # what a run that was resumed had found best

    def __call__(self, epoch: Epoch) -> bool:
        """`fit(..., on_epoch=[stopper])`: take the metric from what an epoch gave."""
        if self.metric not in epoch.metrics:
            known = ", ".join(map(repr, epoch.metrics))
            raise TrainError(f"the epoch gave no {self.metric!r}, only {known}: return it from validate(model)")
        return self.step(epoch.metrics[self.metric], train=epoch.loss)

    def step(self, value: float | None, *, train: float | None = None) -> bool:
        """Take the value of one epoch; True to stop, and `reason` then says why.

        Args:
            value: of the metric; None in a process that did not measure it.
            train: the training error of the epoch, for `PQ`.

        Raises:
            TrainError: no process has a value, or a criterion lacks what it needs; the epoch then does not count.
        """
        value, train = agreed(value), agreed(train)
        if value is None:
            raise TrainError("no process gave a value: call step(value) with a number in at least one")
        before, reason = self.state_dict(), self.reason
        try:
            improved = self._take(value, train)
            self.reason = self._verdict()
            if improved and self.keep:
                self._store()
        except BaseException:
            self._put(before)
            self.reason = reason
            raise
        return self.reason is not None

    def restore(self) -> float:
        """Put everything in `keep` back to the best epoch; all or nothing.

        Returns:
            The value there.

        Raises:
            TrainError: nothing was kept, or it does not fit.
        """
        if not self.keep:
            raise TrainError('nothing was kept to restore: write EarlyStopping(..., keep={"model": model})')
        with together():
            if self.best is None:
                raise TrainError(f"there is no best epoch yet: {self.metric} was never finite after the warm-up")
            kept: dict[str, Any] | None = self._kept if self.path is None else read(self.path)
            if kept is None:
                raise TrainError("the state of the best epoch is not in memory: give the path= of the earlier run")
            if missing := sorted(set(self.keep) - set(kept["states"])):
                raise TrainError(f"no {missing[0]!r} was kept, only {', '.join(map(repr, kept['states']))}")
            load_states(self.keep, snapshot(kept["states"]))
        return float(kept["best"])

    def state_dict(self) -> dict[str, Any]:
        """What it has seen, and what it keeps in memory; not the settings."""
        state = {name: getattr(self, name) for name in _STATE}
        return state | {"values": list(self.values), "training": list(self.training), "kept": self._kept}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned, under the settings given now: a longer patience applies at once.

        Raises:
            TrainError: the state is of another metric or mode.
        """
        if missing := [name for name in (*_STATE, "kept") if name not in state]:
            raise TrainError(f"this is no state of an EarlyStopping: it has no {missing[0]!r}")
        ours, theirs = (self.metric, self.mode), (state["metric"], state["mode"])
        if ours != theirs:
            raise TrainError(
                f"the stored state watches {theirs[0]!r} ({theirs[1]}), this one {ours[0]!r} ({ours[1]}): what was "
                "best there says nothing here"
            )
        kept = snapshot(state["kept"])
        self._on_disk = gathered(self._best_in_file())[0]  # the first process writes the file, so it knows
        if self.path is not None and self._on_disk is None and kept is not None:
            self._write(kept)
        self._put({**state, "kept": kept if self.path is None else None})
        self.reason = self._verdict()

    def _put(self, state: Mapping[str, Any]) -> None:
        for name in _STATE:
            setattr(self, name, state[name])
        self.values, self.training, self._kept = list(state["values"]), list(state["training"]), state["kept"]

    def _take(self, value: float, train: float | None) -> bool:
        """Count the epoch; whether it is the best so far."""
        epoch, self.last = self.epoch, value
        self.epoch += 1
        if epoch < self.start_from:
            return False
        if not math.isfinite(value):
            self.wait += 1
            return False
        self.values.append(value)
        self.training.append(train)
        value, goal = self._smoothed(), self._to_beat()
        if goal is None or self._better(value, goal, self.min_delta * (abs(goal) if self.relative else 1.0)):
            self.progress, self.wait = value, 0
        else:
            self.wait += 1
            if not self.cumulative and goal is not None and self._better(value, goal):
                self.progress = value  # no progress, but the next step is measured from here
        if self.best is not None and not self._better(value, self.best):
            return False
        self.best, self.best_epoch = value, epoch
        return True

    def _store(self) -> None:
        """Keep the states as they are now."""
        kept = {"best": self.best, "epoch": self.best_epoch}
        states = {name: thing.state_dict() for name, thing in self.keep.items()}
        if self.path is None:
            self._kept = {**kept, "states": snapshot(states)}
        elif self._on_disk is None or self.best is None or not self._better(self._on_disk, self.best):
            # A run that was killed after it wrote its best, and resumed from before, must not overwrite it with worse.
            self._write({**kept, "states": states})
            self._on_disk = None

    def _write(self, kept: dict[str, Any]) -> None:
        assert self.path is not None
        with together():
            if rank() == 0:
                write(self.path, kept)

    def _best_in_file(self) -> float | None:
        return float(read(self.path)["best"]) if self.path is not None and self.path.is_file() else None

    def _verdict(self) -> str | None:
        """Why to stop: a function of what was seen and of the settings alone."""
        name, good = self.metric, "below" if self.mode == "min" else "above"
        if self.last is None:
            return None
        if not math.isfinite(self.last):
            if self.on_nonfinite == "stop":
                return f"{name} is {self.last} in epoch {self.epoch - 1}"
        elif self.values:
            value = self._smoothed()
            if self.divergence_threshold is not None and not self._better(value, self.divergence_threshold):
                return f"{name} diverges: {value:.6g} is not {good} {self.divergence_threshold:.6g}"
            if self.stopping_threshold is not None and not self._better(self.stopping_threshold, value):
                return f"{name} has reached {self.stopping_threshold:.6g}: it is {value:.6g}"
            if self.criterion is not None and (said := self.criterion(self.values, self.training)) is not None:
                return said
        if self.patience is not None and self.wait >= self.patience:
            return f"{name} {self._stuck()} for {self.wait} epoch{'s' * (self.wait != 1)}"
        return None

    def _stuck(self) -> str:
        goal = self._to_beat()
        if goal is None:
            return "was not finite"
        verb = "fallen below" if self.mode == "min" else "risen above"
        least = f" by more than {self.min_delta:.3g}{' of it' * self.relative}" if self.min_delta else ""
        where = f" (epoch {self.best_epoch})" if goal == self.best else ""
        return f"has not {verb} {goal:.6g}{where}{least}"

    def _to_beat(self) -> float | None:
        return self.baseline if self.progress is None else self.progress

    def _smoothed(self) -> float:
        return self.values[-1] if self.smooth is None else self.smooth(self.values)

    def _better(self, value: float, than: float, by: float = 0.0) -> bool:
        return value < than - by if self.mode == "min" else value > than + by

    def _check_settings(self) -> None:
        if self.mode not in ("min", "max"):
            raise TrainError(f'mode must be "min" or "max"; got {self.mode!r}')
        if self.patience is not None and self.patience < 1:
            raise TrainError(f"patience must be at least 1 epoch, or None for none; got {self.patience}")
        if not (math.isfinite(self.min_delta) and self.min_delta >= 0):
            raise TrainError(f"min_delta is the least progress, at least 0 in either mode; got {self.min_delta}")
        if self.start_from < 0:
            raise TrainError(f"start_from counts epochs, at least 0; got {self.start_from}")
        if self.on_nonfinite not in ("stop", "wait"):
            raise TrainError(f'on_nonfinite must be "stop" or "wait"; got {self.on_nonfinite!r}')
        if self.criterion is not None and self.mode == "max":
            raise TrainError("a criterion watches an error that falls: give one, for instance 1 - accuracy")
        if wrong := [name for name, thing in self.keep.items() if not isinstance(thing, Stateful)]:
            raise TrainError(f"keep[{wrong[0]!r}] has no state_dict and load_state_dict, so it cannot be put back")
        if self.path is not None and not self.keep:
            raise TrainError('path says where, keep says what: write keep={"model": model}')
