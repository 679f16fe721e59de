"""Every format of a study by its name."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from gainstage.errors import GainstageError
from gainstage.report.study._details import StudyDetails
from gainstage.report.study._html import study_html
from gainstage.report.study._json import study_csv, study_json
from gainstage.report.study._text import study_text

if TYPE_CHECKING:
    from gainstage.study import Results

_WRITERS: "dict[str, Callable[[Results, StudyDetails | None], str]]" = {
    "text": study_text,
    "json": study_json,
    "html": study_html,
    "csv": study_csv,
}
STUDY_FORMATS = tuple(_WRITERS)


def write_study(results: "Results", style: str, details: StudyDetails | None = None) -> str:
    """Results in one of the formats.

    Args:
        results: of a study.
        style: `"text"`, `"json"`, `"html"` or `"csv"`.
        details: what the richer formats show besides.

    Returns:
        The text, to be printed or saved as UTF-8.

    Raises:
        GainstageError: there is no such format, or matplotlib is not installed for the figures of the page.
    """
    if style not in _WRITERS:
        raise GainstageError(f"there is no format {style!r}. Expected one of {', '.join(STUDY_FORMATS)}.")
    return _WRITERS[style](results, details)
