"""Rates that change: with the step, and with the depth."""

from collections.abc import Callable, Iterable
from typing import Any

from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from gainstage.nn._errors import LayerError
from gainstage.nn.drop._mask import Drop, rate

Schedule = Callable[[int], float]


def linear_schedule(start: float, stop: float, steps: int, *, wait: int = 0) -> Schedule:
    r"""A line from `start` to `stop` over `steps`, constant before and after.

    $$ s(t) = \text{start} + (\text{stop} - \text{start}) \min\!\left(1, \max\!\left(0,
       \tfrac{t - \text{wait}}{\text{steps}}\right)\right) $$

    Args:
        start: the value up to step `wait`.
        stop: the value from step `wait + steps` on.
        steps: length of the line, at least 1.
        wait: steps before it begins.

    Returns:
        A function of the step's number.

    Raises:
        LayerError: `steps` is below 1 or `wait` below 0.

    Example:
        >>> [linear_schedule(0, 1, 4, wait=1)(step) for step in range(7)]
        [0.0, 0.0, 0.25, 0.5, 0.75, 1.0, 1.0]

    References:
        Ghiasi, Lin, Le, *DropBlock*, NeurIPS 2018 (the rate rises from 0 over the training).
    """
    if steps < 1 or wait < 0:
        raise LayerError(f"steps is {steps} and wait is {wait}: expected at least 1 step, and a wait of 0 or more.")

    def value(step: int) -> float:
        done = min(1.0, max(0.0, (step - wait) / steps))
        return (1 - done) * start + done * stop

    return value


def depth_rates(p: float, depth: int) -> list[float]:
    r"""Rates for the `depth` residual blocks of a network, rising linearly to `p` at the last.

    $$ p_l = \frac{l}{L}\, p, \qquad l = 1, \dots, L $$

    Args:
        p: rate of the last block, 0 to 1.
        depth: number of blocks.

    Returns:
        One rate for each block.

    Raises:
        LayerError: `p` is not within 0 to 1.

    Example:
        >>> depth_rates(0.5, 4)
        [0.125, 0.25, 0.375, 0.5]

    References:
        Huang, Sun, Liu, Sedra, Weinberger, *Deep Networks with Stochastic Depth*, ECCV 2016.
    """
    rate(p)
    return [p * block / depth for block in range(1, depth + 1)]


class RateScheduler:
    """Sets the rate of layers at every step: their own rate times `schedule(step)`.

    Works on every layer of `gainstage.nn.drop`, on torch's dropout modules, and on any other module given in a list
    that holds its rate in `.p`. The first rates are set at once; call `step()` after each optimizer step.

    Args:
        layers: a model (all dropout in it), or the layers themselves.
        schedule: factor at step 0, 1, ..., for instance `linear_schedule(0, 1, 1000)`.

    Raises:
        LayerError: there is no layer with a rate, or a factor leads out of 0 to 1; no rate is changed then.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.4))
        >>> scheduler = RateScheduler(model, linear_schedule(0, 1, steps=2))
        >>> seen = [model[1].p]
        >>> for _ in range(3):
        ...     scheduler.step()
        ...     seen.append(model[1].p)
        >>> seen
        [0.0, 0.2, 0.4, 0.4]
    """

    def __init__(self, layers: nn.Module | Iterable[nn.Module], schedule: Schedule) -> None:
        self._layers: list[Any] = (
            [layer for layer in layers.modules() if isinstance(layer, (Drop, _DropoutNd))]
            if isinstance(layers, nn.Module)
            else list(layers)
        )
        without = [
            type(layer).__name__ for layer in self._layers if not isinstance(getattr(layer, "p", None), float | int)
        ]
        if without or not self._layers:
            found = f"{without[0]} has no rate p" if without else "there is no dropout layer to schedule"
            raise LayerError(f"{found}. Give a model with dropout in it, or a list of layers that hold a number p.")
        self._schedule = schedule
        self._base = [float(layer.p) for layer in self._layers]
        self._step = 0
        self._set(0)

    def step(self) -> None:
        """Go to the next step."""
        self._set(self._step + 1)

    def state_dict(self) -> dict[str, Any]:
        """The step and the layers' own rates."""
        return {"step": self._step, "base": list(self._base)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state: sets the rates of that step."""
        if len(state["base"]) != len(self._layers):
            raise LayerError(f"the state has {len(state['base'])} rates, and there are {len(self._layers)} layers.")
        self._set(state["step"], list(state["base"]))

    def _set(self, step: int, base: list[float] | None = None) -> None:
        base = self._base if base is None else base
        factor = self._schedule(step)
        rates = [rate(p * factor, f"the rate of {type(layer).__name__} at step {step}")
                 for layer, p in zip(self._layers, base, strict=True)]  # fmt: skip
        for layer, p in zip(self._layers, rates, strict=True):
            layer.p = p
        self._base, self._step = base, step
