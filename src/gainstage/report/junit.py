"""JUnit XML: a test case a rule, for the test pages of continuous integration."""

from typing import TYPE_CHECKING
from xml.etree import ElementTree

from gainstage._visible import visible
from gainstage.report.details import Details, names

if TYPE_CHECKING:
    from gainstage.check import Finding, Report


def junit(report: "Report", details: Details | None = None) -> str:
    """A test case for every rule: failed where it found something above a note, skipped where it was not judged.

    Notes, and findings that a baseline knows, are the output of a case that passed. A rule whose findings were folded
    under another's is skipped with the name of that rule: it has not passed.

    Args:
        report: what a check found.
        details: names of rules and of the target, files and lines.

    Returns:
        XML in UTF-8. Characters that XML cannot carry are shown as their escapes.
    """
    details = details or Details()
    folded = {s.split()[0]: f"{f.code} at {f.where}" for f in reversed(report.findings) for s in f.symptoms}
    unmeasured = {rule.code: rule.why for rule in report.not_judged}
    suite = ElementTree.Element("testsuite", name=visible(f"gainstage check {details.target or report.model}"))
    for code, name in names(report, details).items():
        found = [f for f in report.findings if f.code == code]
        bad = [f for f in found if f.severity != "note"]
        case = ElementTree.SubElement(
            suite, "testcase", classname=visible(f"gainstage.{report.model}"), name=visible(f"{code} {name}"), time="0"
        )
        if bad:
            failure = ElementTree.SubElement(case, "failure", message=_headline(bad), type=bad[0].severity)
            failure.text = "\n\n".join(_said(f, details) for f in found)
        elif code in unmeasured:
            ElementTree.SubElement(case, "skipped", message=visible(unmeasured[code]))
        elif code in folded and not found:
            ElementTree.SubElement(case, "skipped", message=visible(f"found, and explained by {folded[code]}"))
        elif said := [*found, *(f for f in report.known or () if f.code == code)]:
            ElementTree.SubElement(case, "system-out").text = "\n\n".join(_said(f, details) for f in said)
    counts = {
        "tests": len(suite),
        "failures": len(suite.findall("testcase/failure")),
        "errors": 0,
        "skipped": len(suite.findall("testcase/skipped")),
    }
    root = ElementTree.Element("testsuites", name="gainstage")
    for element in (root, suite):
        element.attrib.update({key: str(number) for key, number in counts.items()})
    suite.set("time", "0")
    root.append(suite)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _headline(findings: "list[Finding]") -> str:
    first, more = findings[0], f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
    return visible(" ".join(f"{first.where}: {first.message}".split()) + more)


def _said(f: "Finding", details: Details) -> str:
    place = details.place(f)
    at = f" ({place.file}:{place.line})" if place else ""
    rows = {
        f.severity: f"{f.where}{at}",
        "measured": f.measured,
        "expected": f.expected,
        "why": f.message,
        "explains": "; ".join(f.symptoms),
        "fix": f.fix.text,
    }
    return "\n".join(visible(f"{key}: {' '.join(value.split())}") for key, value in rows.items() if value)
