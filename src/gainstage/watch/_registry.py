"""The rules of a watch: how a function becomes one, and what all of them find in a history.

A rule shares its code and name with the rule of `check` that names the same cause; causes that only a run shows have
codes of the family RUN.
"""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from gainstage.check import RULES, Finding, Found, Rule, Severity
from gainstage.check.findings import SEVERITIES
from gainstage.watch.history import History

Watched = Callable[[History], Iterator[Found]]
WATCHED: dict[str, Rule] = {}
LOSS = ("RUN002", "RUN003", "RUN006")  # what the loss shows of many causes


def watched(code: str, severity: Severity, *, explains: tuple[str, ...] = ()) -> Callable[[Watched], Watched]:
    """Decorator: put a function of the history among the rules of a watch; its docstring is the rule's page.

    Args:
        code: of check's rule for the same cause, or `RUN` and a number.
        severity: the usual one.
        explains: beginnings of the codes that are its effects.
    """

    def register(function: Watched) -> Watched:
        name = RULES[code].name if code in RULES else function.__name__.replace("_", "-")
        doc = inspect.getdoc(function) or ""
        WATCHED[code] = Rule(code, name, severity, doc, function, explains, "it reads a run")  # type: ignore[arg-type]
        return function

    return register


def findings(history: History) -> Iterator[Finding]:
    """What every rule finds, in the order of their codes."""
    for code, rule in sorted(WATCHED.items()):
        read: Any = rule.function  # of a history, see `watched`
        for f in read(history):
            yield Finding(code, rule.name, f.severity, f.where, f.measured, f.expected, f.message, f.fix)


LATE = 10  # reports within which an effect follows its cause


def folded(found: list[tuple[int, Finding]], every: int) -> tuple[Finding, ...]:
    """The causes among what was found, worst and earliest first; what one explains is told under it.

    Of two findings that would explain each other the earlier is the cause. What came long after is no effect,
    and a note never hides what is worse.
    """

    def explains(cause: tuple[int, Finding], effect: tuple[int, Finding]) -> bool:
        late = effect[0] - cause[0] > LATE * max(1, every)
        if late or (cause[1].severity == "note" and effect[1].severity != "note"):
            return False
        return effect[1].code != cause[1].code and effect[1].code.startswith(
            tuple(WATCHED[cause[1].code].explains) or "-"
        )

    ordered = sorted(found, key=lambda item: item[0])
    causes: list[tuple[int, Finding]] = []
    symptoms: dict[tuple[str, str], list[str]] = {}
    for item in ordered:
        above = [
            other for other in ordered if explains(other, item) and not (explains(item, other) and item[0] <= other[0])
        ]
        if above:
            key = above[0][1].code, above[0][1].where
            symptoms.setdefault(key, []).append(f"{item[1].code} {item[1].name} at {item[1].where}: {item[1].measured}")
        else:
            causes.append(item)
    told = [(s, replace(f, symptoms=tuple(symptoms.get((f.code, f.where), ())))) for s, f in causes]
    return tuple(f for _, f in sorted(told, key=lambda item: (SEVERITIES.index(item[1].severity), item[0])))
