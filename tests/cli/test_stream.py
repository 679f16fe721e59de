"""`gainstage stream`: the start of a model on the meta device, from a terminal."""

import json
from pathlib import Path

EMPTY = """
import torch
from torch import nn


def build():
    with torch.device("meta"):
        model = nn.Sequential(*(nn.Sequential(nn.Linear(8, 8), nn.Tanh()) for _ in range(3)), nn.Linear(8, 3))
    return model, torch.randn(16, 8, generator=torch.Generator().manual_seed(0))
"""


def test_a_model_on_the_meta_device_is_streamed_and_its_norms_are_written(run) -> None:
    Path("empty.py").write_text(EMPTY)
    arguments = ("stream", "empty.py:build", "--loss", "cross_entropy", "--directory", "run", "--json", "s.json")
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    data = json.loads(Path("s.json").read_text())
    assert f"first loss {data['loss']:.4f}" in result.output
    assert [block["path"] for block in data["blocks"]] == ["0", "1", "2"]
    assert len(data["gradients"]) == 8
    again = run(*arguments)  # from what the first run left
    assert f"first loss {data['loss']:.4f}" in again.output
    other = run(*arguments, "--seed", "1")
    assert other.exit_code == 2
    assert "another model, plan, seed or example" in " ".join(other.output.split())
