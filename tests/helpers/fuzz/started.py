"""What a start of a random module has to be: planned for any module that runs, the same twice, and of any scale."""

import math
import warnings
from dataclasses import fields, is_dataclass, replace

import torch
from torch import Tensor, nn

import gainstage as gs
from fuzz.attempt import quiet
from fuzz.grammar import Case, draw
from fuzz.plainly import run_plain
from fuzz.seeds import random_states_kept
from gainstage.errors import GainstageError
from gainstage.run import dense, real

SCALES = (0.01, 100.0)


def started(seed: int) -> list[str] | None:
    """What is wrong with the start of the module of this seed; None where it does not run by itself."""
    case = replace(draw(seed), fault=None, context="plain", call="plan")
    with quiet(), random_states_kept(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return None if run_plain(case).excluded else _judged(case)


def _judged(case: Case) -> list[str]:
    try:
        scene = case.build()
        if not any(p.requires_grad for p in scene.model.parameters()):
            return None
        plan = gs.plan(scene.model, scene.example)
        found = [f"{name}: {said}" for name, said in _no_numbers(plan)]
        theory = gs.plan(scene.model, scene.example, scheme="theory")
        for scale in SCALES:
            other = case.build()
            _scale(other.model, [name for name, a in theory.items() if a.law is not None], scale)
            again = gs.plan(other.model, other.example, scheme="theory")
            wrong = [name for name in theory if theory[name].law != again[name].law]
            found += [f"{name}: {theory[name].law}, at weights x {scale}: {again[name].law}" for name in wrong]
        once, twice = _started(scene.model, scene.example), _started(scene.model, scene.example)
        found += [f"{name}: NaN or infinite after it" for name, p in once.items() if not bool(p.isfinite().all())]
        found += [f"{name}: a second start differs" for name in once if not _same(once[name], twice[name])]
    except GainstageError as error:
        return [f"refused: {error}"]
    except Exception as error:
        return [f"raised {type(error).__name__}: {error}"]
    return found


def _started(model: nn.Module, example: object) -> dict[str, Tensor]:
    """What a start writes, by the parameter."""
    plan = gs.initialize(model, example)
    filled = {name: p for name, p in model.named_parameters() if name in plan and plan[name].law is not None}
    return {name: real(dense(p.detach())).double() for name, p in filled.items()}


def _no_numbers(plan: gs.Plan) -> list[tuple[str, str]]:
    laws = [(name, a.law, a.level) for name, a in plan.items() if a.law is not None]
    bad = [(n, law, level) for n, law, level in laws if not all(map(math.isfinite, [*_numbers(law), level or 0.0]))]
    return [(name, f"{law} of level {level}") for name, law, level in bad]


def _numbers(value: object) -> list[float]:
    if is_dataclass(value):
        return [number for field in fields(value) for number in _numbers(getattr(value, field.name))]
    if isinstance(value, tuple):
        return [number for item in value for number in _numbers(item)]
    return [value] if isinstance(value, float) else []


def _scale(model: nn.Module, names: list[str], by: float) -> None:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in names and not isinstance(parameter, nn.UninitializedParameter):
                parameter.mul_(by)


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and bool(((a == b) | (a.isnan() & b.isnan())).all())
