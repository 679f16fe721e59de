"""Where reports go: the terminal, and the boards of other tools, with the tools themselves."""

import io
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from rich.console import Console
from torch import nn

import gainstage as gs
from gainstage.watch import Live
from gainstage.watch.sinks.boards import MLflow, TensorBoard, Trackio, WandB


def watched(*sinks: Any) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    with gs.Watch(model, optimizer, every=5, sinks=sinks):
        for step in range(20):
            if step == 15:
                optimizer.param_groups[0]["lr"] = 0.5
            optimizer.zero_grad()
            F.cross_entropy(model(torch.randn(16, 8)), torch.arange(16) % 3).backward()
            optimizer.step()


def test_the_live_line_and_a_line_for_every_finding() -> None:
    out = io.StringIO()
    watched(Live(Console(file=out, force_terminal=True, width=100, color_system=None)))
    text = out.getvalue()
    assert "step 20: OPT804 rate-too-high at optimizer: rate 0.01 until step 15, 0.5 since" in text
    assert "step 20  loss" in text
    assert "1 finding" in text


def test_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    watched(TensorBoard(str(tmp_path)))
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert [e.step for e in events.Scalars("gainstage/loss")] == [1, 5, 10, 15, 20]
    assert "gainstage/rms/0/linear#0" in events.Tags()["scalars"]
    assert "gainstage/OPT804/text_summary" in events.Tags()["tensors"]


def test_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri(f"file:{tmp_path}")
    mlflow.set_experiment("watched")
    with mlflow.start_run() as run:
        watched(MLflow())
    data = mlflow.get_run(run.info.run_id).data
    assert data.metrics["gainstage/rate"] == 0.5
    assert data.tags["gainstage.OPT804"].startswith("step 20: rate-too-high")


def test_weights_and_biases(tmp_path: Path) -> None:
    wandb = pytest.importorskip("wandb")
    run = wandb.init(mode="disabled", dir=str(tmp_path))
    watched(WandB(run))
    run.finish()
    with pytest.raises(gs.GainstageError, match=r"wandb\.init"):
        WandB()


class Recorded:
    def __init__(self) -> None:
        self.rows: list[tuple[int, dict[str, float]]] = []

    def log(self, numbers: dict[str, float], step: int) -> None:
        self.rows.append((step, numbers))


def test_trackio_gets_numbers_and_findings() -> None:
    recorded = Recorded()
    watched(Trackio(recorded))
    assert [step for step, _ in recorded.rows] == [1, 5, 10, 15, 20]
    assert recorded.rows[-1][1]["gainstage/finding/OPT804"] == 1.0
    assert "gainstage/rms/2/linear#0" in recorded.rows[0][1]


@pytest.mark.parametrize(
    ("name", "make"),
    [("tensorboard", lambda: TensorBoard(".")), ("mlflow", MLflow), ("wandb", WandB), ("trackio", Trackio)],
)
def test_what_is_not_installed_is_told_with_the_extra(monkeypatch: pytest.MonkeyPatch, name: str, make: Any) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(gs.GainstageError, match=rf"gainstage\[{name}\]"):
        make()
