"""One line a finding, for editors, `grep` and failing tests."""

from typing import TYPE_CHECKING

from gainstage._visible import visible
from gainstage.report.details import Details

if TYPE_CHECKING:
    from gainstage.check import Report


def concise(report: "Report", details: Details | None = None) -> str:
    """A line a finding, `file:line:where: CODE severity message (measured, expected)`, and a line that counts them.

    Where no file is known, the line begins with the model's name.

    Args:
        report: what a check found.
        details: its places give file and line.

    Example:
        >>> from gainstage.check import Finding, Fix, Report
        >>> found = Finding("INI101", "identical-units", "error", "fc.weight", "16 of 16", "none", "equal", Fix("draw"))
        >>> print(concise(Report("Net", 10, 3, (found,), (), ("INI101",))), end="")
        Net:fc.weight: INI101 error equal (measured 16 of 16; expected none)
        1 error.
    """
    details = details or Details()
    lines = []
    for f in report.findings:
        place = details.place(f)
        start = f"{place.file}:{place.line}" if place else report.model
        said = " ".join(f"{f.message} (measured {f.measured}; expected {f.expected})".split())
        lines.append(visible(f"{start}:{f.where}: {f.code} {f.severity} {said}"))
    return "\n".join([*lines, count(report)]) + "\n"


def count(report: "Report") -> str:
    """`2 errors, 1 note.`; with a baseline also how many findings it knows."""
    counts = ((report.count("error"), "error"), (report.count("warning"), "warning"), (report.count("note"), "note"))
    said = ", ".join(f"{number} {severity}{'s' * (number != 1)}" for number, severity in counts if number)
    known = f" {len(report.known)} known from the baseline." if report.known else ""
    return f"{said or 'No findings'}.{known}"
