"""Ctrl-C and everything else that is no Exception: at any line of keeping and restoring, and in the model itself."""

import random
import resource
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import gainstage as gs
from gainstage.run import undisturbed

ROOM = str(Path(undisturbed.__init__.__code__.co_filename).parent)
LINES = 2000


class Restless(nn.Module):
    """A model that changes everything it has in every pass."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.norm = nn.Linear(4, 4), nn.BatchNorm1d(4)
        self.register_buffer("mean", torch.zeros(1, 1).expand(1, 4))
        self.count, self.seen, self.generator = 0, [], torch.Generator()

    def forward(self, x: Tensor) -> Tensor:
        self.count += 1
        self.seen.append(self.count)
        self.added = torch.rand(2, generator=self.generator)
        self.norm.eval()
        random.random(), np.random.rand()
        with torch.no_grad():
            self.fc.weight.add_(torch.rand(()))
            self.norm.running_mean += 1
        self.fc.bias.data = torch.ones(4)
        return self.norm(self.fc(x - self.mean))


def state(model: Restless) -> dict[str, Any]:
    tensors = {
        name: (id(t), t.tolist(), t.data_ptr(), t._version) for name, t in model.state_dict(keep_vars=True).items()
    }
    chance = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    own = (
        model.count,
        list(model.seen),
        model.generator.get_state().tolist(),
        hasattr(model, "added"),
        list(vars(model)),
    )
    return {"tensors": tensors, "chance": chance, "own": own, "modes": [m.training for m in model.modules()]}


class Interrupting:
    """Sends SIGINT to this process when the n-th line of the room `run` is about to run."""

    def __init__(self, at: int) -> None:
        self.left, self.sent = at, False

    def __call__(self, frame: FrameType, event: str, arg: Any) -> Any:
        if not frame.f_code.co_filename.startswith(ROOM):
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                self.sent = True
                signal.raise_signal(signal.SIGINT)
        return self


def passed(model: nn.Module, x: Tensor, at: int) -> tuple[bool, bool]:
    """Run the model undisturbed, interrupted at a line; whether the signal was sent, and whether it arrived."""
    tracer, before = Interrupting(at), sys.gettrace()
    arrived = False
    try:
        sys.settrace(tracer)
        with undisturbed(model):
            sys.settrace(None)
            model(x)
            sys.settrace(tracer)
    except KeyboardInterrupt:
        arrived = True
    finally:
        sys.settrace(before)
    return tracer.sent, arrived


def test_ctrl_c_at_any_line_of_keeping_and_restoring_leaves_nothing() -> None:
    """In a process of its own: where something that other tests left is finalized, Python itself loses an interrupt."""
    from interrupt import answers_ctrl_c  # here: this file is also the script, which knows no helpers

    done = subprocess.run(
        [sys.executable, __file__], capture_output=True, text=True, check=False, preexec_fn=answers_ctrl_c
    )
    assert done.returncode == 0, done.stderr


def interrupt_everywhere() -> None:
    model, x = Restless(), torch.randn(8, 4)
    lines = next(n for n in range(100, 10**6, 100) if not passed(model, x, n)[0])
    handler, before = signal.getsignal(signal.SIGINT), state(model)
    chosen = random.Random(0)
    for _ in range(LINES):
        at = chosen.randint(1, lines)
        sent, arrived = passed(model, x, at)
        assert sent == arrived, f"line {at}: the interrupt was lost"
        assert state(model) == before, f"line {at}"
    assert signal.getsignal(signal.SIGINT) is handler
    assert lines > 500


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError, GeneratorExit])
@pytest.mark.parametrize("call", [gs.record, gs.plan, gs.check, gs.initialize])
def test_whatever_the_forward_pass_raises(call: Any, error: type[BaseException]) -> None:
    class Ends(Restless):
        def forward(self, x: Tensor) -> Tensor:
            super().forward(x)
            raise error("now")

    model, x = Ends(), torch.randn(8, 4)
    before = state(model)
    with pytest.raises(KeyboardInterrupt if error is KeyboardInterrupt else gs.GainstageError, match="now"):
        call(model, x)
    assert state(model) == before


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_AS") or sys.platform == "darwin", reason="no limit of memory here")
def test_a_pass_that_runs_out_of_memory_leaves_the_model_as_it_was() -> None:
    class Greedy(Restless):
        def forward(self, x: Tensor) -> Tensor:
            super().forward(x)
            return torch.ones(2**40) + x.sum()

    model, x = Greedy(), torch.randn(8, 4)
    before, limits = state(model), resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (2**36, limits[1]))
    try:
        with pytest.raises(gs.GainstageError, match="memory"):
            gs.record(model, x)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
    assert state(model) == before


if __name__ == "__main__":
    interrupt_everywhere()
