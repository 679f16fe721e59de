"""Whether the case is fair: the model runs without gainstage, in its context, and the same way twice."""

import dataclasses
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from fuzz.calls import ready, run_plainly
from fuzz.contexts import CONTEXTS
from fuzz.grammar import Case
from fuzz.kinds import kind_of_message
from fuzz.losses import surrogate_of
from fuzz.prepare import Scene
from fuzz.seeds import seed_all
from fuzz.state import Snapshot


@dataclasses.dataclass(frozen=True)
class Plain:
    """What plain runs have shown.

    Attributes:
        excluded: why the case is left out; empty where it is fair.
        differentiable: the backward pass runs as well.
        lost: what the model itself does for good, so that nobody could undo it (`Snapshot.lost`).
    """

    excluded: str = ""
    differentiable: bool = False
    lost: frozenset[str] = frozenset()


def run_plain(case: Case) -> Plain:
    """Run two models that are built alike, from one random state, and compare what comes out."""
    outputs = []
    lost: set[str] = set()
    differentiable = True
    for _ in range(2):
        try:
            scene = case.build()
        except Exception as error:
            return Plain(f"does not build: {type(error).__name__}")
        if case.context == "compiled":
            scene.model = scene.model._orig_mod
        try:
            before = Snapshot(model=scene.model, example=scene.example)
            output, backward = _run(case, scene)
            lost |= before.lost()
        except Exception as error:
            return Plain(f"does not run: {kind_of_message(error)[:90]}")
        outputs.append(output)
        differentiable &= backward
    if outputs[0] != outputs[1]:
        return Plain("random by itself")
    if case.call == "check_step" and not _steps(case):
        return Plain("its training step does not run")
    return Plain(differentiable=differentiable, lost=frozenset(lost))


def _run(case: Case, scene: Scene) -> tuple[list[Any], bool]:
    seed_all(5)
    with CONTEXTS[case.context].around(scene):
        output = run_plainly(scene.model, scene.example)
        found = [_value(t) for t in _leaves(output)]
        try:
            total = surrogate_of(output)
            if not isinstance(total, Tensor) or not total.requires_grad:
                return found, False
            total.backward()
            found += [_value(p.grad) for p in scene.model.parameters() if p.grad is not None]
        except Exception:
            return found, False
    return found, True


def _steps(case: Case) -> bool:
    scene = case.build()
    try:
        made = ready(case.call, case.step, case.fault, scene)
        with CONTEXTS[case.context].around(scene):
            made.step()  # type: ignore[misc]
            made.step()  # type: ignore[misc]
    except Exception:
        return False
    return True


def _leaves(output: Any) -> list[Any]:
    whole = dataclasses.is_dataclass(output) and not isinstance(output, type)
    return torch.utils._pytree.tree_leaves(vars(output) if whole else output)


def _value(leaf: Any) -> Any:
    if not isinstance(leaf, Tensor):
        return repr(leaf)
    with _disable_current_modes(), torch._C.DisableTorchFunction():
        try:
            return (tuple(leaf.shape), repr(leaf.detach().double().tolist()))
        except (RuntimeError, NotImplementedError, TypeError):
            return tuple(leaf.shape)
