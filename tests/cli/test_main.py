"""The program as a whole: help, exit codes, what it imports."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from gainstage.cli import main

VERBS = ("demo", "trace", "check", "init", "rule", "gain", "transfer", "compare", "lab")
HEAVY = (
    "torch",
    "numpy",
    "numba",
    "rich",
    "sklearn",
    "gainstage.init",
    "gainstage.signal",
    "gainstage.plan",
    "gainstage.check",
    "gainstage.train",
    "gainstage.report",
)


def shell(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from gainstage.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )


@pytest.mark.parametrize("arguments", [["--help"], *([verb, "--help"] for verb in VERBS)])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = f"""
import sys
from gainstage.cli import main
try:
    main({arguments!r})
except SystemExit as left:
    assert left.code == 0
sys.exit(str([m for m in {HEAVY!r} if m in sys.modules]) if any(m in sys.modules for m in {HEAVY!r}) else 0)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("arguments", [[], ["--help"], *([verb, "--help"] for verb in VERBS)])
def test_help_fits_into_80_columns_and_cuts_no_sentence(arguments: list[str]) -> None:
    page = CliRunner().invoke(main, arguments).output
    assert max(map(len, page.splitlines())) <= 80
    if arguments != [] and len(arguments) == 1:
        assert all(f"\n  {verb} " in page for verb in VERBS)
    assert "...\n" not in page.replace("ACTIVATION...\n", "").replace("[ARGS]...\n", "")


def test_a_verb_that_is_none_is_refused_with_the_nearest() -> None:
    result = CliRunner().invoke(main, ["chekc"])
    assert result.exit_code == 2
    assert "Did you mean 'check'?" in result.output


def test_the_version_is_the_package_s() -> None:
    from importlib.metadata import version

    assert version("gainstage") in CliRunner().invoke(main, ["--version"]).output


def test_an_unexpected_error_is_no_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    import gainstage

    monkeypatch.setitem(vars(gainstage), "gain", lambda _: 1 / 0)
    result = CliRunner().invoke(main, ["gain", "relu"])
    assert result.exit_code == 2
    assert result.stderr.startswith("gainstage: unexpected ZeroDivisionError: division by zero")
    assert "--verbose shows the stack trace" in result.stderr


def test_ctrl_c_ends_quietly(monkeypatch: pytest.MonkeyPatch) -> None:
    import gainstage

    def interrupted(_: str) -> float:
        raise KeyboardInterrupt

    monkeypatch.setitem(vars(gainstage), "gain", interrupted)
    result = CliRunner().invoke(main, ["gain", "relu"])
    assert result.exit_code == 130
    assert result.stderr == "gainstage: interrupted\n"


def test_a_stack_trace_is_never_shown_by_the_program_itself(room: Path) -> None:
    result = shell("trace", "nets.py:broken")
    assert result.returncode == 2
    assert result.stderr.startswith("gainstage: nets.py:broken raised KeyError")
    assert "Traceback" not in result.stderr


def test_output_that_is_not_utf_8_still_works(room: Path) -> None:
    result = shell("gain", "relu", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert result.returncode == 0
    assert "1.4142" in result.stdout
