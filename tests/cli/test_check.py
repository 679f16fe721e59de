"""`gainstage check`, end to end: exit codes, formats, selection, fixes."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_model

from gainstage.check import RULES
from gainstage.cli._target import load


def test_a_well_started_model_is_clean(run) -> None:
    result = run("check", "nets.py:subject")
    assert result.exit_code == 0, result.output
    assert "No findings" in result.output or "note" in result.output


def test_a_constant_model_has_findings(run) -> None:
    result = run("check", "nets.py:constant")
    assert result.exit_code == 1
    assert "identical" in result.output
    assert max(map(len, result.output.splitlines())) <= 80
    assert "\x1b" not in result.output


def test_exit_zero_reports_and_leaves_with_0(run) -> None:
    result = run("check", "nets.py:constant", "--exit-zero")
    assert result.exit_code == 0
    assert "error" in result.output


def test_json_is_the_same_verdict_and_nothing_else_on_standard_output(run) -> None:
    result = run("check", "nets.py:constant", "--output-format", "json")
    document = json.loads(result.stdout)
    assert result.exit_code == 1
    assert document["version"] == 1
    assert document["ok"] is False
    assert document["findings"]


def test_the_same_command_says_the_same_twice(run) -> None:
    assert run("check", "nets.py:constant").stdout == run("check", "nets.py:constant").stdout


def test_statistics_counts_each_rule(run) -> None:
    findings = json.loads(run("check", "nets.py:constant", "--output-format", "json").stdout)["findings"]
    rows = run("check", "nets.py:constant", "--statistics").output.splitlines()
    counts = {row.split()[1]: int(row.split()[0]) for row in rows if row.split()[1] in RULES}
    assert counts == {code: sum(f["code"] == code for f in findings) for code in {f["code"] for f in findings}}


def test_select_and_ignore_take_prefixes_lists_and_repeats(run) -> None:
    def codes(*options: str) -> set[str]:
        document = json.loads(run("check", "nets.py:constant", "--output-format", "json", *options).stdout)
        return {f["code"] for f in document["findings"]}

    every = codes()
    one = min(every)
    assert codes("--select", one) == codes("--select", one.lower()) == {one}
    assert one not in codes("--ignore", one)  # others may appear: findings that it had explained
    assert codes("--select", ",".join(sorted(every))) == every
    assert codes(*(word for code in every for word in ("--select", code))) == every
    assert codes("--select", one[:3]) == {code for code in every if code.startswith(one[:3])}


@pytest.mark.parametrize("option", ["--select", "--ignore"])
def test_an_unknown_code_is_refused_with_the_nearest(refused, option: str) -> None:
    code = next(iter(RULES))
    said = refused("check", "nets.py:constant", option, code + "7")
    assert f"{option}: no rule has a code that begins with '{code}7'" in said
    assert f"Did you mean '{code}'?" in said


def test_diff_shows_parameters_before_and_after_and_writes_nothing(run, room: Path) -> None:
    result = run("check", "nets.py:constant", "--diff")
    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert lines[:2] == ["--- as built", "+++ fixed"]
    assert "  - constant 0.1" in lines
    assert any(line.startswith("  + ") for line in lines)
    assert not list(room.glob("*.safetensors"))


def test_fix_writes_weights_that_pass_where_the_built_ones_did_not(run, room: Path) -> None:
    result = run("check", "nets.py:constant", "--fix", "-o", "fixed.safetensors", "--select", "INI101")
    assert result.exit_code == 0, result.output
    assert "wrote fixed.safetensors" in result.stderr
    built = load("nets.py:constant", [], seed=0).model
    fixed = load("nets.py:constant", [], seed=0).model
    load_model(fixed, room / "fixed.safetensors")
    changed = json.loads(run("check", "nets.py:constant", "--select", "INI101", "--output-format", "json").stdout)
    named = {name for finding in changed["findings"] for name in finding["fix"]["laws"]}
    assert named
    for name, before in built.named_parameters():
        assert torch.equal(before, fixed.get_parameter(name)) == (name not in named)


def test_fix_of_a_clean_model_writes_nothing(run, room: Path) -> None:
    result = run("check", "nets.py:subject", "--fix", "-o", "fixed.safetensors", "--select", "INI101")
    assert result.exit_code == 0
    assert "nothing to fix" in result.stderr
    assert not (room / "fixed.safetensors").exists()


@pytest.mark.parametrize("options", [["--fix"], ["-o", "w.safetensors"], ["--fix", "--diff", "-o", "w.safetensors"]])
def test_options_that_contradict_each_other_are_refused(run, options: list[str]) -> None:
    result = run("check", "nets.py:constant", *options)
    assert result.exit_code == 2
    assert "Usage" in result.stderr
