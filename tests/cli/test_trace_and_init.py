"""`gainstage trace` and `gainstage init`, end to end."""

from importlib import import_module
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_model

import gainstage as gs
from gainstage.cli._target import load


def test_trace_prints_a_row_a_layer_within_80_columns(run) -> None:
    result = run("trace", "nets.py:build", "--input", "32x8")
    assert result.exit_code == 0
    assert max(map(len, result.output.splitlines())) <= 80
    assert result.output.count("linear") >= 3


@pytest.mark.parametrize("verb", ["trace", "init"])
def test_a_pipe_gets_whole_lines_and_a_terminal_its_own_width(run, monkeypatch, verb: str) -> None:
    name = "the_projection_of_the_residual_stream_of_the_encoder"
    Path("long.py").write_text(
        f"from collections import OrderedDict as D\nfrom torch import nn\n"
        f"def build(): return nn.Sequential(D({name}=nn.Sequential(D({name}=nn.Linear(8, 8)))))\n"
    )
    piped = run(verb, "long.py:build", "--input", "4x8").output
    assert f"{name}.{name}" in piped.splitlines()[2].split("  ", 2)[verb == "trace"]
    monkeypatch.setattr(import_module(f"gainstage.cli.{verb}"), "width", lambda: 60)
    narrow = run(verb, "long.py:build", "--input", "4x8").output
    assert max(map(len, narrow.partition("\n\n")[0].splitlines())) <= 60


def test_trace_takes_integers_and_keyword_inputs(run) -> None:
    plain = run("trace", "nets.py:Tied", "--input", "ids:4x6:50")
    assert plain.exit_code == 0
    named = run("trace", "nets.py:Tied", "--input", "tokens=ids:4x6:50", "--input", "mask=4x6x1")
    assert named.exit_code == 0
    assert named.output != plain.output


def test_trace_forward_only_shows_no_gradient(run) -> None:
    full = run("trace", "nets.py:with_example").output
    forward = run("trace", "nets.py:with_example", "--no-backward").output
    assert full != forward


def test_an_example_that_does_not_fit_the_model_is_refused(refused) -> None:
    assert "RuntimeError" in refused("trace", "nets.py:build", "--input", "32x9")
    refused("check", "nets.py:build", "--input", "32x9")
    refused("init", "nets.py:build", "--input", "x=32x8")


def test_what_a_factory_prints_does_not_mix_with_the_output(run) -> None:
    result = run("trace", "nets.py:chatty")
    assert "building" in result.stderr
    assert "building" not in result.stdout


@pytest.mark.parametrize("name", ["signal.png", "signal.svg"])
def test_trace_draws_a_file(run, room: Path, name: str) -> None:
    assert run("trace", "nets.py:with_example", "--plot", name).exit_code == 0
    assert (room / name).stat().st_size > 1000


def test_a_drawing_that_cannot_be_is_refused_before_the_pass(refused, room: Path, monkeypatch) -> None:
    assert ".png" in refused("trace", "nets.py:with_example", "--plot", "signal.doc")
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    assert 'pip install "gainstage[plot]"' in refused("trace", "nets.py:with_example", "--plot", "signal.png")


def test_init_without_an_output_prints_the_plan_and_how_to_get_more(run, room: Path) -> None:
    before = set(room.iterdir())
    result = run("init", "nets.py:with_example")
    assert result.exit_code == 0
    assert "0.weight" in result.output
    assert "--emit" in result.output
    assert max(map(len, result.output.splitlines())) <= 80
    assert {p for p in room.iterdir() if p.name != "__pycache__"} == {p for p in before if p.name != "__pycache__"}


def test_init_as_json_is_the_plan_and_nothing_else(run, room: Path) -> None:
    result = run("init", "nets.py:with_example", "--output-format", "json", "--emit", "start.py")
    assert result.exit_code == 0, result.output
    subject = load("nets.py:with_example", [], seed=0)
    assert gs.Plan.from_json(result.stdout) == gs.plan(subject.model, subject.example)
    assert (room / "start.py").exists()


def test_init_writes_the_weights_that_initialize_gives(run, room: Path) -> None:
    result = run("init", "nets.py:with_example", "-o", "w.safetensors", "--seed", "3")
    assert result.exit_code == 0, result.output
    subject = load("nets.py:with_example", [], seed=3)
    gs.initialize(subject.model, subject.example, seed=3)
    other = load("nets.py:build", ["1x8"], seed=9).model
    load_model(other, room / "w.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(other.parameters(), subject.model.parameters(), strict=True))


def test_tied_weights_are_written_once_and_load_again(run, room: Path) -> None:
    assert run("init", "nets.py:Tied", "--input", "ids:16x6:50", "-o", "w.safetensors").exit_code == 0
    with safe_open(room / "w.safetensors", "pt") as written:
        assert len(list(written.keys())) == 1
    model = load("nets.py:Tied", ["ids:4x6:50"], seed=0).model
    load_model(model, room / "w.safetensors")
    assert model.head.weight is model.embedding.weight


def test_init_emits_code_that_runs_without_gainstage(run, room: Path) -> None:
    assert run("init", "nets.py:with_example", "--emit", "start.py").exit_code == 0
    code = (room / "start.py").read_text()
    assert "gainstage" not in "".join(line for line in code.splitlines() if "import" in line)
    compile(code, "start.py", "exec")


def test_an_unknown_scheme_is_refused(refused) -> None:
    assert "he_norm" in refused("init", "nets.py:with_example", "--scheme", "he_norm")


def test_a_file_that_cannot_be_written_leaves_nothing_behind(refused, room: Path) -> None:
    assert "directory that exists" in refused("init", "nets.py:with_example", "-o", "no/w.safetensors")
    (room / "taken").mkdir()
    assert "directory that exists" in refused("init", "nets.py:with_example", "-o", "taken")
    assert not list(room.glob("*.tmp")) + list(room.glob(".*.tmp"))


def test_an_older_file_survives_a_failed_write(room: Path) -> None:
    from gainstage.cli._errors import CannotRun
    from gainstage.cli._files import write_whole

    (room / "w.safetensors").write_text("old")

    def fail(temporary: Path) -> None:
        temporary.write_text("half")
        raise OSError("disk full")

    with pytest.raises(CannotRun, match="disk full"):
        write_whole(room / "w.safetensors", fail)
    assert (room / "w.safetensors").read_text() == "old"
    assert not list(room.glob(".*.tmp"))


def test_trace_foresees_without_running(run) -> None:
    result = run("trace", "nets.py:subject", "--foresee", "--json", "ahead.json", "--plot", "ahead.png")
    assert result.exit_code == 0
    assert "predicted; 100% of" in result.output
    assert "first loss" in result.output
    assert max(map(len, result.output.splitlines())) <= 80
    assert Path("ahead.png").read_bytes().startswith(b"\x89PNG")
    assert '"loss"' in Path("ahead.json").read_text()
    assert run("trace", "nets.py:subject", "--json", "ahead.json").exit_code == 2
