"""The calls of the public surface, and the user's training steps that go into `gs.check`."""

import copy
import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from fuzz.faults import Fault
from fuzz.losses import loss_of
from fuzz.prepare import Scene

CALLS = ("record", "record_forward", "record_loss", "plan", "check", "check", "check_loss", "check_sgd", "check_adam",
         "check_step", "check_step", "initialize", "initialize", "calibrate")  # fmt: skip
STEPS = (
    "plain",
    "mask",
    "schedule",
    "clip",
    "average",
    "noise",
    "accumulate",
    "by_hand",
    "autocast",
    "scaler",
    "history",
    "bare",
)


@dataclasses.dataclass
class Ready:
    """A call that can be made, and what belongs to the user besides the model."""

    run: Callable[[], Any]
    loss: Callable[[Any, Tensor], Tensor]
    optimizer: Optimizer | None = None
    step: Callable[[], Any] | None = None
    others: dict[str, Any] = dataclasses.field(default_factory=dict)


def ready(call: str, step: str, fault: Fault | None, scene: Scene) -> Ready:
    """Prepare `call` on a scene: make the optimizer and the training step that it takes."""
    import gainstage as gs

    loss = partial(_loss, fault)
    made = Ready(lambda: None, loss)
    model, example, target = scene.model, scene.example, scene.target
    with_loss = {"target": target, "loss": loss}
    if call in ("check_sgd", "check_adam", "check_step"):
        made.optimizer = _optimizer(call, model)
    if call == "check_step":
        made.step, made.others = training_step(step, fault, scene, made.optimizer, loss)
        given = {} if step == "bare" else {**with_loss, "optimizer": made.optimizer}
        made.run = lambda: gs.check(model, example, **given, train_step=made.step)
        return made
    made.run = {
        "record": lambda: gs.record(model, example),
        "record_forward": lambda: gs.record(model, example, backward=False),
        "record_loss": lambda: gs.record(model, example, **with_loss),
        "plan": lambda: gs.plan(model, example),
        "check": lambda: gs.check(model, example),
        "check_loss": lambda: gs.check(model, example, **with_loss),
        "check_sgd": lambda: gs.check(model, example, **with_loss, optimizer=made.optimizer),
        "check_adam": lambda: gs.check(model, example, **with_loss, optimizer=made.optimizer),
        "initialize": lambda: gs.initialize(model, example),
        "calibrate": lambda: gs.initialize(model, example, calibrate=True),
    }[call]
    return made


def _loss(fault: Fault | None, output: Any, target: Tensor) -> Tensor:
    if fault is not None and fault.place == "loss":
        fault.tick()
    return loss_of(output, target)


def run_plainly(model: nn.Module, example: Any) -> Any:
    """What the user would write."""
    if isinstance(example, dict):
        return model(**example)
    return model(*example) if isinstance(example, tuple) else model(example)


def _optimizer(call: str, model: nn.Module) -> Optimizer | None:
    """An optimizer over what can be trained; half of them (by the number of parameters) have made a step before."""
    parameters = [
        p
        for p in model.parameters()
        if p.requires_grad and p.is_leaf and not isinstance(p, nn.parameter.UninitializedTensorMixin)
    ]
    if not parameters:
        parameters = [nn.Parameter(torch.zeros(1))]
    if call == "check_sgd":
        return torch.optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=0.01)
    dense = [p for p in parameters if p.layout == torch.strided and not p.is_inference() and not _overlaps(p)]
    dense = dense or [nn.Parameter(torch.zeros(1))]
    optimizer = torch.optim.AdamW(dense, lr=0.01, amsgrad=len(dense) % 3 == 0)
    if len(dense) % 2:
        before = [(p, p.detach().clone(), p.grad) for p in dense]
        for p in dense:
            p.grad = torch.zeros_like(p)
        optimizer.step()
        with torch.no_grad():
            for p, values, grad in before:
                p.grad = grad
                if p.stride() == values.stride() or not p.numel():
                    p.copy_(values)
    return optimizer


def _overlaps(p: Tensor) -> bool:
    """Whether elements share memory, so that no optimizer can step."""
    return 0 in p.stride() and p.numel() > 1


def training_step(
    kind: str, fault: Fault | None, scene: Scene, optimizer: Any, loss: Callable[[Any, Tensor], Tensor]
) -> tuple[Callable[[], Any], dict[str, Any]]:
    """A step of the user's own loop, and what it holds besides model and optimizer."""
    model, example, target = scene.model, scene.example, scene.target
    others: dict[str, Any] = {}
    if kind == "schedule":
        others["schedule"] = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    if kind == "average":
        others["average"] = copy.deepcopy(model)
    if kind == "mask":
        others["mask"] = torch.ones(1).expand(len(target))
    if kind == "noise":
        others["generator"] = torch.Generator().manual_seed(0)
    if kind == "history":
        others["history"] = {"losses": [], "best": torch.full((), 9.0)}
    if kind == "accumulate":
        others["count"] = [0]
    if kind == "scaler":
        others["scaler"] = torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=1)

    def step() -> Any:
        if fault is not None and fault.place == "step_before":
            fault.tick()
        value = _forward(kind, model, example, target, loss, others)
        if kind != "accumulate" or others["count"][0] % 2 == 0:
            optimizer.zero_grad()
        (others["scaler"].scale(value) if kind == "scaler" else value).backward()
        if fault is not None and fault.place == "step_after":
            fault.tick()
        _update(kind, model, optimizer, value, others)
        return value.detach() if kind == "clip" else value

    return step, others


def _forward(kind: str, model: nn.Module, example: Any, target: Tensor, loss: Any, others: dict[str, Any]) -> Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=kind == "autocast"), torch.enable_grad():
        value: Tensor = loss(run_plainly(model, example), target)
    if kind == "mask":
        value = value * others["mask"].mean()
    if kind == "noise":
        value = value * (1 + 0.1 * torch.rand((), generator=others["generator"]))
    return value


def _update(kind: str, model: nn.Module, optimizer: Any, value: Tensor, others: dict[str, Any]) -> None:
    if kind == "clip":
        nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], 1.0)
    if kind == "by_hand":
        with torch.no_grad():
            for p in model.parameters():
                if p.grad is not None:
                    p.sub_(0.1 * p.grad)
        return
    if kind == "accumulate":
        others["count"][0] += 1
        if others["count"][0] % 2:
            return
    if kind == "scaler":
        others["scaler"].step(optimizer)
        others["scaler"].update()
        return
    optimizer.step()
    if kind == "schedule":
        others["schedule"].step()
    if kind == "average":
        with torch.no_grad():
            for mine, theirs in zip(others["average"].parameters(), model.parameters(), strict=True):
                mine.lerp_(theirs, 0.1)
    if kind == "history":
        others["history"]["losses"].append(float(value.detach()))
        others["history"]["best"].copy_(value.detach())
