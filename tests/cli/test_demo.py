"""`gainstage demo`: what it promises."""

import re
import sys

import pytest
from click.testing import CliRunner

from gainstage.cli import main


@pytest.fixture(scope="module")
def page() -> str:
    result = CliRunner().invoke(main, ["demo"])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_it_reads_within_80_columns_without_colours_when_piped(page: str) -> None:
    assert max(map(len, page.splitlines())) <= 80
    assert "\x1b" not in page
    assert len(page.splitlines()) < 150


def test_the_default_start_has_errors_and_the_planned_one_is_clean(page: str) -> None:
    before, after = page.split("\n3. ")[0], page.split("\n3. ")[1].split("\n4. ")[0]
    assert re.search(r"\d+ errors?", before)
    assert not re.search(r"\d+ (errors?|warnings?)", after)


def test_both_accuracies_are_printed_and_the_planned_start_wins(page: str) -> None:
    default, started = (float(n) for n in re.findall(r"([\d.]+)%", page)[-2:])
    assert started > default + 30


def test_without_scikit_learn_it_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [m for m in sys.modules if m == "sklearn" or m.startswith("sklearn.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    result = CliRunner().invoke(main, ["demo"])
    assert result.exit_code == 2
    assert 'pip install "gainstage[study]"' in result.stderr
