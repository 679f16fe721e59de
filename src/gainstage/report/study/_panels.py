"""The figures of a study's page as SVG: a heat map of all arms, and scores and learning curves for each table."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gainstage.report._figure import svg
from gainstage.report.study._layout import Block, is_grid
from gainstage.report.study._numbers import score

if TYPE_CHECKING:
    from gainstage.study import Results

FIELD = 200  # most arms in a heat map
ARMS = 12  # most in one figure of curves; the best of a longer table are drawn


@dataclass(frozen=True)
class Panel:
    """A figure with what it says.

    Attributes:
        svg: markup.
        caption: what is drawn, in words.
    """

    svg: Any
    caption: str


def overview(results: "Results") -> Panel | None:
    """The mean of every arm in a field of factors; None where the arms are no field, or one too large to be read."""
    from gainstage.study.figures import heatmap, size_of

    first, *others = results.factors or ("",)
    width, height = size_of(results) if is_grid(results) else (0.0, 0.0)
    if not others or not 0 < width < 14 or len(results.arms) > FIELD:
        return None
    means = [(results.summary(i).mean, label) for i, label in enumerate(results.labels)]
    said = f"Highest: {score(max(means)[0])} for {max(means)[1]}. Lowest: {score(min(means)[0])} for {min(means)[1]}."
    title = f"Mean {results.score} by {first} and {', '.join(others)}"
    return _panel(lambda ax: heatmap(results, ax=ax), (max(7.6, width), height), "overview", title, said, {})


def panels(results: "Results", block: Block, number: int) -> tuple[Panel, ...]:
    """Scores and learning curves of the arms of one table."""
    from gainstage.study.figures import curves, scores

    arms = sorted((arm for _, each in block.rows for arm in each), key=lambda i: -results.summary(i).mean)
    drawn = sorted(arms[:ARMS])
    left = f" The best {ARMS} of {len(arms)} arms." if len(arms) > ARMS else ""
    names = dict(zip((arm for _, each in block.rows for arm in each), (name for name, _ in block.rows), strict=True))
    where = f", {block.where}" if block.where else ""
    found = {i: results.summary(i) for i in drawn}
    ends = "; ".join(f"{names[i]} {score(s.mean)} ({score(s.low)} to {score(s.high)})" for i, s in found.items())
    area = "; ".join(f"{names[i]} {score(s.area)}" for i, s in found.items())
    return (
        _panel(
            lambda ax: scores(results, ax=ax, arms=drawn, names=[names[i] for i in drawn]),
            (7.6, 1.3 + 0.27 * len(drawn)), f"scores-{number}", f"Test scores{where}",
            f"Mean {results.score} and 95 % interval: {ends}.{left}", _colours(),
        ),
        _panel(
            lambda ax: curves(results, ax=ax, arms=drawn, names=[names[i] for i in drawn]),
            (7.6, 3.4), f"curves-{number}", f"Learning curves{where}",
            f"Mean over the curve: {area}.{left}", _colours(),
        ),
    )  # fmt: skip


def _colours() -> dict[str, str]:
    from gainstage.study.figures import COLOURS, GREY

    return {colour: f"var(--c{i})" for i, colour in enumerate(COLOURS)} | {GREY: "var(--soft)"}


def _panel(
    draw: Any, size: tuple[float, float], name: str, title: str, description: str, colours: dict[str, str]
) -> Panel:
    from markupsafe import Markup

    markup = svg(draw, size, name=name, title=title, description=description, colours=colours)
    return Panel(Markup(smaller(markup)), f"{title}. {description}")


def smaller(markup: str) -> str:
    """The same drawing in fewer characters: of a page with twenty figures, most would be digits nobody sees.

    >>> smaller('<g id="a">\\n <path d="M 1.23456 2 \\nL 3 4.5678"/>\\n <text>1.23456</text>\\n</g>')
    '<g><path d="M 1.23 2 L 3 4.56"/><text>1.23456</text></g>'
    """
    markup = re.sub(r'<g id="[^"]*">', "<g>", markup)  # the same in every figure, and nothing refers to them
    markup = re.sub(r' transform="rotate\(-0 [^"]*"', "", markup)
    markup = re.sub(r"font-family: [^;\"]*;? ?", "", markup)  # the page has one
    markup = re.sub(r'(?<= )(?:d|x|y|transform)="[^"]*"', _fewer_digits, markup)
    return re.sub(r">\s+<", "><", markup)


def _fewer_digits(attribute: re.Match[str]) -> str:
    return re.sub(r"\s+", " ", re.sub(r"(\.\d\d)\d+", r"\1", attribute[0]))
