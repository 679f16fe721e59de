"""A study for programs: JSON with everything, CSV with a line a run."""

import csv
import json
from dataclasses import asdict
from io import StringIO
from typing import TYPE_CHECKING, Any

from gainstage._visible import cell
from gainstage.report.study._details import StudyDetails

if TYPE_CHECKING:
    from gainstage.study import Results

VERSION = 1


def study_json(results: "Results", details: StudyDetails | None = None) -> str:
    """The study as one JSON object, ending in a line break.

    The keys of version 1: `version`, `title`, `versions`, `trials`, `known`; those of `Results.to_json`: `data`,
    `score`, `guess`, `steps`, `margin`, `resolution`, `seeds`, `arms` with their summaries, `runs`, `verdicts` with
    their comparisons; `curves`, a learning curve for each run; `claims`. Keys may be added within a version; none
    changes its meaning. Numbers that are not finite are strings; characters outside ASCII are escaped.

    Args:
        results: of the study.
        details: what to say besides.

    Returns:
        Indented JSON.
    """
    details = details or StudyDetails()
    head = {name: getattr(details, name) for name in ("title", "versions", "trials", "known")}
    claims = [asdict(judged) | {"said": str(judged.claim)} for judged in details.claims]
    document = {"version": VERSION, **head, **json.loads(results.to_json()), "curves": _curves(results)}
    return json.dumps(_finite(document | {"claims": claims}), indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def study_csv(results: "Results", details: StudyDetails | None = None) -> str:
    r"""The study as CSV (RFC 4180, but for line ends): a line a run, the same columns in every line.

    Args:
        results: of the study.
        details: nothing of them is shown.

    Returns:
        Text with a header; fields that hold commas or line breaks are quoted. A text that a spreadsheet would take for
        a formula gets an apostrophe in front; numbers stay numbers.
    """
    file = StringIO()
    rows = [{name: cell(value) for name, value in row.items()} for row in results.rows()]
    writer = csv.DictWriter(file, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def _curves(results: "Results") -> list[dict[str, Any]]:
    return [
        {"arm": label, "seed": seed}
        | {name: [getattr(look, name) for look in run.curve] for name in ("step", "train_loss", "loss", "score")}
        for label, each in zip(results.labels, results.arms, strict=True)
        for seed, run in zip(results.seeds, each.outcomes, strict=True)
    ]


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    if isinstance(value, float) and value - value != 0:
        return str(value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)
