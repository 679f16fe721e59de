"""What a transfer gives, and whether it holds: as text, JSON or a page."""

import json
from typing import TYPE_CHECKING

from gainstage.errors import GainstageError
from gainstage.report.transfer._html import transfer_html

if TYPE_CHECKING:
    from gainstage.transfer import Coordinates, Rates, Transfer


def write_transfer(
    move: "Transfer",
    check: "Coordinates | None",
    study: "Rates | None",
    style: str,
    *,
    target: str = "",
    width: int = 80,
    every: bool = False,
) -> str:
    """A transfer in one of the formats `"text"`, `"json"` and `"html"`.

    Args:
        move: what the target gets.
        check: the coordinate check, if there was one.
        study: the study of rates, if there was one.
        style: the format.
        target: what the model was built from.
        width: columns of the text.
        every: also rows that pass, and the factors of every parameter.

    Raises:
        GainstageError: there is no such format, or what a page needs is not installed.
    """
    if style == "html":
        return transfer_html(move, check, study, target)
    if style == "json":
        data = {"target": target, "transfer": json.loads(move.to_json())}
        data |= {name: json.loads(part.to_json()) for name, part in (("check", check), ("study", study)) if part}
        return json.dumps(data, indent=2)
    if style != "text":
        raise GainstageError(f"there is no format {style!r}. Expected one of text, json, html.")
    parts = [move.table(width)] if check is None or every else []
    parts += [check.table(width, every=every)] if check else []
    parts += [study.table(width)] if study else []
    return "\n\n".join(parts)
