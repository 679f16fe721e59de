"""Checkpoints hold what they were given, and survive a kill at any moment."""

import json
import math
import os
import random
import signal
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from hypothesis import given, settings
from hypothesis import strategies as st
from ranks import reports_of
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.functional import mse_loss
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, TensorDataset

from gainstage.train import EarlyStopping, TrainError, _storage, fit, load_checkpoint, save_checkpoint, warmup
from gainstage.train._storage import read, snapshot, write

sys.path.insert(0, str(Path(__file__).parent))
import agree_worker
import kill_worker


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    return tmp_path_factory.mktemp("shelf") / "state.safetensors"


tensors = st.builds(
    lambda shape, dtype: torch.arange(math.prod(shape)).reshape(shape).to(dtype),
    st.lists(st.integers(0, 3), max_size=3),
    st.sampled_from([torch.float32, torch.bfloat16, torch.float64, torch.int64, torch.bool, torch.uint8]),
)
plain = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), tensors)
keys = st.one_of(st.text(), st.integers(), st.booleans(), st.tuples(st.integers(), st.text()))
states = st.recursive(
    plain,
    lambda inner: st.one_of(st.lists(inner), st.lists(inner).map(tuple), st.dictionaries(keys, inner)),
    max_leaves=8,
)


def same(a, b) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(map(same, a.values(), b.values())) and all(map(same, a, b))
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b or (isinstance(a, float) and math.isnan(a) and math.isnan(b))


@settings(max_examples=40)
@given(st.dictionaries(st.text(), states, max_size=4))
def test_what_is_read_is_what_was_written(shelf, state) -> None:
    write(shelf, state)
    assert same(read(shelf), state)
    assert same(snapshot(state), state)


def test_a_tied_tensor_is_stored_once_and_views_of_one_storage_apart(tmp_path) -> None:
    path = tmp_path / "x.safetensors"
    model = nn.Sequential(nn.Embedding(50, 8), nn.Linear(8, 50, bias=False))
    model[1].weight = model[0].weight
    whole = torch.arange(12.0)
    save_checkpoint(
        path,
        model=model,
        views={
            "left": whole[:6],
            "right": whole[6:],
            "both": whole.view(3, 4).T,
            "all": whole,
            "again": whole.view(2, 6),
        },
    )
    stored = load_file(path)
    assert [name for name in stored if "model" in name] == ["objects/model/0.weight"]
    views = load_checkpoint(path, model=model)["views"]
    assert model[1].weight is model[0].weight
    assert torch.equal(torch.cat([views["left"], views["right"]]), whole)
    assert torch.equal(views["both"], whole.view(3, 4).T)
    assert torch.equal(views["all"].view(2, 6), views["again"])


def test_the_versions_of_modules_are_kept(tmp_path) -> None:
    state = nn.BatchNorm1d(2).state_dict()
    write(tmp_path / "x", {"state": state})
    for copied in (read(tmp_path / "x")["state"], snapshot(state)):
        assert isinstance(copied, OrderedDict)
        assert copied._metadata == state._metadata


def test_a_run_goes_on_with_the_same_random_numbers(tmp_path) -> None:
    save_checkpoint(tmp_path / "run")

    def draw() -> list[float]:
        return [random.random(), np.random.rand(), np.random.randn(), torch.rand(()).item(), torch.randn(()).item()]

    first = draw()
    assert draw() != first
    load_checkpoint(tmp_path / "run")
    assert draw() == first


