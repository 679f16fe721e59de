"""A study for the terminal: a table for every question, verdicts, claims, and how it was computed."""

from collections import Counter
from collections.abc import Sequence
from itertools import zip_longest
from math import isfinite
from textwrap import wrap
from typing import TYPE_CHECKING

from rich.text import Text

from gainstage._visible import visible
from gainstage.report._page import Page
from gainstage.report.study._details import StudyDetails, engines, place_of, run
from gainstage.report.study._layout import Block, best_and_like, blocks
from gainstage.report.study._numbers import at_edge, half, mean, rate, score

if TYPE_CHECKING:
    from gainstage.study import Results, Verdict
    from gainstage.study.claims import Judged

_MANY = 24  # arms; above, a page that is not verbose has them side by side, without some of their numbers
_SENTENCES = 12  # most verdicts that a page which is not verbose tells one by one
_ACROSS = 3  # most columns side by side
_RATES = 2  # most columns with room for the learning rate
_STYLE = {"holds": "green", "does not hold": "red", "cannot tell": "yellow"}
_COUNTED = {"holds": "hold", "does not hold": "not", "cannot tell": "cannot be told"}
_BEST, _LIKE, _EDGE, _FAILED = "*", "=", "^", "!"
_MEANING = {
    _BEST: "the best of its column",
    _LIKE: "not told apart from the best: Holm's p of the paired difference is 0.05 or more",
    _EDGE: "the best rate is at the end of the grid: a better one may lie beyond",
    _FAILED: "failed on some seeds, which count as guessing",
}


class _Marks:
    """The flags behind a score, and which of them were used."""

    def __init__(self, results: "Results") -> None:
        self._results = results
        self._tops, self._like = best_and_like(results)
        self.used: set[str] = set()

    def of(self, arm: int, *, also: str = "") -> str:
        top, like = arm in self._tops, arm in self._like
        edge = at_edge(self._results, arm) and _EDGE in also
        failed = self._results.arms[arm].failures > 0 and _FAILED in also
        flags = _BEST * top + _LIKE * (like and not top) + _EDGE * edge + _FAILED * failed
        self.used |= set(flags)
        return flags

    def style(self, arm: int) -> str:
        return "green" if arm in self._tops else "red" if self._results.arms[arm].failures else ""


def study_text(
    results: "Results",
    details: StudyDetails | None = None,
    *,
    width: int = 80,
    color: bool = False,
    verbose: bool = False,
) -> str:
    """The study as text, ending in a line break.

    Where the arms are a grid, there is a table for each combination of all factors but the first, whose levels are its
    rows. More than 24 arms stand side by side, with mean and interval only, and the verdicts about other factors than
    the first are counted; `verbose` shows all.

    Args:
        results: of the study.
        details: what to say besides.
        width: columns; no line is longer.
        color: with the terminal's own named colours. The text says the same without.
        verbose: every number of every arm, and every verdict.

    Returns:
        The text. Characters in names that do not print are shown as their escapes.
    """
    details, page = details or StudyDetails(), Page(width, color)
    page.line(_heading(results, details), style="bold")
    page.line(_about(results))
    page.line()
    brief = len(results.arms) > _MANY and not verbose
    marks = _Marks(results)
    for block in blocks(results, columns=_ACROSS if brief else 1):
        draw = _side_by_side if brief and len(block.columns) > 1 else _one_by_one
        draw(page, results, block, width, marks)
        page.line()
    _legend(page, marks.used, brief)
    _verdicts(page, results, verbose)
    _claims(page, results, details.claims, width)
    page.line(f"{engines(results)}.".capitalize())
    if run(details):
        page.line(run(details))
    return page.text()


def _heading(results: "Results", details: StudyDetails) -> str:
    title = f"{visible(details.title)}: " if details.title else ""
    arms, seeds = len(results.arms), len(results.seeds)
    return f"{title}{arms} arm{'s' * (arms != 1)} × {seeds} seed{'s' * (seeds != 1)} on {visible(results.data)}"


def _about(results: "Results") -> str:
    seeds = len(results.seeds)
    where = f" on the test part after {results.steps:,} steps" if results.steps else ", as your function returned it"
    said = f"{results.score.capitalize()}{where}"
    said += f", mean ± half of its 95 % interval over {seeds} seeds. " if seeds > 1 else ", one seed: no interval. "
    guess = f"Guessing scores {score(results.guess)}; a" if isfinite(results.guess) else "A"
    return said + f"{guess} difference below {score(results.margin)} does not matter."


def _one_by_one(page: Page, results: "Results", block: Block, width: int, marks: _Marks) -> None:
    """A row an arm, with all its numbers."""
    numbers = f"{'lr':>6}   {'mean ± 95 %':<15}  {'IQM':>6} {'area':>6} {'failed':>6}"
    room = width - len(numbers) - 1
    page.line(Text(f"{visible(block.where):<{room}} {numbers}", style="bold"))
    for label, (arm,) in block.rows:
        each, summary = results.arms[arm], results.summary(arm)
        flags = marks.of(arm, also=_EDGE)
        edge, rest = _EDGE * (_EDGE in flags), flags.replace(_EDGE, "")
        told = f" {rate(each.lr):>6}{edge:<1}  {mean(summary) + rest:<15}  {score(summary.iqm):>6}"
        told += f" {score(summary.area):>6} {f'{summary.failures}/{summary.n}':>6}"
        page.line(Text.assemble(_name(page, label, room), (told, marks.style(arm))))


