"""The questions that a set of arms can answer: one factor each, with all others held fixed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gainstage.study._arm import Arm
from gainstage.study.labels import identities, is_word, labels, phrase, settings, shared_words, telling


@dataclass(frozen=True)
class Question:
    """Arms that differ in one factor only.

    Attributes:
        factor: in which they differ; None where they are all arms of the study, whatever they differ in.
        where: the levels of the other factors, `"for relu at depth 20"`; empty where there are none.
        arms: their numbers.
        levels: what to call each of them here.
    """

    factor: str | None
    where: str
    arms: tuple[int, ...]
    levels: tuple[str, ...]

    def __str__(self) -> str:
        if self.factor is None:
            return "Do the arms differ?"
        return f"Does {self.factor} matter{self.where and ' ' + self.where}?"


def questions(arms: Sequence[Arm], factor: str | None = None) -> tuple[Question, ...]:
    """The questions about one factor, or about all of them.

    An arm that differs from every other one in more than one factor is in no such question. Where there is one, a last
    question takes all arms together.

    Example:
        >>> from gainstage.study._arm import grid
        >>> for question in questions(grid(init=["xavier_normal", "he_normal"], depth=[4, 20])):
        ...     print(question)
        Does init matter at depth 4?
        Does init matter at depth 20?
        Does depth matter for xavier_normal?
        Does depth matter for he_normal?
    """
    each, same, names, told = settings(arms), identities(arms), labels(arms), telling(arms)
    shared = shared_words(each)
    found: list[Question] = []
    for asked in (each[0] if each else ()) if factor is None else (factor,):
        groups: dict[tuple[str, ...], list[int]] = {}
        for i, own in enumerate(same):
            groups.setdefault(tuple(text for name, text in own.items() if name != asked), []).append(i)
        for members in groups.values():
            if len(members) > 1:
                others = {name: value for name, value in told[members[0]].items() if name != asked}
                levels = tuple(arms[i].name or phrase(asked, each[i][asked]) for i in members)
                if len(set(levels)) < len(levels):
                    levels = tuple(names[i] for i in members)
                found.append(Question(asked, _where(others, shared), tuple(members), levels))
    asked_about = {i for question in found for i in question.arms}
    if factor is None and len(arms) > 1 and len(asked_about) < len(arms):
        found.append(Question(None, "", tuple(range(len(arms))), names))
    return tuple(found)


def _where(others: dict[str, Any], shared: set[str]) -> str:
    """Words first, then numbers: `for relu, batch at depth 20, width 64`."""
    words = [phrase(name, value, named=name in shared) for name, value in others.items() if _stands_alone(value)]
    numbers = [phrase(name, value, named=name in shared) for name, value in others.items() if not _stands_alone(value)]
    parts = [f"for {', '.join(words)}"] * bool(words) + [f"at {', '.join(numbers)}"] * bool(numbers)
    return " ".join(parts)


def _stands_alone(value: Any) -> bool:
    return is_word(value) or value is None or isinstance(value, bool)
