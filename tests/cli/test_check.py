"""`gainstage check`, end to end: exit codes, formats, selection, fixes."""

import json
import sys
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from safetensors.torch import load_model

import gainstage as gs
from gainstage.check import RULES
from gainstage.cli._target import load
from gainstage.plan import _decide
from gainstage.signal import _record


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
    rows = run("check", "nets.py:constant", "--statistics").output.splitlines()[2:]
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


# --- formats -------------------------------------------------------------------------------------------------------


def test_a_format_goes_to_a_file_or_to_standard_output_alike(run, room: Path) -> None:
    for style in ("text", "sarif", "html"):
        printed = run("check", "nets.py:constant", "--output-format", style)
        assert printed.exit_code == 1, (style, printed.output)
        written = run("check", "nets.py:constant", "--output-format", style, "--output-file", "report")
        assert written.exit_code == 1
        assert written.stdout == ""
        assert "wrote report" in written.stderr
        assert (room / "report").read_text(encoding="utf-8") == printed.stdout, style


def test_findings_are_shown_at_the_line_that_calls_their_operation(run, room: Path) -> None:
    (room / "own.py").write_text(OWN)
    lines = run("check", "own.py:build", "--select", "INI101", "--output-format", "concise").stdout.splitlines()
    at = {line.split(":")[2]: line.split(":")[1] for line in lines[:-1]}
    inner, stem = (
        next(n for n, line in enumerate(OWN.splitlines(), 1) if f"self.{layer}(x)" in line)
        for layer in ("inner", "stem")
    )
    assert at == {"block.inner.weight": str(inner), "stem.weight": str(stem)}
    assert all(line.startswith("own.py:") for line in lines[:-1])


def test_findings_in_library_classes_are_shown_at_the_factory(run, room: Path) -> None:
    line = run("check", "nets.py:constant", "--output-format", "concise").stdout.splitlines()[0]
    source = (room / "nets.py").read_text().splitlines()
    assert line.startswith(f"nets.py:{source.index('def constant():') + 1}:")


OWN = """
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(16, 16)

    def forward(self, x):
        return torch.relu(self.inner(x))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.block, self.head = nn.Linear(8, 16), Block(), nn.Linear(16, 3)
        for parameter in self.parameters():
            nn.init.constant_(parameter, 0.1)

    def forward(self, x):
        return self.head(self.block(torch.relu(self.stem(x))))


def build():
    return Net(), torch.randn(32, 8)
"""


def test_the_html_report_has_findings_chart_and_plan(run, room: Path) -> None:
    run("check", "nets.py:constant", "--output-format", "html", "--output-file", "report.html")
    page = (room / "report.html").read_text(encoding="utf-8")
    for expected in ("INI101", "<svg", "forward, predicted", "hidden weight into relu", "rules judged", "nets.py"):
        assert expected in page


@pytest.mark.parametrize(("options", "number"), [((), 1), (("--fix", "-o", "w.safetensors"), 2)])
def test_the_html_report_shows_the_pass_that_was_judged(
    run, monkeypatch, options: tuple[str, ...], number: int
) -> None:
    """Passes of the plan's trial, which run with planned weights, are not counted."""
    made, tried = Mock(wraps=_record.Recorder), _decide._tried

    def not_counted(*given: Any) -> gs.Plan:
        before = made.call_count
        try:
            return tried(*given)
        finally:
            made.call_count = before

    monkeypatch.setattr(_record, "Recorder", made)
    monkeypatch.setattr(_decide, "_tried", not_counted)
    page = run("check", "nets.py:constant", "--output-format", "html", *options).stdout
    assert "<svg" in page
    assert "hidden weight" in page
    assert made.call_count == number


@pytest.mark.parametrize("package", ["matplotlib", "jinja2", "markdown_it"])
def test_html_without_its_extra_is_refused_before_the_pass_and_text_is_not(run, refused, monkeypatch, package) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    message = refused("check", "nets.py:constant", "--output-format", "html")
    assert message == f'gainstage: an HTML report needs {package}. Write: pip install "gainstage[report]"'
    assert run("check", "nets.py:constant").exit_code == 1


def test_verbose_names_every_rule(run) -> None:
    page = run("check", "nets.py:constant", "--verbose").output
    report = json.loads(run("check", "nets.py:constant", "--output-format", "json").stdout)
    assert all(code in page for code in [*report["judged"], *(n["code"] for n in report["not_judged"])])
    brief = run("check", "nets.py:constant").output
    assert len(brief.splitlines()) < len(page.splitlines())


@pytest.mark.parametrize(
    "options",
    [
        ["--diff", "--output-format", "html"],
        ["--diff", "--output-file", "report.txt"],
        ["--statistics", "--output-format", "sarif"],
        ["--statistics", "--diff"],
        ["--fix", "-o", "same", "--output-file", "same"],
    ],
)
def test_formats_that_an_option_does_not_have_are_refused(run, room: Path, options: list[str]) -> None:
    result = run("check", "nets.py:constant", *options)
    assert result.exit_code == 2
    assert "leave out" in result.stderr or "different names" in result.stderr
    assert not (room / "same").exists()


