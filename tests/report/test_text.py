import re

import pytest
from rich.cells import cell_len

from gainstage.check import Baseline, only_new
from gainstage.check.findings import Fix, NotJudged, Report
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


def crowded() -> Report:
    """Fifteen notes of five rules, eight symptoms, 20 judged rules, 17 that were not for ten reasons."""
    notes = [finding(f"b.{j}.w", code=f"REG60{i}", name="smell", severity="note") for i in range(5) for j in range(3)]
    cause = finding("a.weight", symptoms=tuple(f"FWD20{i} quiet at a: 0" for i in range(8)))
    gaps = [NotJudged(f"OPT70{i}", "step", "no optimizer was given: pass optimizer=") for i in range(8)]
    gaps += [NotJudged(f"NRM40{i}", "norm", f"reason {i}") for i in range(8)]
    gaps += [NotJudged("DAT601", "broken", "the rule itself failed: ZeroDivisionError: division by zero")]
    judged = tuple(f"FWD2{i:02}" for i in range(15)) + tuple(f"INI1{i:02}" for i in range(5))
    return Report("Net", 10, 3, (cause, *notes), tuple(gaps), judged)


def test_a_crowded_page_stays_short_and_says_what_it_leaves_out(golden) -> None:
    page = text(crowded())
    golden("crowded.txt", page)
    assert len(page.splitlines()) < 35
    assert "FWD 15, INI 5" in page


def test_a_rule_that_failed_comes_first_among_those_not_judged() -> None:
    lines = text(crowded()).splitlines()
    assert "ZeroDivisionError" in lines[lines.index("17 rules not judged (--verbose names each):") + 1]


def test_verbose_says_everything() -> None:
    told, page = crowded(), text(crowded(), verbose=True)
    words = page.split()
    assert all(code in words or f"{code}." in words for code in told.judged)
    assert all(n.code in words for n in told.not_judged)
    assert all(symptom in page for f in told.findings for symptom in f.symptoms)
    assert page.count("REG604") == 1
    assert page.count("b.2.w") == 5
    assert "--verbose" not in page


def test_advice_that_differs_by_the_place_only_is_given_once() -> None:
    names = [f"layer{i}.weight" for i in range(40)]
    page = text(report(*(finding(n, fix=Fix(f"draw {n} at random")) for n in names)), places=3)
    assert "error, 40 places" in page
    assert "draw layer0.weight at random; the others likewise" in page
    assert len(page.splitlines()) < 16


def test_what_a_baseline_knows_is_counted_and_not_shown(sick: Report) -> None:
    page = text(only_new(sick, Baseline.of(sick)))
    assert "No new findings. 8 findings known from the baseline not shown." in " ".join(page.split())
    assert "-->" not in page
