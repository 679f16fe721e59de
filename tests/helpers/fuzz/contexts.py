"""The surroundings of a call: what is done to the model before (`prepare`), and what is active while it runs."""

import contextlib
import dataclasses
import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.utils import parametrize
from torch.utils.flop_counter import FlopCounterMode

from fuzz import prepare
from fuzz.exotic import PassDown, PassOn
from fuzz.prepare import Scene


@dataclasses.dataclass(frozen=True)
class Context:
    """`prepare` changes the scene for good; `around` gives a context manager that is active during a call."""

    prepare: Callable[[Scene], None] = lambda scene: None
    around: Callable[[Scene], AbstractContextManager[Any]] = lambda scene: nullcontext()
    weight: float = 1.0


@contextlib.contextmanager
def _default_dtype(scene: Scene) -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextlib.contextmanager
def _default_device(name: str) -> Iterator[None]:
    torch.set_default_device(name)
    try:
        yield
    finally:
        torch.set_default_device(None)


@contextlib.contextmanager
def _deterministic(scene: Scene) -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


@contextlib.contextmanager
def _errors(scene: Scene) -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@contextlib.contextmanager
def _precision(scene: Scene) -> Iterator[None]:
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision("highest")


def _within(make: Callable[[], Any]) -> Context:
    return Context(around=lambda scene: make())


CONTEXTS: dict[str, Context] = {
    "plain": Context(weight=12),
    "no_grad": _within(torch.no_grad),
    "set_grad_enabled": _within(lambda: torch.set_grad_enabled(False)),
    "inference_mode": _within(torch.inference_mode),
    "autocast": _within(lambda: torch.autocast("cpu", dtype=torch.bfloat16)),
    "eval": Context(lambda scene: scene.model.eval()),
    "mixed_modes": Context(prepare.modes),
    "gradients": Context(prepare.gradients, weight=2),
    "frozen": Context(prepare.freezes),
    "all_frozen": Context(lambda scene: scene.model.requires_grad_(False)),
    "user_hooks": Context(prepare.user_hooks),
    "double": Context(prepare.double),
    "default_dtype": Context(around=_default_dtype),
    "meta_device": _within(lambda: torch.device("meta")),
    "cpu_device": _within(lambda: torch.device("cpu")),
    "default_device": _within(lambda: _default_device("cpu")),
    "default_device_meta": _within(lambda: _default_device("meta")),
    "deterministic": Context(around=_deterministic),
    "anomaly": _within(lambda: torch.autograd.set_detect_anomaly(True)),
    "precision": Context(around=_precision),
    "function_mode": _within(PassOn),
    "dispatch_mode": _within(PassDown),
    "flop_counter": _within(lambda: FlopCounterMode(display=False)),
    "fake": _within(lambda: FakeTensorMode(allow_non_fake_inputs=True)),
    "fork_rng": _within(torch.random.fork_rng),
    "saved_on_cpu": _within(torch.autograd.graph.save_on_cpu),
    "single_thread_backward": _within(lambda: torch.autograd.set_multithreading_enabled(False)),
    "parametrize_cached": _within(parametrize.cached),
    "forward_ad": _within(torch.autograd.forward_ad.dual_level),
    "math_attention": _within(lambda: nn.attention.sdpa_kernel(nn.attention.SDPBackend.MATH)),
    "profiler": Context(around=lambda scene: torch.autograd.profiler.profile(), weight=0.3),
    "warnings_as_errors": Context(around=_errors),
    "thread": Context(),
    "two_threads": Context(),
    "graph_alive": Context(prepare.graph_alive),
    "in_except": Context(),
    "nested_record": Context(prepare.nested_record),
    "nested_own": Context(prepare.nested_own),
    "deepcopied": Context(prepare.copied),
    "averaged": Context(prepare.averaged),
    "data_parallel": Context(prepare.parallel),
    "compiled": Context(prepare.compiled, weight=0.12),
    "compiled_in_place": Context(prepare.compiled_in_place, weight=0.08),
    "example_needs_grad": Context(prepare.floating(lambda t: t.requires_grad_())),
    "example_not_leaf": Context(prepare.floating(lambda t: t.clone().requires_grad_() * 1.0)),
    "example_strided": Context(lambda scene: scene.map(lambda t: t.mT.contiguous().mT if t.ndim > 1 else t)),
    "example_expanded": Context(lambda scene: scene.map(lambda t: t[:1].expand(t.shape) if t.ndim else t)),
    "example_is_buffer": Context(prepare.is_buffer),
    "example_is_parameter": Context(prepare.is_parameter),
    "example_inference": Context(prepare.inference_example),
    "example_numpy": Context(lambda scene: scene.map(lambda t: torch.from_numpy(t.numpy().copy()))),
    "example_slice": Context(lambda scene: scene.map(lambda t: torch.cat([t, t])[: len(t)] if t.ndim else t)),
}


def weighted(draw: random.Random) -> str:
    names = list(CONTEXTS)
    return draw.choices(names, [CONTEXTS[n].weight for n in names])[0]
