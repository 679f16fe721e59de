"""A user's code never decides how the program ends: 0 is clean, 1 findings, 2 could not run, whatever it raises."""

import pytest
from click.testing import CliRunner

from gainstage.cli import main

CODE = """
import asyncio
import sys

import click
import torch
from torch import nn

import gainstage as gs

WAYS = {{
    "zero": lambda: sys.exit(0),
    "none": lambda: sys.exit(),
    "usage": lambda: sys.exit("usage: give me data"),
    "generator": lambda: (_ for _ in ()).throw(GeneratorExit()),
    "cancelled": lambda: (_ for _ in ()).throw(asyncio.CancelledError()),
    "click": lambda: (_ for _ in ()).throw(click.exceptions.Exit(0)),
    "abort": lambda: (_ for _ in ()).throw(click.Abort()),
    "base": lambda: (_ for _ in ()).throw(BaseException("\x1b[31mred")),
}}
end = WAYS[{way!r}]


class Leaves(nn.Linear):
    def forward(self, x):
        end()


def forward():
    return Leaves(8, 4), torch.randn(4, 8)


def loss():
    return gs.Subject(nn.Linear(8, 4), torch.randn(4, 8), torch.zeros(4, 4), lambda output, target: end())


def step():
    model = nn.Linear(8, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return gs.Subject(model, torch.randn(4, 8), torch.zeros(4, 4), nn.functional.mse_loss, optimizer, end)


def factory():
    end()


if {imported}:
    end()
"""
WAYS = ("zero", "none", "usage", "generator", "cancelled", "click", "abort", "base")


def could_not_run(room, way: str, *arguments: str, imported: bool = False) -> str:
    name = f"leaves_{way}_{imported}.py"
    (room / name).write_text(CODE.format(way=way, imported=imported))
    result = CliRunner().invoke(main, [word.replace("FILE", name) for word in arguments])
    assert result.exit_code == 2, (result.exit_code, result.output, result.exception)
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert "\x1b" not in result.stderr
    return " ".join(result.stderr.split())


@pytest.mark.parametrize("verb", ["check", "trace", "init"])
@pytest.mark.parametrize("way", WAYS)
def test_a_forward_pass_that_leaves_could_not_run(room, way: str, verb: str) -> None:
    said = could_not_run(room, way, verb, "FILE:forward")
    if way in ("zero", "usage"):
        assert "exit" in said.lower()
    if way == "usage":
        assert "usage: give me data" in said


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("where", ["loss", "factory"])
def test_a_loss_and_a_factory_that_leave_could_not_run(room, way: str, where: str) -> None:
    could_not_run(room, way, "check", f"FILE:{where}")


@pytest.mark.parametrize("way", ["zero", "generator", "click"])
def test_a_module_that_leaves_on_import_could_not_run(room, way: str) -> None:
    could_not_run(room, way, "check", "FILE:forward", imported=True)
