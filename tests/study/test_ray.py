"""RayExecutor on a real cluster of two nodes on this machine, where calls, workers and a node are lost."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from calls import innocent, kill_first, meet, numbers, raises, raises_awkward, where
from small_study import numbers_of, small

from gainstage.study import Serial, StudyError, WorkerLost
from gainstage.study._ray import RayExecutor, loopback


@contextmanager
def two_nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, Any]]:
    """A cluster whose second node has a GPU, so Ray is told; everything listens on 127.0.0.1."""
    try:
        import ray
        from ray.cluster_utils import Cluster
    except ModuleNotFoundError:
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail("CI=true and Ray is not installed: pip install '.[test]'")
        pytest.skip("Ray is not installed: pip install '.[test]'")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    node = {
        "num_cpus": 1,
        "object_store_memory": 80 * 2**20,
        "include_dashboard": False,
        "node_ip_address": "127.0.0.1",
    }
    with loopback():
        cluster = Cluster(initialize_head=True, head_node_args=node)
        try:
            yield cluster, cluster.add_node(num_gpus=1, **node)
        finally:
            ray.shutdown()
            cluster.shutdown()


def test_a_cluster_of_two_nodes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One test, since a cluster takes seconds to start and pytest-xdist shares out the tests of a module."""
    with two_nodes(monkeypatch) as (cluster, second):
        with RayExecutor(cluster.address) as executor:
            runs_on_both_nodes(executor)
            gives_the_numbers_of_serial(executor)
            runs_a_study(executor)
            passes_exceptions_on(executor)
            sends_a_large_tensor_once(executor)
            runs_again_what_lost_its_worker(executor, tmp_path)
            shares_a_gpu(tmp_path)
            cancels_what_runs(executor, tmp_path)
            runs_again_what_lost_its_node(executor, cluster, second, tmp_path)
        with pytest.raises(RuntimeError, match="make a new one"):
            executor.submit(pow, 2, 2)


def runs_on_both_nodes(executor: RayExecutor) -> None:
    seen: set[str] = set()
    end = time.monotonic() + 60  # a worker takes seconds to start
    while len(seen) < 2 and time.monotonic() < end:
        seen |= {call.result() for call in [executor.submit(where) for _ in range(4)]}
    assert len(seen) == 2
    assert executor.submit(torch.get_num_threads).result() == 1


def gives_the_numbers_of_serial(executor: RayExecutor) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        here = [Serial().submit(numbers, seed).result() for seed in range(4)]
    finally:
        torch.set_num_threads(threads)
    there = [executor.submit(numbers, seed) for seed in range(4)]
    assert all(torch.equal(one, other.result()) for one, other in zip(here, there, strict=True))


def runs_a_study(executor: RayExecutor) -> None:
    assert numbers_of(small().run(executor=executor)) == numbers_of(small().run(executor=Serial()))


def passes_exceptions_on(executor: RayExecutor) -> None:
    with pytest.raises(KeyError, match="as it is"):
        executor.submit(raises, KeyError("as it is")).result()
    with pytest.raises(StudyError, match=r"does not travel: .*Awkward: one"):
        executor.submit(raises_awkward).result()
    assert isinstance(executor.submit(raises, SystemExit(3)).exception(), SystemExit)


def sends_a_large_tensor_once(executor: RayExecutor) -> None:
    large = torch.arange(100_000.0)
    calls = [executor.submit(torch.add, large, i) for i in range(3)]
    assert all(torch.equal(call.result(), large + i) for i, call in enumerate(calls))
    (first,) = (ref for _, ref in executor._sent.values())
    large += 1  # what was sent is no longer what is meant
    assert torch.equal(executor.submit(torch.add, large, 0).result(), large)
    assert [ref == first for _, ref in executor._sent.values()] == [False]
    del large, calls
    assert not executor._sent


def runs_again_what_lost_its_worker(executor: RayExecutor, marks: Path) -> None:
    once, always = executor.submit(kill_first, marks, "once", 1), executor.submit(kill_first, marks, "always", 9)
    others = [executor.submit(innocent, marks, i) for i in range(4)]
    assert once.result() == "once"
    with pytest.raises(WorkerLost, match="3 times"):
        always.result()
    assert [other.result() for other in others] == list(range(4))
    assert [len(list(marks.glob(f"{name}-*"))) for name in ("once", "always")] == [2, 3]


def shares_a_gpu(marks: Path) -> None:
    with RayExecutor(num_cpus=0, num_gpus=0.5) as halves:  # the Ray that runs
        spans = [call.result() for call in [halves.submit(meet, marks) for _ in range(6)]]
    begins = [begin for begin, _ in spans]
    at_once = [sum(begin <= moment < end for begin, end in spans) for moment in begins]
    assert max(at_once) == 2


def cancels_what_runs(executor: RayExecutor, marks: Path) -> None:
    calls = [executor.submit(kill_first, marks, "cancelled", 0, 600.0) for _ in range(2)]
    until(lambda: list(marks.glob("cancelled-*")))
    assert all(call.cancel() for call in calls)
    assert executor.submit(pow, 2, 3).result(timeout=120) == 8  # the worker is free again


def runs_again_what_lost_its_node(executor: RayExecutor, cluster: Any, node: Any, marks: Path) -> None:
    calls = [executor.submit(where, marks, 3.0) for _ in range(2)]
    until(lambda: any(node.node_id in mark.name for mark in marks.glob("where-*")))
    cluster.remove_node(node)
    assert {call.result(timeout=120) for call in calls} == {cluster.head_node.node_id}
    assert len(list(marks.glob("where-*"))) == 3


def until(true: Any) -> None:
    end = time.monotonic() + 120
    while not true():
        assert time.monotonic() < end, "it did not happen in two minutes"
        time.sleep(0.02)


def test_ray_that_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(StudyError, match=r'pip install "gainstage\[ray\]"'):
        RayExecutor()
