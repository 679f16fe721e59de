"""What TARGET accepts, and what it says about what it does not."""

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from gainstage.cli._errors import CannotRun
from gainstage.cli._target import load


@pytest.mark.parametrize(
    "target",
    [
        "nets.py:build",
        "nets:build",
        "./nets.py:build",
        "nets.py:model",
        "nets:model",
        "nets:with_example",
        "nets:subject",
    ],
)
def test_a_factory_a_model_a_pair_and_a_subject_load(room: Path, target: str) -> None:
    subject = load(target, ["4x8"], seed=0)
    assert isinstance(subject.model, nn.Module)
    assert subject.example.shape == (4, 8)


def test_a_dotted_module_and_a_dotted_attribute_load(room: Path) -> None:
    package = room / "lab" / "nets"
    package.mkdir(parents=True)
    (package / "deep.py").write_text(
        "from torch import nn\nclass Zoo:\n    build = staticmethod(lambda: nn.Linear(2, 2))"
    )
    assert isinstance(load("lab.nets.deep:Zoo.build", ["4x2"], seed=0).model, nn.Linear)
    assert isinstance(load("lab/nets/deep.py:Zoo.build", ["4x2"], seed=0).model, nn.Linear)


def test_the_pair_is_not_taken_for_two_inputs(room: Path) -> None:
    subject = load("nets:with_example", [], seed=0)
    assert isinstance(subject.example, torch.Tensor)


def test_a_file_may_import_its_neighbours_and_define_dataclasses(room: Path) -> None:
    (room / "sub").mkdir()
    (room / "sub" / "helper.py").write_text("WIDTH = 5")
    (room / "sub" / "net.py").write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\nfrom torch import nn\n"
        "from helper import WIDTH\n@dataclass\nclass C:\n    n: int = WIDTH\ndef build(): return nn.Linear(C().n, 2)"
    )
    assert load("sub/net.py:build", ["3x5"], seed=0).model.in_features == 5


def test_a_file_named_like_an_installed_module_does_not_replace_it(room: Path) -> None:
    (room / "torch.py").write_text("from torch import nn\ndef build(): return nn.Linear(2, 2)")
    assert isinstance(load("torch.py:build", ["3x2"], seed=0).model, nn.Linear)
    assert sys.modules["torch"] is torch


def test_the_same_seed_gives_the_same_model_and_input_whatever_was_drawn_before(room: Path) -> None:
    one = load("nets.py:build", ["4x8"], seed=5)
    torch.randn(7)
    two = load("nets.py:build", ["4x8"], seed=5)
    other = load("nets.py:build", ["4x8"], seed=6)
    assert torch.equal(one.model[0].weight, two.model[0].weight)
    assert torch.equal(one.example, two.example)
    assert not torch.equal(one.model[0].weight, other.model[0].weight)
    assert not torch.equal(one.example, other.example)