def test_a_schedule_and_a_scaler_are_objects_like_any_other(tmp_path) -> None:
    def made():
        optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=1.0, momentum=0.9)
        warm = torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, total_iters=3)
        decay = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
        return optimizer, torch.optim.lr_scheduler.SequentialLR(optimizer, [warm, decay], [3])

    optimizer, schedule = made()
    for _ in range(5):
        optimizer.step()
        schedule.step()
    save_checkpoint(tmp_path / "run", optimizer=optimizer, schedule=schedule)
    other, later = made()
    load_checkpoint(tmp_path / "run", optimizer=other, schedule=later)
    later.step()
    schedule.step()
    assert later.get_last_lr() == schedule.get_last_lr()
    assert other.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"hooks": [print]}, "objects/thing/hooks/0 is a builtin_function_or_method, which is no data"),
        (torch.empty(2, device="meta"), "has no data"),
        (torch.eye(2).to_sparse(), "sparse"),
        (b"bytes", "is a bytes"),
    ],
)
def test_what_is_no_data_is_refused_by_its_place_and_the_old_file_stays(tmp_path, value, says) -> None:
    path = tmp_path / "run.safetensors"
    save_checkpoint(path, epoch=1)
    with pytest.raises(TrainError, match=says):
        save_checkpoint(path, thing=value)
    assert load_checkpoint(path) == {"epoch": 1}
    assert os.listdir(tmp_path) == ["run.safetensors"]


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch) -> None:
    path = tmp_path / "run.safetensors"
    save_checkpoint(path, epoch=1)

    def full(tensors, target, metadata):
        Path(target).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_storage, "save_file", full)
    with pytest.raises(TrainError, match=r"No space left.*as it was"):
        save_checkpoint(path, epoch=2)
    assert load_checkpoint(path) == {"epoch": 1}
    assert os.listdir(tmp_path) == ["run.safetensors"]


def test_loading_what_does_not_fit_changes_nothing(tmp_path) -> None:
    path = tmp_path / "run"
    model = nn.Linear(2, 2)
    adam = torch.optim.Adam(model.parameters())
    save_checkpoint(path, model=model, optimizer=adam)
    other = nn.Linear(2, 2)
    before = other.weight.clone()
    wrong = torch.optim.Adam([nn.Parameter(torch.ones(1))])
    with pytest.raises(TrainError, match="'optimizer' does not fit"):
        load_checkpoint(path, model=other, optimizer=wrong)
    assert torch.equal(other.weight, before)
    with pytest.raises(TrainError, match="no 'averaged'; it holds 'model', 'optimizer'"):
        load_checkpoint(path, averaged=other)


def test_files_of_others_are_refused(tmp_path) -> None:
    path = tmp_path / "x.safetensors"
    with pytest.raises(TrainError, match="no file"):
        load_checkpoint(path)
    save_file({"w": torch.ones(1)}, path)
    with pytest.raises(TrainError, match="not written by"):
        load_checkpoint(path)
    path.write_bytes(b"\x80\x04pickle")
    with pytest.raises(TrainError, match="is not a file that"):
        load_checkpoint(path)
    write(path, {"best": 1.0})
    with pytest.raises(TrainError, match="not a checkpoint of"):
        load_checkpoint(path)


@pytest.mark.parametrize("part", ["python", "numpy", "torch"])
def test_a_random_state_that_no_generator_takes_is_refused_before_anything_is_loaded(tmp_path, part) -> None:
    path, model = tmp_path / "run", nn.Linear(2, 2)
    save_checkpoint(path, model=model)
    stored = read(path)
    stored["random states"][0][part] = stored["random states"][0][part][:2]
    write(path, stored)
    other = nn.Linear(2, 2)
    before, state = other.weight.clone(), torch.get_rng_state()
    drawn = random.getstate()
    with pytest.raises(TrainError, match="random states that no generator takes"):
        load_checkpoint(path, model=other)
    assert torch.equal(other.weight, before)
    assert torch.equal(torch.get_rng_state(), state)
    assert random.getstate() == drawn


def test_a_number_that_changed_on_the_disk_is_found(tmp_path) -> None:
    path = tmp_path / "run"
    save_checkpoint(path, model=nn.Linear(2, 2), epoch=7)
    content = path.read_bytes()
    for changed in (content[:-1] + bytes([content[-1] ^ 1]), content.replace(b"7", b"8", 1)):
        path.write_bytes(changed)
        with pytest.raises(TrainError):
            load_checkpoint(path)
    save_file({"w": torch.ones(1)}, path, metadata={"gainstage": "{}"})
    with pytest.raises(TrainError, match="not of format 2"):
        load_checkpoint(path)


class Power(RuntimeError):
    """Fails, in the middle of an epoch."""


