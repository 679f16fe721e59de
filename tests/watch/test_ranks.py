"""A watch in DDP and FSDP2 on two gloo processes: the numbers of one process, one collective a report."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch.distributed as dist
from ranks import reports_of

sys.path.insert(0, str(Path(__file__).parent))
import ranks_worker as worker

pytestmark = pytest.mark.skipif(not dist.is_available() or not dist.is_gloo_available(), reason="no gloo here")


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return reports_of(worker, 2, tmp_path_factory.mktemp("gloo") / "store")


@pytest.fixture(scope="module")
def alone() -> dict[str, Any]:
    return worker.trained(worker.make())


@pytest.mark.parametrize("wrapper", worker.WRAPPERS)
def test_the_numbers_are_those_of_one_process(ranks: Any, alone: Any, wrapper: str) -> None:
    for report in ranks:
        found = report[wrapper]
        assert found["steps"] == alone["steps"] == [1, 2, 4]
        assert found["losses"] == pytest.approx(alone["losses"], rel=1e-6)
        for now, other in zip(found["parameters"], alone["parameters"], strict=True):
            assert now.keys() == other.keys()
            for name, norms in now.items():
                assert norms == pytest.approx(other[name], rel=1e-6)


@pytest.mark.parametrize("wrapper", worker.WRAPPERS)
def test_levels_are_means_over_the_ranks_and_both_say_the_same(ranks: Any, alone: Any, wrapper: str) -> None:
    first, second = (report[wrapper]["sites"] for report in ranks)
    assert first == second
    for now, other in zip(first, alone["sites"], strict=True):
        for name in ("0/linear#0", "3/linear#0", "5/linear#0"):
            assert now[name] == pytest.approx(other[name], rel=1e-6)


@pytest.mark.parametrize("wrapper", worker.WRAPPERS)
def test_a_report_costs_one_collective(ranks: Any, wrapper: str) -> None:
    for report in ranks:
        assert report[wrapper]["collectives"] == len(report[wrapper]["steps"])
        assert report[wrapper]["findings"] == []