def test_an_input_replaces_the_example_and_the_target_that_went_with_it(room: Path, capsys) -> None:
    subject = load("nets:subject", ["5x8"], seed=0)
    assert (subject.example.shape, subject.target, subject.loss) == ((5, 8), None, None)
    assert "target and loss are not used" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("nets.py", "not of the form package.module:factory or path/to/file.py:factory. Write nets.py:build"),
        ("nets.py:", "not of the form"),
        (":build", "not of the form"),
        ("nets.py:a-b", "not of the form"),
        ("net.py:build", "there is no file net.py. Did you mean 'nets.py'?"),
        ("nosuch/nets.py:build", "there is no directory nosuch"),
        ("notes.txt:build", "notes.txt is not a Python file"),
        ("bad.py:build", "bad.py is not valid Python: '(' was never closed (line 2)"),
        ("binary.py:build", "binary.py is not valid Python"),
        (
            "nett:build",
            "no module 'nett' to import, neither installed nor in the current directory. Did you mean 'nets'?",
        ),
        ("nosuch.deep.module:build", "no module 'nosuch' to import"),
        (
            "needy.py:build",
            "importing needy.py raised ModuleNotFoundError: No module named 'nosuchlib' (needy.py, line 1)",
        ),
        ("needy:build", "importing needy raised ModuleNotFoundError: No module named 'nosuchlib' (needy.py, line 1)"),
        ("raises.py:build", "importing raises.py raised ZeroDivisionError: division by zero (raises.py, line 1)"),
        ("script.py:build", "script.py ends the program when it is imported. Put that part under: if __name__"),
        ("nets.py:biuld", "nets.py has no attribute 'biuld'. Did you mean 'build'? It defines: build, with_example"),
        ("nets.py:Tied.biuld", "nets.py has no attribute 'biuld'"),
        ("nets.py:needs", "nets.py:needs needs arguments: width. Write literals into the target"),
        (
            "nets.py:needs(1, 2, 3)",
            "nets.py:needs cannot be called so: too many positional arguments. It is needs(width",
        ),
        ("nets.py:needs(open('x'))", "expected literals in the brackets"),
        ("nets.py:model(3)", "nets.py:model is a Sequential, which takes no arguments: leave out the brackets"),
        ("nets.py:broken", "nets.py:broken raised KeyError: 'width' (nets.py, line"),
        ("nets.py:leaves", "nets.py:leaves raised SystemExit"),
        ("nets.py:nothing", "gives None (is a return missing?). Expected a model"),
        ("nets.py:pair", "gives a tuple of 3 (Sequential, Tensor, str). Expected a model (torch.nn.Module), a tuple"),
        ("nets.py:torch", "gives a module. Expected a model"),
        ("nets.py:build", "gives a model without an example. Write --input with the shape of one batch"),
        (".:build", "not of the form"),
        ("./:build", "is a directory"),
    ],
)
def test_what_cannot_be_loaded_is_refused_with_one_message(room: Path, refused, target: str, says: str) -> None:
    (room / "notes.txt").write_text("notes")
    (room / "bad.py").write_text("x = 1\ny = (1,\nz = 3\n")
    (room / "binary.py").write_bytes(b"\x00\xff\xfe\x01")
    (room / "needy.py").write_text("import nosuchlib")
    (room / "raises.py").write_text("1 / 0")
    (room / "script.py").write_text("import sys\nsys.exit(0)")
    assert says in refused("trace", target)


def test_verbose_adds_the_stack_trace(run) -> None:
    result = run("trace", "nets.py:broken", "--verbose")
    assert result.exit_code == 2
    assert "Traceback" in result.stderr
    assert result.stderr.rstrip().splitlines()[-1].startswith("gainstage: ")


def test_escape_sequences_in_an_exception_do_not_reach_the_terminal(room: Path, refused) -> None:
    (room / "evil.py").write_text("raise ValueError('\\x1b[31mred\\x1b]0;title\\x07')")
    assert "\x1b" not in refused("trace", "evil.py:build")


def test_a_refused_file_can_be_loaded_once_it_is_right(room: Path) -> None:
    (room / "late.py").write_text("1 / 0")
    with pytest.raises(CannotRun):
        load("late.py:build", ["2x2"], seed=0)
    (room / "late.py").write_text("from torch import nn\n\n\ndef build(): return nn.Linear(2, 2)")
    assert load("late.py:build", ["2x2"], seed=0).model.in_features == 2


def test_a_factory_is_given_literals(room: Path) -> None:
    (room / "sized.py").write_text(
        "from torch import nn\ndef net(width, *, depth=1, name=''):\n"
        "    return nn.Sequential(*[nn.Linear(width, width) for _ in range(depth)])\n"
    )
    model = load("sized.py:net(8, depth=3, name='a:b(c)')", ["4x8"], seed=0).model
    assert [layer.in_features for layer in model] == [8, 8, 8]


def test_a_file_of_a_package_has_its_relative_imports_and_a_src_layout_is_found(room: Path) -> None:
    package = room / "src" / "shop" / "models"
    package.mkdir(parents=True)
    for directory in (package.parent, package):
        (directory / "__init__.py").write_text("")
    (package.parent / "sizes.py").write_text("WIDTH = 6")
    (package / "net.py").write_text(
        "from torch import nn\nfrom ..sizes import WIDTH\ndef build(): return nn.Linear(WIDTH, 2)"
    )
    assert load("src/shop/models/net.py:build", ["3x6"], seed=0).model.in_features == 6
    assert load("shop.models.net:build", ["3x6"], seed=0).model.in_features == 6