def _side_by_side(page: Page, results: "Results", block: Block, width: int, marks: _Marks) -> None:
    """A row a level of the first factor, a column a level of another one: mean and interval, the rate if it fits."""
    rates = len(block.columns) <= _RATES
    cell = 24 if rates else 17
    room = width - (cell + 1) * len(block.columns)
    where = visible(block.where)
    for parts in zip_longest(*(wrap(visible(head), cell) for head in block.columns), fillvalue=""):
        heads = "".join(f" {part:<{cell}}" for part in parts)
        page.line(Text(f"{where:<{room}}{heads}".rstrip(), style="bold"))
        where = ""
    for label, arms in block.rows:
        line = Text(_name(page, label, room))
        for arm in arms:
            told = f"{mean(results.summary(arm)):<13}" + (f"  {rate(results.arms[arm].lr):>6}" if rates else "")
            told += marks.of(arm, also=_EDGE + _FAILED)
            line.append(f" {told:<{cell}}", style=marks.style(arm))
        page.line(_stripped(line))


def _name(page: Page, label: str, room: int) -> str:
    """A label in its column; one that does not fit goes on a line of its own."""
    name = f"  {visible(label)}"
    if len(name) <= room:
        return name.ljust(room)
    page.line(name, hang=4)
    return " " * room


def _stripped(line: Text) -> Text:
    line.rstrip()
    return line


def _legend(page: Page, marks: set[str], brief: bool) -> None:
    for mark, said in _MEANING.items():
        if mark in marks:
            page.line(f"{mark} {said}", style="dim", hang=2)
    if brief:
        page.line("Every number of every arm: --verbose, or --output-format html.", style="dim")
    if marks or brief:
        page.line()


def _verdicts(page: Page, results: "Results", verbose: bool) -> None:
    """A sentence a question; where they are many, the questions about other factors than the first are counted."""
    found = results.verdicts()
    told = [v for v in found if verbose or len(found) <= _SENTENCES or v.factor == found[0].factor]
    if len(told) > _SENTENCES and not verbose:
        told = []
    for verdict in told:
        page.line(_sentence(verdict), hang=2)
    others = [v for v in found if v not in told]
    for factor in dict.fromkeys(v.factor for v in others):
        count = Counter(v.answer for v in others if v.factor == factor)
        said = ", ".join(f"{answer} in {number}" for answer, number in sorted(count.items(), reverse=True))
        page.line(f"{factor or 'the arms'}: {said} of {sum(count.values())} (--verbose tells each)", hang=2)
    if found:
        page.line()


def _sentence(verdict: "Verdict") -> Text:
    said = Text(f"{visible(verdict.sentence)}.")
    said.highlight_words([verdict.answer], "bold")
    return said


def _claims(page: Page, results: "Results", claims: "Sequence[Judged]", width: int) -> None:
    """What the textbooks say: a row a warning, a column a place."""
    if not claims:
        return
    page.line("What textbooks say", style="bold")
    page.line(
        f"Differences paired over {len(results.seeds)} seeds, ± half of the 95 % interval. A claim holds with Holm's p "
        f"below 0.05 over all {len(claims)}; it does not where the interval lies below {score(results.margin)}."
    )
    page.line()
    places = list(dict.fromkeys(place_of(judged) for judged in claims))
    cell = 26
    room = max(width - (cell + 1) * len(places), 26)
    by_start: dict[tuple[str, str], dict[str, dict[str, Judged]]] = {}
    for judged in claims:
        claim = judged.claim
        row = by_start.setdefault((claim.activation, claim.better), {}).setdefault(claim.worse, {})
        row[place_of(judged)] = judged
    for (activation, better), rows in by_start.items():
        heads = "".join(f" {place:<{cell}}" for place in places)
        page.line(Text((f"{activation}: {better}".ljust(room) + heads).rstrip(), style="bold"))
        for worse, row in rows.items():
            line = Text(f"  beats {worse}".ljust(room))
            for place in places:
                found = row.get(place)
                told = f"{found.verdict:<13} {found.paired.difference:+.3f}" if found else ""
                told += half(found.paired.low, found.paired.high).replace(" ± ", "±") if found else ""
                line.append(f" {told:<{cell}}", style=_STYLE[found.verdict] if found else "")
            page.line(_stripped(line))
    page.line()
    count = Counter(judged.verdict for judged in claims)
    said = ", ".join(f"{count[word]} {shown}" for word, shown in _COUNTED.items())  # type: ignore[index]
    page.line(f"Of {len(claims)} claims: {said}.")
    page.line()
