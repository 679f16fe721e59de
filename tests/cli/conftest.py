"""A directory of targets to run the command line on."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gainstage.cli import main

TARGETS = """
import torch
from torch import nn
import gainstage as gs


def build():
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3))


def with_example():
    return build(), torch.randn(32, 8)


def started():
    model, x = with_example()
    gs.initialize(model, x)
    return model, x


def subject():
    model, x = started()
    return gs.Subject(model, x, torch.arange(32) % 3, nn.functional.cross_entropy)


def constant():
    model, x = with_example()
    for parameter in model.parameters():
        nn.init.constant_(parameter, 0.1)
    return gs.Subject(model, x, torch.arange(32) % 3, nn.functional.cross_entropy)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(50, 16)
        self.head = nn.Linear(16, 50, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens, mask=None):
        h = self.embedding(tokens)
        return self.head(h if mask is None else h * mask)


model = build()


def needs(width, depth=2):
    return build()


def nothing():
    build()


def pair():
    return build(), torch.randn(4, 8), "more"


def broken():
    return {}["width"]


def leaves():
    raise SystemExit(0)


def chatty():
    print("building")
    return with_example()
"""


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current directory, with `nets.py` in it; what a test imports from here is forgotten afterwards."""
    (tmp_path / "nets.py").write_text(TARGETS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    modules = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - modules:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


Run = Callable[..., Result]


@pytest.fixture
def run(room: Path) -> Run:
    """`run("check", "nets.py:build", ...)`: the result of the command line, in `room`."""

    def call(*arguments: str) -> Result:
        return CliRunner().invoke(main, list(arguments))

    return call


@pytest.fixture
def refused(run: Run) -> Callable[..., str]:
    """Run, and return the one message of a command that could not: exit code 2, nothing on standard output."""

    def call(*arguments: str) -> str:
        result = run(*arguments)
        assert result.exit_code == 2, result.output
        assert result.stdout == ""
        assert "Traceback" not in result.stderr
        assert all(len(line) <= 80 or " " not in line.strip() for line in result.stderr.splitlines())
        return " ".join(result.stderr.split())

    return call
