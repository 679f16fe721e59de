"""Every format of a report by its name."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from gainstage.errors import GainstageError
from gainstage.report.concise import concise
from gainstage.report.details import Details
from gainstage.report.github import github
from gainstage.report.html import html
from gainstage.report.json import json_text
from gainstage.report.junit import junit
from gainstage.report.sarif import sarif
from gainstage.report.text import text

if TYPE_CHECKING:
    from gainstage.check import Report

_WRITERS: "dict[str, Callable[[Report, Details | None], str]]" = {
    "text": lambda report, _: text(report),
    "concise": concise,
    "json": lambda report, _: json_text(report),
    "sarif": sarif,
    "junit": junit,
    "github": github,
    "html": html,
}
FORMATS = tuple(_WRITERS)


def write(report: "Report", style: str, details: Details | None = None) -> str:
    """A report in one of the formats.

    Args:
        report: what a check found.
        style: `"text"`, `"concise"`, `"json"`, `"sarif"`, `"junit"`, `"github"` or `"html"`.
        details: what the richer formats show besides: files and lines, the signal chart, the plan.

    Returns:
        The text, to be printed or saved as UTF-8.

    Raises:
        GainstageError: there is no such format.

    Example:
        >>> import gainstage as gs
        >>> print(write(gs.Report("Net", 10, 3, (), (), ("INI101",)), "concise"), end="")
        No findings.
    """
    if style not in _WRITERS:
        raise GainstageError(f"there is no format {style!r}. Expected one of {', '.join(FORMATS)}.")
    return _WRITERS[style](report, details)
