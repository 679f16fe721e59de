"""What every lesson that is a document has to do; what is asked comes from the document itself."""

import re
from functools import cache
from typing import Any

from gainstage.lab import lesson
from gainstage.lab._lessons import lessons
from gainstage.lab.course.running import Run, run_of
from gainstage.lab.course.showing import name_of, shown

KEYS = [each.key for each in lessons() if each.is_document]

LOWERED = {ord(raised): lowered for raised, lowered in zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-", strict=True)}
TOO_WIDE = """() => document.documentElement.scrollWidth <= innerWidth + 1 ? [] :
  [...document.querySelectorAll('body *')].filter((part) => part.getBoundingClientRect().right > innerWidth + 1)
  .map((part) => part.outerHTML.slice(0, 120)).slice(0, 5)"""


@cache
def run_whole(key: str) -> Run:
    """The lesson, run once in a session of tests."""
    run = run_of(lesson(key))
    run.upto(len(run.document.parts) - 1)
    return run


@cache
def names(key: str) -> dict[str, Any]:
    """What its blocks define."""
    return run_whole(key).names


def at_first(key: str, measurement: str) -> list[Any]:
    """What a measurement shows before anything is moved."""
    run = run_whole(key)
    (part,) = (part for part in run.document.of("measure") if name_of(part) == measurement)
    return [made for _, made in run.at_first(part)]


def html(key: str) -> str:
    """All that it shows."""
    run = run_whole(key)
    return "".join(shown(run, index) for index in range(len(run.document.parts)))


def readouts(block: Any) -> dict[str, float]:
    """The numbers that a readout shows."""
    found = re.findall(r'data-readout="(\w+)">([^<]*)<', block.static)
    return {name: float(shown.replace("·10", "e").translate(LOWERED).replace(",", "")) for name, shown in found}


def unfilled(text: str) -> list[str]:
    """Braces of values that stand in a page as they were written."""
    prose = re.sub(r"<(pre|code|math)\b.*?</\1>", "", text, flags=re.DOTALL)
    return re.findall(r"\{[^{}]*\}", re.sub(r"<[^>]*>", "", prose))
