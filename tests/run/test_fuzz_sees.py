"""The judge of the fuzzer sees what it is there to see, and nothing where nothing was changed."""

import dataclasses
import random
import signal
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from fuzz.contexts import CONTEXTS
from fuzz.faults import Fault
from fuzz.grammar import Case, draw
from fuzz.registry import PARTS, SLOW, WRAPPERS
from fuzz.state import Snapshot
from fuzz.world import names, names_differences, world, world_differences
from torch import Tensor, nn

import gainstage as gs
from fuzz import attempt as attempting
from fuzz import judge as judging


class Rich(nn.Module):
    """Something of everything."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.norm = nn.BatchNorm1d(4)
        self.register_buffer("mean", torch.zeros(1).expand(4))
        self.register_buffer("nan", torch.full((3,), float("nan")))
        self.seen: list[Any] = [torch.zeros(2), {"k": torch.zeros(2)}]
        self.generator = torch.Generator()
        self.array = np.zeros(2)
        self.count = 0
        self.linear.weight.grad = torch.ones(4, 4)
        self.linear.register_forward_hook(lambda m, i, o: None)


def _set(thing: Any, name: str, value: Any) -> None:
    setattr(thing, name, value)


CHANGES: dict[str, Callable[[Rich], Any]] = {
    "one bit of a weight": lambda m: m.linear.weight.data.view(torch.int32)[0, 0].bitwise_xor_(1),
    "minus zero": lambda m: m.norm.running_mean.neg_(),
    "the payload of a NaN": lambda m: m.nan.view(torch.int32)[0].bitwise_xor_(1),
    "expanded buffer": lambda m: m.mean[:1].add_(1),
    "memory behind a view": lambda m: m.mean.as_strided((1,), (1,)).fill_(2),
    "data of its own": lambda m: _set(m.mean, "data", m.mean.clone()),
    "parameter replaced by an equal one": lambda m: _set(m.linear, "bias", nn.Parameter(m.linear.bias.data)),
    "buffer replaced by its view": lambda m: _set(m, "nan", m.nan[:]),
    "resizable": lambda m: m.linear.weight.detach().numpy(),
    "gradient": lambda m: m.linear.weight.grad.add_(1),
    "gradient gone": lambda m: _set(m.linear.weight, "grad", None),
    "gradient new": lambda m: _set(m.linear.bias, "grad", torch.zeros(4)),
    "requires grad": lambda m: m.linear.bias.requires_grad_(False),
    "hook of a parameter": lambda m: m.linear.weight.register_hook(lambda g: g),
    "hook after accumulation": lambda m: m.linear.weight.register_post_accumulate_grad_hook(lambda p: None),
    "hook of a module": lambda m: m.norm.register_forward_pre_hook(lambda m, i: None),
    "hook gone": lambda m: m.linear._forward_hooks.clear(),
    "training flag": lambda m: m.norm.eval(),
    "attribute": lambda m: _set(m, "count", 1),
    "type of an attribute": lambda m: _set(m, "count", 0.0),
    "new attribute": lambda m: _set(m, "other", 1),
    "order of attributes": lambda m: m.__dict__.update(seen=m.__dict__.pop("seen")),
    "tensor in a list": lambda m: m.seen[0].add_(1),
    "tensor in a dictionary in a list": lambda m: m.seen[1]["k"].resize_(3),
    "list": lambda m: m.seen.append(1),
    "generator": lambda m: torch.rand(1, generator=m.generator),
    "array": lambda m: m.array.__iadd__(1),
    "child": lambda m: m.add_module("late", nn.ReLU()),
    "attribute of a tensor": lambda m: _set(m.linear.weight, "note", 1),
    "step counter": lambda m: m.norm.num_batches_tracked.add_(1),
    "buffer is persistent": lambda m: m._non_persistent_buffers_set.add("nan"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_the_model_is_seen(change: str) -> None:
    model = Rich()
    before = Snapshot(model=model)
    CHANGES[change](model)
    assert before.differences(Snapshot(model=model))


def test_looking_changes_nothing() -> None:
    model = Rich()
    before = Snapshot(model=model)
    assert not before.differences(Snapshot(model=model))
    assert all(p.untyped_storage().resizable() for p in model.parameters())


def test_what_may_be_written_is_free_in_its_values_only() -> None:
    model = nn.Linear(4, 4)
    free = {id(model.weight), model.weight.untyped_storage().data_ptr()}
    before = Snapshot(model=model)
    model.weight.data.zero_()
    assert not before.differences(Snapshot(model=model), may_be_written=free)
    model.weight.requires_grad_(False)
    assert before.differences(Snapshot(model=model), may_be_written=free)


WORLD: dict[str, Callable[[], Any]] = {
    "torch": lambda: torch.rand(1),
    "numpy": lambda: np.random.rand(),
    "python": random.random,
    "gradients": lambda: torch.set_grad_enabled(False),
    "dtype": lambda: torch.set_default_dtype(torch.float64),
    "device": lambda: torch.set_default_device("cpu"),
    "deterministic": lambda: torch.use_deterministic_algorithms(True),
    "precision": lambda: torch.set_float32_matmul_precision("medium"),
    "anomaly": lambda: torch.autograd.set_detect_anomaly(True),
    "autocast": lambda: torch.set_autocast_enabled("cpu", True),
    "warnings": lambda: warnings.simplefilter("error"),
    "global hook": lambda: nn.modules.module.register_module_forward_hook(lambda m, i, o: None),
    "signal": lambda: signal.signal(signal.SIGTERM, lambda n, f: None),
    "patched": lambda: setattr(nn.Module, "__call__", lambda self: None),
}
UNDO: tuple[Callable[[], Any], ...] = (
    lambda: torch.set_grad_enabled(True),
    lambda: torch.set_default_dtype(torch.float32),
    lambda: torch.set_default_device(None),
    lambda: torch.use_deterministic_algorithms(False),
    lambda: torch.set_float32_matmul_precision("highest"),
    lambda: torch.autograd.set_detect_anomaly(False),
    lambda: torch.set_autocast_enabled("cpu", False),
    lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL),
    lambda: nn.modules.module._global_forward_hooks.clear(),
)


@pytest.mark.parametrize("change", WORLD)
def test_a_change_of_the_world_is_seen(change: str) -> None:
    called = nn.Module.__call__
    before, names_before = world(), names()
    with warnings.catch_warnings():
        try:
            WORLD[change]()
            found = world_differences(before, world()) + names_differences(names_before, names())
        finally:
            for undo in UNDO:
                undo()
            nn.Module.__call__ = called  # type: ignore[method-assign]
    assert found
    assert not world_differences(world(), world())


def _case(**changes: Any) -> Case:
    given = {"call": "record", "context": "plain", "body": (("layer.linear",),), "whole": "module", "stem": "plain",
             "head": "tensor", "fault": None}  # fmt: skip
    return dataclasses.replace(draw(0), **{**given, **changes})


def _put(monkeypatch: pytest.MonkeyPatch, run: Callable[..., Any]) -> None:
    judging.warm()
    monkeypatch.setitem(gs.__dict__, "record", run)


def test_a_foreign_exception_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def record(model: nn.Module, example: Tensor) -> None:
        raise KeyError("x")

    _put(monkeypatch, record)
    assert judging.judge(_case()).kinds == ("not a GainstageError: KeyError: '..'",)


def test_a_refusal_is_counted_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def record(model: nn.Module, example: Tensor) -> None:
        raise gs.GainstageError("write this instead")

    _put(monkeypatch, record)
    assert judging.judge(_case()).outcome == "refused"


@pytest.mark.parametrize("kind", ["RuntimeError", "KeyboardInterrupt", "Stop"])
def test_a_swallowed_exception_fails(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    def record(model: nn.Module, example: Tensor) -> None:
        try:
            model(example)
        except BaseException:
            return

    _put(monkeypatch, record)
    verdict = judging.judge(_case(fault=Fault(1, "module", kind, 1)))
    assert verdict.kinds == (f"swallowed: {kind} in module",)


def test_two_unequal_runs_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    results = iter((1.0, 2.0))
    _put(monkeypatch, lambda model, example: next(results))
    assert judging.judge(_case()).kinds == ("two runs differ: record",)


def test_a_hang_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    _put(monkeypatch, lambda model, example: threading.Event().wait(5))
    monkeypatch.setattr(attempting, "PATIENCE", 0.3)
    assert judging.judge(_case()).kinds == ("hang",)


def test_a_part_of_gainstage_that_does_nothing_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    _put(monkeypatch, lambda model, example: None)
    assert judging.judge(_case()).outcome == "fine"


def test_a_seed_is_one_case() -> None:
    assert [str(draw(seed)) for seed in range(50)] == [str(draw(seed)) for seed in range(50)]


def test_the_seeds_of_the_suite_reach_everything() -> None:
    cases = [draw(seed) for seed in range(500)]
    told = " ".join(str(case) for case in cases)
    assert {case.context for case in cases} >= {n for n in CONTEXTS if CONTEXTS[n].weight >= 1}
    assert all(name in told for name in [*WRAPPERS, *sorted(set(PARTS) - SLOW)])
    assert {type(case.fault) for case in cases} == {Fault, type(None)}
