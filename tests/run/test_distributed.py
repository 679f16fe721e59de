"""Models in FSDP2, DDP and tensor parallelism: every call gives what it gives in one process, and training goes on.

Two real gloo processes on this machine, launched once; what needs one process only runs in this one.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from ranks import reports_of
from torch import nn

import gainstage as gs

sys.path.insert(0, str(Path(__file__).parent))
import distributed_worker as worker

pytestmark = pytest.mark.skipif(not dist.is_available() or not dist.is_gloo_available(), reason="no gloo here")
LOOKS = [call for call in worker.CALLS if call not in ("initialize", "calibrate")]


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two ranks reports."""
    return reports_of(worker, 2, tmp_path_factory.mktemp("gloo") / "store")


@pytest.fixture(scope="module")
def alone() -> dict[str, Any]:
    return worker.alone()


@pytest.mark.parametrize("call", worker.CALLS)
@pytest.mark.parametrize("wrapper", worker.WRAPPERS)
def test_a_call_gives_what_it_gives_in_one_process(ranks: Any, alone: Any, wrapper: str, call: str) -> None:
    for report in ranks:
        given = report[wrapper][call]["given"]
        if call == "record":
            assert given == pytest.approx(alone[call], rel=1e-5)
        else:
            assert given == alone[call]


@pytest.mark.parametrize("call", worker.CALLS)
@pytest.mark.parametrize("wrapper", worker.WRAPPERS)
def test_training_afterwards_is_bit_for_bit_that_without_the_call(ranks: Any, wrapper: str, call: str) -> None:
    for report in ranks:
        assert report[wrapper][call]["trained"] == report[wrapper][call]["expected"]
        assert (call in LOOKS) == (report[wrapper][call]["trained"] == report[wrapper]["never"])


def test_every_rank_may_have_a_batch_of_its_own(ranks: Any) -> None:
    """DDP is recorded on the rank's own batch, FSDP2 on the mean of the gradients; a calibrated weight is one."""
    for rank, report in enumerate(ranks):
        own = worker.called("record", worker.make(), worker.batch(rank))
        assert report["ddp"]["own batch"]["record"] == pytest.approx(own, rel=1e-5)
    for wrapper in ("fsdp2", "ddp"):
        first, second = (report[wrapper]["own batch"]["calibrate"] for report in ranks)
        assert first == second
        assert first != worker.called("calibrate", worker.make(), worker.batch(0))
    first, second = (report["fsdp2"]["own batch"]["record"] for report in ranks)
    assert first == second == pytest.approx(worker.mean_over_batches(), rel=1e-5)


@pytest.fixture
def group(tmp_path: Path) -> Iterator[None]:
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("group")
@pytest.mark.parametrize("run_before", [False, True])
@pytest.mark.parametrize("call", [gs.plan, gs.record, gs.check, gs.initialize])
def test_fsdp2_runs_afterwards(call: Any, run_before: bool) -> None:
    model, x = worker.wrap(worker.make(), "fsdp2"), worker.batch(0)
    if run_before:
        model(x).sum().backward()
        model.zero_grad()
    call(model, x)
    assert gs.plan(model, x) == gs.plan(worker.make(), x)
    worker.trained(model)
    model.eval()
    with torch.no_grad():
        model(x)
    call(model, x)
    worker.trained(model)


@pytest.mark.usefixtures("group")
def test_initialized_models_can_be_sharded_and_sharded_ones_initialized() -> None:
    x, expected = worker.batch(0), worker.make()
    plan = gs.initialize(expected, x)
    sharded = worker.wrap(worker.make(), "fsdp2")
    plan.apply(sharded)
    with torch.device("meta"):
        empty = worker.make()
    on_meta = gs.plan(empty, torch.empty(4, 8, device="meta"))
    worker.wrap(empty, "fsdp2").to_empty(device="cpu")
    on_meta.apply(empty)
    losses = [worker.trained(model) for model in (worker.wrap(expected, "fsdp2"), sharded, empty)]
    assert on_meta == plan
    assert losses[0] == losses[1] == losses[2]


@pytest.mark.parametrize("call", [gs.plan, gs.record, gs.check, gs.initialize])
def test_fsdp1_is_refused_before_the_pass(call: Any) -> None:
    from torch.distributed.fsdp import FullyShardedDataParallel

    class Flat(FullyShardedDataParallel):  # a real one is built on an accelerator only
        training_state = None

        def __init__(self, module: nn.Module) -> None:
            nn.Module.__init__(self)
            self._fsdp_wrapped_module = module

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise AssertionError("ran")

    with pytest.raises(gs.GainstageError, match=r"before wrapping it.*fully_shard"):
        call(Flat(worker.make()), worker.batch(0))
