"""`gainstage gain` and `gainstage rule`."""

import json
import math
import re

import pytest

import gainstage as gs
from gainstage.check import RULES
from gainstage.watch import WATCHED

CODE = min(RULES)


def test_gain_prints_a_row_each(run) -> None:
    result = run("gain", "relu", "gelu", "silu")
    assert result.exit_code == 0
    rows = [line.split() for line in result.output.splitlines()[2:5]]
    assert [row[0] for row in rows] == ["relu", "gelu", "silu"]
    assert [float(row[1]) for row in rows] == pytest.approx([gs.gain(n) for n in ("relu", "gelu", "silu")], abs=1e-4)
    assert rows[0][2:] == ["0.5000", f"{math.sqrt(2):.4f}"]
    assert rows[1][3] == "-"


def test_an_unknown_activation_is_refused_before_anything_is_printed(refused) -> None:
    assert "relu" in refused("gain", "gelu", "rellu")


def test_gain_needs_a_name(run) -> None:
    assert run("gain").exit_code == 2


def test_a_rule_is_found_by_code_and_by_name_in_any_case(run) -> None:
    page = run("rule", CODE).output
    assert CODE in page
    assert "Why is this bad?" in page
    assert page == run("rule", CODE.lower()).output == run("rule", RULES[CODE].name).output


def test_an_unknown_rule_is_refused_with_the_nearest(refused) -> None:
    assert f"Did you mean '{CODE}'?" in refused("rule", CODE + "9")


def test_all_shows_every_rule_and_json_parses(run) -> None:
    assert all(code in run("rule", "--all").output for code in RULES)
    every = json.loads(run("rule", "--all", "--output-format", "json").output)
    assert [rule["code"] for rule in every] == sorted({*RULES, *WATCHED})
    assert json.loads(run("rule", CODE, "--output-format", "json").output) == every[0]


@pytest.mark.parametrize("arguments", [[], [CODE, "--all"]])
def test_one_code_or_all_is_asked_for(run, arguments: list[str]) -> None:
    assert run("rule", *arguments).exit_code == 2


def test_a_page_in_the_terminal_fits_and_uses_named_colours(capsys) -> None:
    from gainstage.report.markdown import print_markdown

    print_markdown("# Title\n\n" + "word " * 60 + "\n\n```python\nx = '[bold]'  # " + "y" * 30 + "\n```\n- `item`\n")
    page = capsys.readouterr().out
    assert "[bold]" in page
    assert max(map(len, page.splitlines())) <= 80


def test_formulas_are_plain_characters_for_people_and_tex_for_programs(run) -> None:
    page = run("rule", "BWD301").output
    assert "‖g‖ ‖W‖" in page
    assert "\\lVert" not in page
    assert "\\lVert" in json.loads(run("rule", "BWD301", "--output-format", "json").output)["explanation"]


def test_no_page_of_a_rule_shows_tex(run) -> None:
    assert not re.findall(r".*(?:\$|\\[a-zA-Z]{2,}).*", run("rule", "--all").output)
