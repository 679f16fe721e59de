"""`gainstage transfer`: what a newcomer types, and what comes back."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gainstage.cli import main

NET = """
import torch
from torch import nn

def model(width, depth=1):
    hidden = [m for _ in range(depth) for m in (nn.Linear(width, width), nn.ReLU())]
    net = nn.Sequential(nn.Linear(8, width), nn.ReLU(), *hidden, nn.Linear(width, 4))
    return net, torch.randn(16, 8)

def fixed(width):
    return model(16)

def none():
    return model(16)
"""


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(NET)
    return "net.py"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["transfer", *arguments])


def test_standard_fails_with_exit_code_1(net: str) -> None:
    found = run(f"{net}:model", "--widths", "32,64,128,256", "--rule", "standard", "--seeds", "2", "--most", "2")
    assert found.exit_code == 1
    assert found.output.startswith("fail: standard with adam, width 32, 64, 128, 256 (2 seeds, 5 steps")
    assert "2.weight: what it learns grows like width^" in found.output
    assert "its rate is not divided" in found.output


def test_what_the_target_gets_is_written_as_data(net: str) -> None:
    found = run(f"{net}:model", "--widths", "16,64", "--depths", "1,2", "--plan", "-o", "move.json")
    assert found.exit_code == 0
    assert "factors on the base's" in found.output
    told = json.loads(Path("move.json").read_text())
    rates = {name: scaling["lr"] for name, scaling in told["parameters"].items() if name.endswith("weight")}
    assert rates == {"0.weight": 1, "2.weight": 0.25, "4.weight": 0.25, "6.weight": 0.25}


def test_json_and_html(net: str) -> None:
    common = (f"{net}:model", "--widths", "16,32", "--seeds", "1", "--most", "1", "--rule", "standard", "--exit-zero")
    found = run(*common, "--output-format", "json")
    told = json.loads(found.stdout)
    assert {row["quantity"] for row in told["check"]["rows"]} == {"own", "passed", "change"}
    found = run(*common, "--output-format", "html", "--output-file", "page.html")
    assert found.exit_code == 0
    page = Path("page.html").read_text()
    assert "gainstage transfer: Sequential" in page
    assert '<svg role="img"' in page
    assert "<script" not in page
    assert len(page) < 500_000


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("net.py:model", "--widths", "64"), "at least two different numbers"),
        (("net.py:fixed", "--widths", "16,32"), "no parameter grows"),
        (("net.py:none", "--widths", "16,32"), "takes no argument for the width"),
        (("net.py:fixed", "--widths", "16,32", "--depths", "1,2"), "takes no argument for the depth"),
        (("net.py:model", "--widths", "16,32", "--input", "8x8"), "brings its own example"),
    ],
)
def test_slips_are_told(net: str, arguments: tuple[str, ...], said: str) -> None:
    found = run(*arguments)
    assert found.exit_code == 2
    assert said in " ".join(found.output.split())
