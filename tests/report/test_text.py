import re

import pytest
from rich.cells import cell_len

from gainstage.check.findings import Report
from gainstage.report import text

from .conftest import finding, report


def columns(page: str) -> int:
    return max(cell_len(line) for line in page.splitlines())


def plain(page: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", page)


def test_the_page_is_the_golden_one(sick: Report, golden) -> None:
    golden("sick.txt", text(sick))


def test_a_healthy_report_takes_three_lines_at_most(healthy: Report, golden) -> None:
    golden("healthy.txt", text(healthy))
    assert len(text(healthy).splitlines()) <= 3


def test_a_healthy_report_still_names_what_was_not_judged(sick: Report, golden) -> None:
    golden("healthy_with_gaps.txt", text(report(not_judged=sick.not_judged)))


def test_colour_adds_nothing_but_colour(sick: Report) -> None:
    assert "\x1b[" in text(sick, color=True)
    assert plain(text(sick, color=True)) == text(sick)


def test_only_the_named_colours_are_used(sick: Report) -> None:
    codes = {code for found in re.findall(r"\x1b\[([0-9;]*)m", text(sick, color=True)) for code in found.split(";")}
    assert codes <= {"0", "1", "2", "31", "32", "33", "36"}  # reset, bold, dim, red, green, yellow, cyan


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("where", ["a" * 300, "层" * 100, "blocks.0.attention.out_projection.weight " * 5])
def test_no_line_is_longer_than_the_width(where: str, width: int) -> None:
    page = text(report(finding(where, message="very " * 60, measured="9" * 200)), width=width)
    assert columns(page) <= width


def test_a_wrapped_name_is_still_whole() -> None:
    name = "encoder.layers." + "x" * 200 + ".weight"
    assert name in re.sub(r"\n *", "", text(report(finding(name))))


@pytest.mark.parametrize("name", ["[bold]x", "[/]", "[link=x]y[/link]", ":boom:", r"\[red]"])
def test_markup_in_a_name_prints_literally(name: str) -> None:
    assert name in text(report(finding(name)))
    assert name in plain(text(report(finding(name)), color=True))


@pytest.mark.parametrize("bad", ["\x1b[31m", "\x1b]0;title\x07", "\r", "\n", "\x9b31m", "\u202e", "\x00"])
def test_control_characters_in_any_field_are_shown_as_escapes(bad: str) -> None:
    fields = dict.fromkeys(("where", "name", "code"), f"a{bad}b")
    page = text(report(finding(**fields)))
    assert bad not in page.replace("\n", "" if bad != "\n" else "\n\n") or bad == "\n"
    assert "a" + bad.encode("unicode_escape").decode() + "b" in page


def test_a_line_break_in_a_message_is_a_space() -> None:
    assert "one two" in text(report(finding(message="one\ntwo")))


def test_places_limits_each_block_and_says_how_many_more() -> None:
    page = text(report(*(finding(f"layer{i}.weight") for i in range(5))), places=2)
    assert "layer1.weight" in page
    assert "layer2.weight" not in page
    assert "3 more places" in page


def test_places_with_different_numbers_show_each_number(sick: Report) -> None:
    page = text(sick)
    assert "RMS 81" in page
    assert "RMS 952" in page


def test_notes_alone_do_not_count_against_the_model() -> None:
    page = text(report(finding(severity="note")))
    assert "1 note." in page
    assert "do not count" in page
