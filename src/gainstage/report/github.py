"""Workflow commands of GitHub Actions: annotations in the files of a pull request."""

from typing import TYPE_CHECKING

from gainstage._visible import visible
from gainstage.report.details import Details

if TYPE_CHECKING:
    from gainstage.check import Report

_COMMAND = {"error": "error", "warning": "warning", "note": "notice"}


def github(report: "Report", details: Details | None = None) -> str:
    r"""One workflow command a finding: `::error file=...,line=...,title=...::...`.

    Args:
        report: what a check found.
        details: its places give file and line; without them the annotation belongs to the run.

    Returns:
        The commands; empty text where there is no finding.

    Example:
        >>> from gainstage.check import Finding, Fix, Report
        >>> found = Finding("INI101", "identical-units", "error", "fc.weight", "100 %", "none", "equal", Fix("draw"))
        >>> print(github(Report("Net", 10, 3, (found,), (), ("INI101",))), end="")
        ::error title=INI101 identical-units::fc.weight: equal%0Ameasured: 100 %25%0Aexpected: none%0Afix: draw

    References:
        GitHub, *Workflow commands for GitHub Actions*: https://docs.github.com/actions/reference/workflow-commands
    """
    details = details or Details()
    lines = []
    for f in report.findings:
        place = details.place(f)
        properties = {"file": place.file, "line": str(place.line)} if place else {}
        properties["title"] = f"{f.code} {f.name}"
        parts = (f"{f.where}: {f.message}", f"measured: {f.measured}", f"expected: {f.expected}", f"fix: {f.fix.text}")
        said = "\n".join(visible(" ".join(part.split())) for part in parts)
        given = ",".join(f"{key}={_property(visible(value))}" for key, value in properties.items())
        lines.append(f"::{_COMMAND[f.severity]} {given}::{_data(said)}\n")
    return "".join(lines)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
