"""DTensors: every rank fills its own shard, and `full_tensor()` is the bits of a single process.

Real gloo processes on this machine, one launch per world size; the ranks run on one thread each, this process on its
own number, so that is covered as well.
"""

import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from ranks import reports_of

from gainstage import init

sys.path.insert(0, str(Path(__file__).parent))
import shard_worker as worker

pytestmark = pytest.mark.skipif(not dist.is_available() or not dist.is_gloo_available(), reason="no gloo here")


def whole(shape, law, dtype=torch.float32, name="w"):
    return worker.digest(init.fill_(torch.empty(shape, dtype=dtype), law, seed=7, name=name))


@pytest.fixture(scope="module")
def expected():
    """The digest of every tensor as one process makes it."""
    model = worker.mlp()
    worker.fill_model(model)
    tensors = {
        f"{shape}/{law}/{dtype}": whole(worker.SHAPES[shape], worker.LAWS[law], dtype)
        for shape, law, dtype in worker.combinations()
    }
    return tensors | worker.model_digests(model) | {"big": whole(worker.BIG, init.normal(), name="big")}


@pytest.fixture(scope="module", params=[1, 2, 4])
def ranks(request, tmp_path_factory):
    """What each rank of a world of this size reports."""
    return reports_of(worker, request.param, tmp_path_factory.mktemp("gloo") / "store")


def test_any_sharding_gives_the_same_bits(ranks, expected):
    for report in ranks:
        for case, digest in report.items():
            kind, _, rest = case.partition("/")
            if kind in ("megabytes beyond the shard", "big") or kind.startswith("fsdp"):
                continue
            assert digest == expected[rest], case


def test_fsdp_on_the_meta_device_gives_the_same_bits(ranks, expected):
    seen = 0
    for report in ranks:
        for case, digest in report.items():
            if case.startswith("fsdp"):
                assert digest == expected[case.split("/")[1]], case
                seen += 1
    assert seen >= 4 * len(ranks)


def test_a_large_shard_is_filled_in_its_own_memory(ranks, expected):
    """64 MB in all; the fill may hold 16 MB beyond the shard (buffers, and whatever the allocator keeps)."""
    for report in ranks:
        for axis in (0, 1):
            assert report[f"big/{axis}"] == expected["big"]
            assert report[f"megabytes beyond the shard/{axis}"] < 16


def test_no_rank_makes_more_than_its_shard(monkeypatch):
    """Counted at the kernel: the elements made are those of the shard, whatever its shape."""
    from gainstage.init import _cpu
    from gainstage.init._write import write_
    from gainstage.init.streams import Stream

    made, real = [], _cpu.fill_runs
    monkeypatch.setattr(_cpu, "fill_runs", lambda out, *rest: (made.append(out.size), real(out, *rest)))
    for box, offset in (((100, 25), (0, 50)), ((25, 100), (50, 0)), ((3, 7), (96, 93))):
        made.clear()
        write_(torch.empty(box), init.normal().recipe(), Stream(0, "w"), (100, 100), offset)
        assert sum(made) == box[0] * box[1]


def test_pending_sums_are_refused(tmp_path):
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import DTensor, Partial

    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        w = DTensor.from_local(torch.ones(3, 3), init_device_mesh("cpu", (1,)), [Partial()])
        with pytest.raises(init.CannotFill, match="Shard or Replicate"):
            init.fill_(w, init.normal(), name="w")
    finally:
        dist.destroy_process_group()
