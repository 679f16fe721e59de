import json
import math

import pytest

from gainstage.check.findings import Report
from gainstage.report import json_text

from .conftest import finding, report


def test_the_document_is_the_golden_one(sick: Report, golden) -> None:
    golden("sick.json", json_text(sick))


def test_it_says_its_version_first(healthy: Report) -> None:
    assert next(iter(json.loads(json_text(healthy)).items())) == ("version", 1)


def test_counts_and_verdict_agree_with_the_report(sick: Report) -> None:
    document = json.loads(json_text(sick))
    assert document["count"] == {"error": 6, "warning": 1, "note": 1}
    assert document["ok"] is sick.ok is False
    assert [f["code"] for f in document["findings"]] == [f.code for f in sick.findings]


def test_names_survive_the_round_trip_and_nothing_unprintable_is_written() -> None:
    name = "层\x1b[31m\n\u202e.weight"
    written = json_text(report(finding(name)))
    assert json.loads(written)["findings"][0]["where"] == name
    assert written.isascii()
    assert "\x1b" not in written


def test_a_number_that_json_has_no_word_for_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        json_text(report(finding(measured=math.nan)))
