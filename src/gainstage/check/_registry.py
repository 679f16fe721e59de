"""The catalogue of rules: how a function becomes a rule, and how rules are chosen by the beginnings of their codes."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING

from gainstage.check._fact import NotMeasured as NotMeasured
from gainstage.check._fact import fact
from gainstage.check.findings import Finding, Found, Severity, Value
from gainstage.check.quantity import Limit, Quantity, numbers_of
from gainstage.errors import GainstageError

if TYPE_CHECKING:
    from gainstage.check.evidence import Evidence

RuleFunction = Callable[["Evidence"], Iterator[Found | Value]]
RULES: dict[str, "Rule"] = {}


@dataclass(frozen=True)
class Rule:
    """One entry of the catalogue.

    Attributes:
        code: stable, `"INI101"`.
        name: the same in words, `"identical-units"`.
        severity: the usual one; each finding carries its own, decided by its evidence.
        doc: the rule's page in markdown.
        function: reads evidence, and yields a `Value` for each place that is within the limits and a `Found` for each
            that is not.
        explains: beginnings of the codes of its effects. Their effects are its own as well.
        no_number: why the rule has no quantity; empty where it has one.
    """

    code: str
    name: str
    severity: Severity
    doc: str
    function: RuleFunction
    explains: tuple[str, ...] = ()
    no_number: str = ""

    def findings(self, evidence: "Evidence") -> list[Finding]:
        """What this rule finds in the evidence; asked again, the same."""
        return [self._finding(f) for f in fact(self._read)(evidence) if isinstance(f, Found)]

    def values(self, evidence: "Evidence") -> list[Value]:
        """Every number that this rule measured there, within its limits or not."""
        read = fact(self._read)(evidence)
        return [v for v in ((f.value if isinstance(f, Found) else f) for f in read) if v is not None]

    @property
    def quantities(self) -> dict[str, Quantity]:
        """What it measures, with limits, by the name in its code."""
        return {name: q for name, q in numbers_of(self.function).items() if isinstance(q, Quantity)}

    @property
    def limits(self) -> dict[str, Limit]:
        """The further numbers that it compares with, by the name in its code."""
        return {name: limit for name, limit in numbers_of(self.function).items() if isinstance(limit, Limit)}

    def _read(self, evidence: "Evidence") -> list[Found | Value]:
        return list(self.function(evidence))

    def _finding(self, f: Found) -> Finding:
        finding = Finding(self.code, self.name, f.severity, f.where, f.measured, f.expected, f.message, f.fix)
        if f.value is None:
            return finding
        limit = f.value.quantity.limit(f.severity)
        number = None if limit is None else float(limit)
        return replace(finding, value=f.value.number, quantity=f.value.quantity.of, limit=number)


def rule(
    code: str, severity: Severity, *, explains: Sequence[str] = (), no_number: str = ""
) -> Callable[[RuleFunction], RuleFunction]:
    """Decorator: put a generator function into the catalogue, by its own name; its docstring becomes the rule's page.

    Args:
        code: a family of three letters and a number.
        severity: the usual one.
        explains: beginnings of the codes of its effects, the nearest; what these explain, it explains.
        no_number: why it measures no number, where it does not.
    """

    def register(function: RuleFunction) -> RuleFunction:
        name, doc = function.__name__.replace("_", "-"), inspect.getdoc(function) or ""
        RULES[code] = Rule(code, name, severity, doc, function, tuple(explains), no_number)
        return function

    return register


def effects() -> dict[str, frozenset[str]]:
    """For every rule, the codes of those whose findings its own explain, directly or through others' findings."""
    direct = {
        code: {other for other in RULES if other != code and rule.explains and other.startswith(rule.explains)}
        for code, rule in RULES.items()
    }
    found: dict[str, frozenset[str]] = {}
    for code in RULES:
        reached, todo = set[str](), [code]
        while todo:
            fresh = direct[todo.pop()] - reached
            reached |= fresh
            todo += fresh
        found[code] = frozenset(reached)
    return found


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
