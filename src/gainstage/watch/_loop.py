"""What a watch does inside a loop that does not know of it: when to measure, and what to send."""

import time
from math import isfinite
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gainstage.errors import GainstageError
from gainstage.run import Listener, has_data, listen, named_parameters
from gainstage.watch._eager import eager
from gainstage.watch._groups import did, groups_of, named
from gainstage.watch._hooks import outermost
from gainstage.watch._locate import locate
from gainstage.watch._pack import Packed, Ranks, pack
from gainstage.watch._parameters import Parameters
from gainstage.watch._sites import Sites
from gainstage.watch._steps import Steps
from gainstage.watch.reading import Reading


class Loop(Listener):
    """Follows the passes and steps of a model, and sends a report every so many steps.

    Args:
        model, optimizers, every: as `Watch` has them.

    Attributes:
        step: updates that were asked for so far.
        skipped: of these, those that a gradient scaler left out.
    """

    def __init__(self, model: nn.Module, optimizers: tuple[Optimizer, ...], every: int) -> None:
        held = {n: p for n, p in named_parameters(model) if p.requires_grad}
        if not held or not all(has_data(p) for p in held.values()):
            raise GainstageError("the model has no trainable parameter with values; watch it where it is trained")
        self.model, self.every, self.optimizers = model, every, list(optimizers)
        self.step, self.skipped = 0, 0
        self._metrics: dict[str, float] = {}
        self._names = {id(p): name for name, p in held.items()}
        self._parameters, self._sites, self._steps = Parameters(held), Sites(model), Steps(every)
        self._ranks = Ranks(_world(model, self._parameters.sharded), self._parameters.sharded)
        self._pending: list[Packed] = []
        self._stepped: list[Optimizer] = []
        self._losses: list[Tensor] = []
        self._raw: dict[int, Tensor] = {}
        self._scaler: Any = None
        self._rates: list[float] = []
        self._where = ""  # the site that broke the loss, until it is reported
        self._asked = self._measured = self._backward = self._broken = False
        self._given: Any = None
        self._begun = time.monotonic()
        self._modes = [m for m in model.modules() if _has_mode(m)]
        self._remove = [listen(self), outermost(model, self._enter, self._leave)]
        eager(self, self._due)

    def _read(self) -> None:
        """Read what has arrived on the host."""
        raise NotImplementedError

    def _off(self) -> None:
        """Take all hooks off, and send what is left."""
        while self._remove:
            self._remove.pop()()
        eager(self, False)
        self._sites.stop()
        if self._steps.count:  # steps since the last report
            self._submit([], [])
        self._read()

    @property
    def _due(self) -> bool:
        step = self.step + 1
        return step == 1 or step % self.every == 0

    def _enter(self, module: nn.Module, given: Any) -> None:
        if self._backward or not torch.is_grad_enabled():
            return
        self._left_out()
        self._steps.batch(given)
        self._given = given if module is self.model else None
        if self._due and not self._measured and not self._stepped:
            self._sites.start(module, given)

    def _leave(self) -> None:
        self._sites.stop()

    def scaled(self, scaler: Any, loss: Tensor, scaled: Tensor) -> None:
        """A loss before it was scaled is the loss."""
        if scaler.is_enabled():
            self._raw[id(scaled)] = loss
            self._scaler = scaler

    def before_backward(self, losses: tuple[Tensor, ...]) -> None:
        """The pass that was measured is over; what it recomputes is not seen."""
        self._sites.stop()
        eager(self, False)
        self._backward = True
        self._losses += [self._raw.get(id(loss), loss).detach() for loss in losses if loss.numel() == 1]
        self._raw.clear()

    def after_backward(self, losses: tuple[Tensor, ...]) -> None:
        """Gradients have arrived."""
        self._backward = False
        if self._due:
            self._measured = bool(self._sites.rows)
            self._parameters.arrived(self._scale)

    def scaler_step(self, scaler: Any, optimizer: Optimizer) -> None:
        """A step that a scaler may leave out."""
        if self._follows(optimizer):
            self._left_out()
            self._asked = True

    def before_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> Any:
        """Right before an update."""
        if not self._follows(optimizer):
            self._losses.clear()
            return None
        if any(optimizer is o for o in self._stepped):
            self._end()
        self._asked = False
        for loss in self._losses:
            self._steps.loss(loss)
        self._losses.clear()
        self._check_loss()
        if self._due and not self._stepped:
            self._parameters.before()
        return None

    def after_step(self, optimizer: Optimizer) -> None:
        """Right after it: with the last of the optimizers the step is complete."""
        if self._follows(optimizer):
            self._stepped.append(optimizer)
            if len(self._stepped) >= len(self.optimizers):
                self._end()

    @property
    def _scale(self) -> Tensor | None:
        """The scaler's factor, on its device: asking for it as a number would wait."""
        found: Tensor | None = getattr(self._scaler, "_scale", None)
        return found

    def _follows(self, optimizer: Optimizer) -> bool:
        if any(optimizer is o for o in self.optimizers):
            return True
        ours = any(id(p) in self._names for g in optimizer.param_groups for p in g["params"])
        if not ours or any(_same(optimizer, o) for o in self.optimizers):
            return False
        self.optimizers.append(optimizer)
        return True

    def _left_out(self) -> None:
        """A step that was asked of a scaler and never made."""
        if self._asked:
            self._asked = False
            self.skipped += 1
            for loss in self._losses:
                self._steps.loss(loss)
            self._losses.clear()
            self._end()

    # --- reports ---------------------------------------------------------------------------------------------------

    def _check_loss(self) -> None:
        """On the CPU, where a number costs nothing: run the pass of the first broken loss again and find its site."""
        if self._broken or self._given is None or not all(t.device.type == "cpu" for t in self._steps.losses):
            return
        if not all(isfinite(float(loss.float().numpy().reshape(()))) for loss in self._steps.losses):
            self._broken = True
            self._where = locate(self.model, self._given)

    def _end(self) -> None:
        due = self._due
        self._steps.end()
        self._rates.append(max((_float(g.get("lr")) for o in self.optimizers for g in o.param_groups), default=0.0))
        self.step += 1
        if due or self._now():
            rows = self._parameters.after() if due and self._parameters.ready and self._stepped else []
            self._submit(rows, self._sites.rows)
            self._sites.begin()
        self._stepped.clear()
        self._measured = False
        self._given = None
        eager(self, self._due)

    def _now(self) -> bool:
        """Whether a report does not wait: a site was found that broke the loss."""
        return self._where != ""

    def _submit(self, parameters: list[tuple[str, Tensor]], rows: list[Any]) -> None:
        self._read()
        groups = groups_of(self.optimizers)
        rates = [_float(g.get("lr")) for g in groups]
        members = named(groups, self._names) if len(groups) > 1 else {}
        reading = Reading(
            step=self.step,
            seconds=round(time.monotonic() - self._begun, 3),
            rates=self._rates,
            rate=rates,
            decay=[_float(g.get("weight_decay")) for g in groups],
            momentum=[_float(g["betas"][0] if "betas" in g else g.get("momentum")) for g in groups],
            decoupled=any(g.get("decoupled_weight_decay", False) for g in groups),
            skipped=self.skipped,
            training=any(m.training for m in self._modes) if self._modes else None,
            groups=did(members, rates, self._parameters.named),
            metrics=dict(self._metrics),
            broken=self._where,
        )
        self._where, self._rates = "", []
        if self._scale is not None:
            rows = [*rows, ("scale", "", self._scale.reshape(1))]
        steps = self._steps.take()
        self._pending.append(pack(reading, self._parameters.names, parameters, rows, steps, self._ranks, members))
        if self._pending[-1].ready is None:  # it is on the host already
            self._read()


def _float(value: Any) -> float:
    """A setting of an optimizer; one that is a tensor on a device is left out rather than waited for."""
    if isinstance(value, Tensor):
        return float(value) if value.device.type == "cpu" else float("nan")
    return float(value) if value is not None else 0.0


def _same(a: Optimizer, b: Optimizer) -> bool:
    """Whether one of two optimizers is a framework's wrapper around the other."""
    return a.param_groups is b.param_groups or a.state is b.state


def _has_mode(module: nn.Module) -> bool:
    if isinstance(module, nn.modules.dropout._DropoutNd):
        return module.p > 0
    return isinstance(module, nn.modules.batchnorm._BatchNorm)


def _world(model: nn.Module, sharded: list[bool]) -> int:
    """The ranks that train this model together."""
    distributed = any(isinstance(m, nn.parallel.DistributedDataParallel) for m in model.modules()) or any(sharded)
    together = distributed and torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_world_size() if together else 1
