"""Docstrings are written in the Markdown that a terminal shows; Sphinx reads reStructuredText.

Code between single backticks becomes a literal, `$...$` a formula, a list gets the empty line before it. What stands
in a doctest is left alone.
"""

import re
from typing import Any

_SPAN = re.compile(r"(`+)(.+?)\1|\$(?!\$)(.+?)\$", re.DOTALL)


def converted(lines: list[str]) -> list[str]:
    """The docstring of one object, line by line, as reStructuredText."""
    out: list[str] = []
    paragraph: list[str] = []

    def flush() -> None:
        if paragraph:
            out.extend(_spans("\n".join(paragraph)).split("\n"))
            paragraph.clear()

    doctest = fence = False
    for line in lines:
        text = line.strip()
        if text.startswith("```"):
            flush()
            fence = not fence
            out += ["", f"{_indent(line)}.. code-block:: {text[3:] or 'text'}", ""] if fence else [""]
            continue
        if text == "Returns:":  # its colon would be taken for that between a type and what it is
            line = line.replace("Returns", "Result")
        doctest = text.startswith(">>>") or (doctest and bool(text))
        if fence or doctest:
            flush()
            out.append("    " + line if fence else line)
        elif text.startswith("$$"):
            flush()
            out += ["", f"{_indent(line)}.. math::", "", f"{_indent(line)}    {text.strip('$ ')}", ""]
        elif not text:
            flush()
            out.append(line)
        else:
            item = re.match(r"\s*(- |\d+\. )", line)
            if item and out and out[-1].strip() and not paragraph:
                out.append("")
            if item and paragraph and not re.match(r"\s*(- |\d+\. )", paragraph[0]):
                flush()
                out.append("")
            paragraph.append(line)
    flush()
    return out


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _spans(text: str) -> str:
    done, at = [], 0
    for found in _SPAN.finditer(text):
        done.append(_plain(text[at : found.start()]))
        code, formula = found[2], found[3]
        inside = re.sub(r"\s+", " ", code or formula)
        broken = "\n" * found[0].count("\n")
        done.append((f"``{inside}``" if code else f":math:`{inside}`") + ("\\ " if _touches(text, found.end()) else ""))
        if broken:  # the line that the span ended on goes on below it
            done.append("\n" + _indent(text[text.rfind("\n", 0, found.end()) + 1 :]))
        at = found.end()
    return "".join([*done, _plain(text[at:])])


def _touches(text: str, at: int) -> bool:
    """Whether a word goes on right behind the markup."""
    return at < len(text) and text[at].isalnum()


def _plain(text: str) -> str:
    """Names that end in an underscore are no links, and a bar is no substitution."""
    return re.sub(r"(\w)_(?=\W|$)", r"\1\\_", text).replace("|", "\\|")


def _process(app: Any, what: str, name: str, thing: object, options: Any, lines: list[str]) -> None:
    lines[:] = converted(lines)


def setup(app: Any) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", _process, priority=100)  # before napoleon
    return {"parallel_read_safe": True, "parallel_write_safe": True}