def test_fix_and_a_format_go_together(run, room: Path) -> None:
    options = ["--select", "INI101", "--fix", "-o", "w.safetensors", "--output-format", "sarif"]
    result = run("check", "nets.py:constant", *options)
    assert result.exit_code == 0
    assert json.loads(result.stdout)["runs"][0]["results"] == []
    assert (room / "w.safetensors").exists()


# --- settings ------------------------------------------------------------------------------------------------------


def test_settings_are_read_from_the_target_s_directory_upwards(run, room: Path) -> None:
    inner = room / "models"
    inner.mkdir()
    (inner / "deep.py").write_text((room / "nets.py").read_text())
    (room / "pyproject.toml").write_text('[tool.gainstage]\nselect = ["INI101"]\n')
    for target in ("models/deep.py:constant", "nets:constant"):
        report = json.loads(run("check", target, "--output-format", "json").stdout)
        assert report["judged"] == ["INI101"]
    (room / "elsewhere").mkdir()
    (room / "elsewhere" / "pyproject.toml").write_text('[tool.gainstage]\nselect = ["FWD201"]\n')
    (room / "elsewhere" / "far.py").write_text((room / "nets.py").read_text())
    assert json.loads(run("check", "elsewhere/far.py:constant", "--output-format", "json").stdout)["judged"] == [
        "FWD201"
    ]


def test_options_win_over_settings(run, room: Path) -> None:
    (room / "pyproject.toml").write_text('[tool.gainstage]\nselect = ["FWD"]\nignore = ["INI101"]\n')
    report = json.loads(run("check", "nets.py:constant", "--select", "INI101", "--output-format", "json").stdout)
    assert report["judged"] == ["INI101"]


def test_a_severity_decides_the_exit_code(run, room: Path) -> None:
    (room / "pyproject.toml").write_text('[tool.gainstage.severity]\nINI101 = "note"\n')
    assert run("check", "nets.py:constant", "--select", "INI101").exit_code == 0
    (room / "pyproject.toml").write_text('[tool.gainstage.per-module-ignores]\n"*" = ["INI"]\n')
    assert "No findings" in run("check", "nets.py:constant", "--select", "INI101").output


def test_a_slip_in_the_settings_is_refused_by_file_and_key(refused, room: Path) -> None:
    (room / "pyproject.toml").write_text('[tool.gainstage]\nignored = ["INI101"]\n')
    said = refused("check", "nets.py:constant")
    assert "pyproject.toml" in said
    assert "Did you mean 'ignore'?" in said


# --- baseline ------------------------------------------------------------------------------------------------------


def test_a_baseline_leaves_only_what_is_new(run, room: Path) -> None:
    written = run("check", "nets.py:constant", "--select", "INI101", "--write-baseline", "known.json")
    assert written.exit_code == 0
    assert "INI101" in written.stdout
    assert "wrote known.json: 2 findings" in written.stderr
    again = run("check", "nets.py:constant", "--select", "INI101", "--baseline", "known.json")
    assert again.exit_code == 0
    assert "No new findings. 2 findings known from the baseline" in again.stdout
    more = run("check", "nets.py:constant", "--select", "INI101,INI102", "--seed", "3", "--baseline", "known.json")
    assert "INI101 identical" not in more.stdout
    (room / "known.json").write_text('{"version": 1, "model": "Sequential", "findings": []}')
    assert run("check", "nets.py:constant", "--select", "INI101", "--baseline", "known.json").exit_code == 1


def test_a_baseline_that_cannot_be_read_is_refused(refused, room: Path) -> None:
    assert "cannot read" in refused("check", "nets.py:constant", "--baseline", "none.json")
    (room / "bad.json").write_text("[")
    assert "--baseline bad.json" in refused("check", "nets.py:constant", "--baseline", "bad.json")


def test_several_targets_of_the_command_line_or_of_the_project(run, room: Path) -> None:
    (room / "pyproject.toml").write_text(
        '[tool.gainstage.targets]\ngood = "nets.py:subject"\n'
        'bad = { target = "nets.py:constant" }\nwide = { target = "nets.py:needs(3)", input = "32x8" }\n'
    )
    every = run("check")
    assert every.exit_code == 1
    assert [line for line in every.output.splitlines() if line.startswith("== ")] == ["== good", "== bad", "== wide"]
    assert run("check", "good").exit_code == 0
    assert run("check", "bad", "good", "--output-format", "concise").exit_code == 1
    said = run("check", "--output-format", "json")
    assert said.exit_code == 2
    assert "several TARGETs" in said.stderr


def test_a_project_without_targets_is_told_how_to_list_them(refused) -> None:
    assert "[tool.gainstage.targets]" in refused("check")
