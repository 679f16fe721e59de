"""The tools that are asked, one function each: it takes a program and gives what the tool says, worst first.

To add a tool, write such a function, put it into `TOOLS`, and give it a column in `causes.NAMES`. An alarm is what the
tool itself calls an error, a failure or a warning; what it calls a note or information may be told and is no alarm.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from kit import Program


class Alarm(NamedTuple):
    code: str
    severity: str  # "error", "warning" or "note"


Tool = Callable[[Program], list[Alarm]]


def positional(example: Any) -> tuple[Any, ...]:
    return example if isinstance(example, tuple) else (example,)


def gainstage(program: Program) -> list[Alarm]:
    """All that it can be given: model, batch, target, loss, optimizer and the loop's own step."""
    import gainstage as gs

    return [Alarm(f.code, f.severity) for f in gs.check(**program.parts()).findings]


def torchtest2(program: Program) -> list[Alarm]:
    """`check_model` with the batch, the loss and the optimizer, at its defaults."""
    import torchtest2 as tool

    example = program.example
    report = tool.check_model(
        program.model, example, program.target, loss_fn=program.loss, optimizer=program.optimizer, verbose=False
    )
    kinds = {"FAIL": "error", "WARN": "warning"}
    return worst_first(Alarm(r.name, kinds[str(r.status)]) for r in report.results if str(r.status) in kinds)


def guardtower(program: Program) -> list[Alarm]:
    """`audit` of one step, with the optimizer and the floating point inputs."""
    import guardtower as tool

    inputs = positional(program.example)
    floating = tuple(x for x in inputs if isinstance(x, Tensor) and x.is_floating_point())
    report = tool.audit(
        program.model,
        lambda: program.loss(program.model(*inputs), program.target),
        optimizer=program.optimizer,
        inputs=floating or None,
    )
    kinds = {"ERROR": "error", "WARN": "warning"}
    return worst_first(Alarm(f.check, kinds[f.severity.name]) for f in report.findings if f.severity.name in kinds)


def torch_audit(program: Program) -> list[Alarm]:
    """`audit_dynamic` around one forward pass, backward pass and step, without its advice on speed (TA200 to TA203)."""
    from torch_audit import audit_dynamic

    speed = {"TA200", "TA201", "TA202", "TA203"}
    options = {"every_n_steps": 1, "reporters": [], "ignore_rules": speed}
    with audit_dynamic(program.model, optimizer=program.optimizer, **options) as auditor:
        value = program.loss(auditor.forward(*positional(program.example)), program.target)
        auditor.backward(value)
        auditor.optimizer_step()
    found = auditor.finish(report=False).findings
    kinds = {"FATAL": "error", "ERROR": "error", "WARN": "warning"}
    return worst_first(Alarm(f.rule_id, kinds[f.severity.value]) for f in found if f.severity.value in kinds)


def worst_first(alarms: Any) -> list[Alarm]:
    return sorted(alarms, key=lambda alarm: alarm.severity != "error")


TOOLS: dict[str, Tool] = {
    "gainstage": gainstage,
    "torchtest2": torchtest2,
    "guardtower": guardtower,
    "torch-audit": torch_audit,
}


def seeded(tool: Tool, program: Program) -> list[Alarm]:
    torch.manual_seed(0)
    return tool(program)
