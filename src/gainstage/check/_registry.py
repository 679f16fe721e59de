"""The catalogue of rules: how a function becomes a rule, and how rules are chosen by the beginnings of their codes."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from gainstage.check.findings import Finding, Found, Severity
from gainstage.errors import GainstageError

if TYPE_CHECKING:
    from gainstage.check.evidence import Evidence

RuleFunction = Callable[["Evidence"], Iterator[Found]]
RULES: dict[str, "Rule"] = {}


class NotMeasured(Exception):
    """A rule raises it where the model gives no evidence to judge by; its text goes to the coverage section."""


@dataclass(frozen=True)
class Rule:
    """One entry of the catalogue.

    Attributes:
        code: stable, `"INI101"`.
        name: the same in words, `"identical-units"`.
        severity: the usual one; each finding carries its own, decided by its evidence.
        doc: the rule's page in markdown.
        function: reads evidence and yields what it found.
        explains: beginnings of the codes of its symptoms: findings that are folded under this rule's.
    """

    code: str
    name: str
    severity: Severity
    doc: str
    function: RuleFunction
    explains: tuple[str, ...] = ()

    def findings(self, evidence: "Evidence") -> list[Finding]:
        """What this rule finds in the evidence; asked again, the same."""
        return evidence.once(self._read)

    def _read(self, evidence: "Evidence") -> list[Finding]:
        return [
            Finding(self.code, self.name, f.severity, f.where, f.measured, f.expected, f.message, f.fix)
            for f in self.function(evidence)
        ]


def rule(
    code: str, name: str, severity: Severity, *, explains: Sequence[str] = ()
) -> Callable[[RuleFunction], RuleFunction]:
    """Decorator: put a generator function into the catalogue; its docstring becomes the rule's page."""

    def register(function: RuleFunction) -> RuleFunction:
        RULES[code] = Rule(code, name, severity, inspect.getdoc(function) or "", function, tuple(explains))
        return function

    return register


def chosen(select: Sequence[str] | str, ignore: Sequence[str] | str) -> list[Rule]:
    """The rules whose codes begin with something in `select` (empty: all) and with nothing in `ignore`.

    Raises:
        GainstageError: no rule's code begins like that; the message suggests the nearest.
    """
    select, ignore = (_prefixes(given, what) for given, what in ((select, "select"), (ignore, "ignore")))
    return [
        rule
        for code, rule in sorted(RULES.items())
        if (not select or code.startswith(select)) and not (ignore and code.startswith(ignore))
    ]


def _prefixes(given: Sequence[str] | str, what: str) -> tuple[str, ...]:
    prefixes = (given,) if isinstance(given, str) else tuple(given)
    for prefix in prefixes:
        if not prefix or not any(code.startswith(prefix) for code in RULES):
            families = sorted({code[:3] for code in RULES})
            near = get_close_matches(str(prefix).upper(), [*RULES, *families], n=1, cutoff=0.4)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise GainstageError(
                f"{what}={prefix!r} is the beginning of no rule code: {hint}Known families: {', '.join(families)}"
            )
    return prefixes
