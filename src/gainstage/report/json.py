"""A report as JSON: stable keys, versioned, ASCII."""

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gainstage.check import Report, Severity

VERSION = 1


def json_text(report: "Report") -> str:
    r"""The report as one JSON object, ending in a line break.

    The keys of version 1: `version`, `model`, `parameters`, `sites`, `ok`, `count` (by severity), `findings`
    (`code`, `name`, `severity`, `where`, `measured`, `value`, `quantity`, `limit`, `expected`, `message`, `fix`),
    `judged`, `not_judged`; with a baseline also `known`, its findings.
    `measured` is text for people; `value` is the number in it, `quantity` says of what it is, with its unit where it
    has one, and `limit` is the number beyond which the rule speaks as severely. `value` is null where the rule measures
    no number (`gainstage rule CODE` says why) and where it is not finite; `limit` is null where there is no value.
    Keys may be added within a version; none changes its meaning. Characters outside ASCII are escaped, so that
    the text survives any encoding and no name can send an escape sequence to a terminal.

    Args:
        report: what a check found.

    Returns:
        Indented JSON.

    Example:
        >>> import gainstage as gs
        >>> print(json_text(gs.Report("Net", 10, 3, (), (), ("INI101",))))  # doctest: +ELLIPSIS
        {
          "version": 1,
          "model": "Net",
        ...
    """
    severities: tuple[Severity, ...] = ("error", "warning", "note")
    body = report.to_json()
    head = {key: body.pop(key) for key in ("model", "parameters", "sites", "ok")}
    count = {severity: report.count(severity) for severity in severities}
    document = {"version": VERSION, **head, "count": count, **body}
    return json.dumps(document, indent=2, ensure_ascii=True, allow_nan=False) + "\n"
