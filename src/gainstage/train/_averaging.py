"""A running average of the weights along one training run."""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from gainstage.train._batchnorm import update_batchnorm
from gainstage.train._errors import TrainError
from gainstage.train._loop import Step
from gainstage.train._soup import has_running_statistics


class WeightAverage:
    r"""The average of a model's weights over the steps of its training: SWA, or EMA with `decay`.

    $$ \text{SWA: } \bar\theta_m = \bar\theta_{m-1} + \tfrac1m (\theta_m - \bar\theta_{m-1}) \qquad
       \text{EMA: } \bar\theta_m = d\, \bar\theta_{m-1} + (1 - d)\, \theta_m $$

    The averaging is `torch.optim.swa_utils.AveragedModel`. Hand the object to `fit(on_step=[average])`, or call
    `update()` after each step of your own loop; `model(loader)` is then a module with the averaged weights.

    Args:
        model: the one that is trained.
        decay: of EMA, from 0 to below 1; SWA by default.
        start: the first step that counts, from 0. SWA starts where the learning rate is constant and the model good.
        every: count every so many steps.

    Its state is data, so that `EarlyStopping(keep={"model": model, "averaged": average})` puts the average back to the
    best epoch too, and `save_checkpoint(path, averaged=average)` keeps it; it can be copied and pickled.

    Attributes:
        count: how many states were averaged.

    Raises:
        TrainError: `decay` or `every` out of range.

    Example:
        >>> model = nn.Linear(1, 1, bias=False)
        >>> average = WeightAverage(model)
        >>> for value in (1.0, 2.0, 6.0):
        ...     _ = nn.init.constant_(model.weight, value)
        ...     average.update()
        >>> average.model().weight.item()
        3.0

    References:
        Izmailov et al., *Averaging weights leads to wider optima and better generalization*, UAI 2018.
        Polyak & Juditsky, *Acceleration of stochastic approximation by averaging*, SIAM 1992.
    """

    def __init__(self, model: nn.Module, *, decay: float | None = None, start: int = 0, every: int = 1) -> None:
        if decay is not None and not 0 <= decay < 1:
            raise TrainError(f"decay is {decay}, expected 0 or more and less than 1, for instance 0.999")
        if every < 1 or start < 0:
            raise TrainError(f"start is {start} and every is {every}: expected at least 0 and at least 1")
        self._trained = model
        self._average = AveragedModel(model, multi_avg_fn=None if decay is None else _Ema(decay))
        self._start, self._every = start, every

    @property
    def count(self) -> int:
        """How many states were averaged."""
        return int(self._average.n_averaged)

    def __call__(self, step: Step) -> None:
        """Count this step, if it is one that counts."""
        if step.number >= self._start and (step.number - self._start) % self._every == 0:
            self.update()

    def update(self) -> None:
        """Count the weights as they now are."""
        self._average.update_parameters(self._trained)

    def state_dict(self) -> dict[str, Any]:
        """The average, and of how many states it is one; not the settings."""
        return self._average.state_dict()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned.

        Raises:
            TrainError: it is the state of another model; nothing is changed.
        """
        own = self._average.state_dict()
        shapes = {name: tuple(tensor.shape) for name, tensor in own.items()}
        given = {name: tuple(getattr(tensor, "shape", ())) for name, tensor in state_dict.items()}
        if shapes != given:
            wrong = sorted(name for name in {*shapes, *given} if shapes.get(name) != given.get(name))
            raise TrainError(f"this is no state of an average of this model: {wrong[0]!r} does not fit")
        self._average.load_state_dict(state_dict)

    def model(self, loader: Iterable[Any] | None = None) -> nn.Module:
        """A new module with the averaged weights.

        Args:
            loader: batches for the statistics of batch normalization, as for `update_batchnorm`; needed where there
                are any.

        Raises:
            TrainError: nothing was averaged yet, or batch normalization without a loader.
        """
        if self.count == 0:
            raise TrainError(f"no step was counted yet: the first is step {self._start}")
        model = copy.deepcopy(self._average.module)
        with torch.no_grad():
            for mine, theirs in zip(model.buffers(), self._trained.buffers(), strict=True):
                mine.copy_(theirs)
        if has_running_statistics(model):
            if loader is None:
                raise TrainError(
                    "the model has batch normalization, whose statistics must be renewed for averaged weights: "
                    "average.model(loader)"
                )
            update_batchnorm(model, loader)
        return model


class _Ema:
    """torch's rule for an exponential average, as something that can be pickled."""

    def __init__(self, decay: float) -> None:
        self.decay = decay

    def __call__(self, averaged: Any, current: Any, count: Any) -> None:
        get_ema_multi_avg_fn(self.decay)(averaged, current, count)  # type: ignore[no-untyped-call]
