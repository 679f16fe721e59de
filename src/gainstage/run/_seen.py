"""What was seen of a foreign training loop."""

from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn
from torch.optim import Optimizer

from gainstage.run._example import describe
from gainstage.run._lines import Line
from gainstage.run._names import class_name
from gainstage.run._subject import Subject


@dataclass
class Pair:
    """One optimizer and what it trains.

    Attributes:
        subject: to check; None where no backward pass reached the optimizer's parameters.
        module: that is trained, as the script has it; the subject's model may make several calls of it.
        lines: the script's own, by `"model"`, `"loss"`, `"backward"` and `"step"`.
        calls: of the model, by name, and the functions of the loss.
        backwards: passes before the step: more than one where gradients are accumulated or losses come apart.
        evaluating: the model was in evaluation mode.
        arrived, used: norm of the gradient after the backward pass and at the step; they differ where it is clipped.
        notes: what could not be taken over, a sentence each.
    """

    optimizer: Optimizer | None
    subject: Subject | None = None
    module: nn.Module | None = None
    lines: dict[str, Line] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    computed: list[str] = field(default_factory=list)
    loss: float | None = None
    backwards: int = 0
    evaluating: bool = False
    arrived: float = 0.0
    used: float = 0.0
    notes: list[str] = field(default_factory=list)


@dataclass
class Counts:
    """How often each thing happened, for a script that never comes to a step."""

    forwards: int = 0
    backwards: int = 0
    steps: int = 0
    models: dict[str, int] = field(default_factory=dict)
    without_gradient: int = 0

    def told(self) -> str:
        """All of it in one sentence."""
        names = ", ".join(f"{name} ({number})" for name, number in list(self.models.items())[:6])
        parts = [
            _count(self.forwards, "forward pass") + (f" of {names}" if names else ""),
            *([f"{self.without_gradient} of them without gradients"] if self.without_gradient else []),
            _count(self.backwards, "backward pass"),
            _count(self.steps, "optimizer step"),
        ]
        return ", ".join(parts)


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" + ("" if number == 1 else "es" if thing.endswith("s") else "s")


def rows(pair: Pair, scaler: object = None, schedules: tuple[str, ...] = ()) -> list[tuple[str, str, str]]:
    """What was seen of one pair, a row a thing: its name, what it is, and the script's line."""
    found: list[tuple[str, str, str]] = []

    def row(name: str, what: str, line: str = "") -> None:
        found.append((name, what, _at(pair.lines.get(line))))

    subject = pair.subject
    if subject is not None:
        model = subject.model
        trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
        calls = "" if len(pair.calls) < 2 else f", as {' then '.join(pair.calls[:4])}{' ...' * (len(pair.calls) > 4)}"
        row("model", f"{class_name(model)}, {trainable:,} parameters{calls}{_wrapper(model)}", "model")
        row("batch", describe(subject.example))
        if subject.target is not None:
            row("target", describe(subject.target))
    if pair.loss is not None:
        made = pair.computed if len(pair.computed) < 4 else [pair.computed[0], "...", *pair.computed[-2:]]
        row("loss", f"{pair.loss:.4g}, by {', '.join(made) or 'the model itself'}", "loss")
    if pair.backwards:
        row("backward", f"{pair.backwards} before the step", "backward")
    if pair.arrived and abs(pair.used / pair.arrived - 1) > 1e-3:
        row("clipping", f"gradient of norm {pair.arrived:.3g} brought to {pair.used:.3g}")
    if pair.optimizer is not None:
        rates = sorted({float(g["lr"]) for g in pair.optimizer.param_groups if "lr" in g})
        rate = ", ".join(f"{r:.3g}" for r in rates[:3])
        row("optimizer", f"{type(pair.optimizer).__name__}(lr={rate})", "step")
    for name in schedules:
        row("schedule", name)
    if scaler is not None:
        row("scaler", type(scaler).__name__)
    if pair.evaluating:
        row("mode", "evaluation: call model.train() before the loop")
    for note in pair.notes:
        row("note", note)
    return found


def _wrapper(model: nn.Module) -> str:
    own, outer = class_name(model), type(model).__name__
    return "" if own == outer else f", in {outer}"


def _at(line: Line | None) -> str:
    if line is None:
        return ""
    path, here = Path(line[0]).resolve(), Path.cwd().resolve()
    shown = path.relative_to(here) if path.is_relative_to(here) else path
    return f"{shown}:{line[1]}"


def total_norm(optimizer: Optimizer) -> torch.Tensor | None:
    """Norm of the gradients that an optimizer holds; a sharded one's own part."""
    grads = [p.grad for g in optimizer.param_groups for p in g["params"] if p.grad is not None]
    local = [getattr(g, "_local_tensor", g).to_dense().detach() for g in grads]
    if not local:
        return None
    norms = torch.stack([torch.linalg.vector_norm(g.float()).cpu() for g in local])
    total: torch.Tensor = torch.linalg.vector_norm(norms)
    return total