def test_fit_goes_on_from_a_checkpoint_as_if_nothing_had_happened(tmp_path) -> None:
    """With dropout, a shuffling loader, a schedule and averaged weights, cut at a step of the third epoch."""
    path = tmp_path / "run.safetensors"

    def run(fails_at: int | None) -> list[torch.Tensor]:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 1))
        averaged = AveragedModel(model)
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
        stopper = EarlyStopping(patience=2, keep={"model": model})
        things = {"model": model, "optimizer": optimizer, "averaged": averaged, "stopper": stopper}
        data = TensorDataset(torch.randn(24, 4), torch.randn(24, 1))
        if path.exists():
            load_checkpoint(path, **things)

        def power(step) -> None:
            averaged.update_parameters(model)
            if step.number == fails_at:
                raise Power

        fit(
            model,
            DataLoader(data, batch_size=8, shuffle=True),
            loss=mse_loss,
            optimizer=optimizer,
            start=stopper.epoch,
            epochs=5,
            schedule=warmup(3, total=20),
            validate=lambda _: {"val_loss": 1 / (1 + stopper.epoch)},
            on_step=[power],
            on_epoch=[stopper, lambda _: save_checkpoint(path, **things)],
        )
        stopper.restore()
        return [*model.state_dict().values(), *averaged.state_dict().values()]

    whole = run(None)
    path.unlink()
    with pytest.raises(Power):
        run(fails_at=7)
    resumed = run(None)
    assert all(map(torch.equal, whole, resumed))


@pytest.mark.skipif(not hasattr(os, "fork") or not hasattr(signal, "SIGKILL"), reason="needs fork and SIGKILL")
def test_a_run_that_is_killed_at_any_moment_ends_as_if_it_was_not(tmp_path) -> None:
    """Every moment of a write, three kills each, and eight at random times; with the best in memory and on disk."""
    command = [sys.executable, kill_worker.__file__, str(tmp_path)]
    done = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    report = json.loads(done.stdout.decode().splitlines()[-1])
    whole = report["memory/whole"]
    assert whole["value"] == "2.0"
    assert whole["why"] == "val_loss has not fallen below 2 (epoch 8) for 3 epochs"
    assert len(report) == 2 * (2 + len(kill_worker.MOMENTS))
    for case, result in report.items():
        assert {k: v for k, v in result.items() if k not in ("kills", "files")} == {
            k: whole[k] for k in ("end", "best", "value", "why")
        }, case
        if any(moment in case for moment in kill_worker.MOMENTS):
            assert result["kills"] == 3, case
        assert not [name for name in result["files"] if name.endswith(".tmp")], case


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    """What each of two processes reports."""
    if not dist.is_available() or not dist.is_gloo_available():
        pytest.skip("no gloo here")
    folder = tmp_path_factory.mktemp("agree")
    return reports_of(agree_worker, 2, folder / "store", folder)


def test_processes_stop_together_and_restore_the_same(processes) -> None:
    patient = [4, "val_loss has not fallen below 2 (epoch 1) for 2 epochs", 2.0, 1.0]
    wanted = {"mean": patient, "one rank": patient, "nan": [3, "val_loss is nan in epoch 2", 2.0, 1.0]}
    for report in processes:
        for case, expected in wanted.items():
            assert report[f"{case}/memory"] == report[f"{case}/disk"] == expected


def test_each_process_gets_its_own_random_state_back(processes) -> None:
    first, second = (report["random"] for report in processes)
    assert first[:2] == second[:2] == [{"epoch": 3}, True]
    assert first[2] != second[2]


def test_a_write_that_fails_in_one_process_fails_in_all(processes) -> None:
    first, second = (report["refused"] for report in processes)
    assert first.startswith("could not write")
    assert second == f"another process failed: TrainError: {first}"


def test_statistics_are_those_of_the_samples_of_all_processes(processes) -> None:
    x = agree_worker.data().double()
    for report in processes:
        mean, var = report["batchnorm"]
        assert mean == pytest.approx(x.mean(0).tolist(), rel=1e-7)
        assert var == pytest.approx(x.var(0).tolist(), rel=1e-6)
