"""A baseline knows what was found by rule and place, never by number."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gainstage as gs
from gainstage.check import Baseline, Finding, Fix, Report, only_new
from gainstage.check.findings import SEVERITIES

findings = st.builds(
    lambda code, where, severity, measured: Finding(code, "n", severity, where, measured, "e", "m", Fix("f")),
    st.sampled_from(["INI101", "FWD201"]),
    st.sampled_from(["a.weight", "b.weight", "层\x1b\ud800"]),
    st.sampled_from(SEVERITIES),
    st.text(max_size=3),
)


def report(found: list[Finding]) -> Report:
    return Report("Net", 10, 3, tuple(found), (), ("INI101",))


@given(st.lists(findings, max_size=6))
def test_what_was_written_is_known_and_the_file_survives(found: list[Finding]) -> None:
    baseline = Baseline.of(report(found))
    assert Baseline.from_json(baseline.to_json()) == baseline
    new = only_new(report(found), baseline)
    assert new.findings == ()
    assert sorted(new.known, key=str) == sorted(found, key=str)
    assert new.ok


@given(st.lists(findings, max_size=6), st.lists(findings, max_size=6))
def test_nothing_is_lost_and_nothing_is_known_twice(old: list[Finding], now: list[Finding]) -> None:
    new = only_new(report(now), Baseline.of(report(old)))
    assert sorted([*new.findings, *new.known], key=str) == sorted(now, key=str)
    assert len(new.known) <= len(old)
    for f in new.known:
        assert any((f.code, f.where) == (o.code, o.where) for o in old)


def test_alike_layers_change_places_from_seed_to_seed_and_stay_known() -> None:
    baseline = Baseline.of(report([finding("blocks.3.fc/linear#0"), finding("SGD(lr=0.01)")]))
    assert only_new(report([finding("blocks.7.fc/linear#1"), finding("SGD(lr=1e-05)")]), baseline).findings == ()
    moved = only_new(report([finding("blocks.7.fc/linear#0"), finding("blocks.3.fc/linear#0")]), baseline)
    assert [f.where for f in moved.findings] == ["blocks.3.fc/linear#0"]  # one more than before


def finding(where: str = "a.weight", severity: str = "warning", measured: str = "1") -> Finding:
    return Finding("INI101", "n", severity, where, measured, "e", "m", Fix("f"))


def test_other_numbers_are_known_another_place_and_a_worse_one_are_new() -> None:
    baseline = Baseline.of(report([finding()]))
    assert only_new(report([finding(measured="2")]), baseline).findings == ()
    assert only_new(report([finding(severity="note")]), baseline).findings == ()
    assert only_new(report([finding("b.weight")]), baseline).findings != ()
    assert only_new(report([finding(severity="error")]), baseline).findings != ()


def test_a_second_finding_at_the_same_place_is_new() -> None:
    assert len(only_new(report([finding(), finding()]), Baseline.of(report([finding()]))).findings) == 1


def test_a_baseline_written_on_top_of_another_keeps_what_that_knew() -> None:
    first = Baseline.of(report([finding()]))
    both = report([finding(), finding("b.weight")])
    assert Baseline.of(only_new(both, first)) == Baseline.of(both)


def test_the_file_has_a_line_a_finding_in_a_stable_order() -> None:
    page = Baseline.of(report([finding("b.weight"), finding("a.weight")])).to_json()
    assert page == Baseline.of(report([finding("a.weight"), finding("b.weight")])).to_json()
    assert [json.loads(line.rstrip(","))["where"] for line in page.splitlines()[4:6]] == ["a.weight", "b.weight"]
    assert page.isascii()


def test_the_report_s_json_names_what_is_known_only_with_a_baseline() -> None:
    assert "known" not in report([finding()]).to_json()
    known = only_new(report([finding()]), Baseline.of(report([finding()]))).to_json()
    assert [f["where"] for f in known["known"]] == ["a.weight"]
    assert known["findings"] == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '{"version": 2}',
        '{"version": true, "model": "N", "findings": []}',
        '{"version": 1, "model": 3, "findings": []}',
        '{"version": 1, "model": "N", "findings": {}}',
        '{"version": 1, "model": "N", "findings": [], "more": 1}',
        '{"version": 1, "version": 1, "model": "N", "findings": []}',
        '{"version": ' + "1" * 5000 + "}",
        "[" * 100_000,
        '{"version": NaN}',
        '{"version": 1, "model": "N", "findings": [{"code": 3, "where": "a", "severity": "note"}]}',
        '{"version": 1, "model": "N", "findings": [{"code": "A"}]}',
        '{"version": 1, "model": "N", "findings": [{"code": "A", "where": "a", "severity": "bad"}]}',
    ],
)
def test_another_file_is_refused(text: str) -> None:
    with pytest.raises(gs.GainstageError, match="baseline"):
        Baseline.from_json(text)
