"""`gainstage rule`: what a rule looks for, why, and what to do about it."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from gainstage.cli._errors import CannotRun, did_you_mean
from gainstage.cli._options import output_format, verbose
from gainstage.cli._terminal import say, speaks_unicode, wants_color

if TYPE_CHECKING:
    from gainstage.check import Rule
    from gainstage.check.quantity import Limit


@click.command()
@verbose
@click.argument("code", required=False)
@click.option("--all", "every", is_flag=True, help="Every rule.")
@output_format("text", "json")
def rule(code: str | None, every: bool, style: str) -> None:
    """Explain the rule CODE, or every rule with --all.

    \b
    gainstage rule INI101
    """
    if every == (code is not None):
        raise click.UsageError("Give one rule code, or --all.")
    from gainstage.check import RULES
    from gainstage.watch import WATCHED

    rules = {**WATCHED, **RULES}  # what a watch finds as well has check's page
    chosen = [rules[known] for known in sorted(rules)] if code is None else [_find(code, rules)]
    if style == "json":
        pages = [_as_json(r) for r in chosen]
        say(json.dumps(pages if every else pages[0], indent=2))
    elif wants_color():
        from gainstage.report.markdown import print_markdown

        for r in chosen:
            print_markdown(_page(r, "`"))
    else:
        say("\n\n".join(_page(r) for r in chosen))


def _find(word: str, rules: Mapping[str, "Rule"]) -> "Rule":
    """The rule with this code or this name."""
    for rule in rules.values():
        if word.lower() in (rule.code.lower(), rule.name.lower()):
            return rule
    near = did_you_mean(word, [*rules, *(rule.name for rule in rules.values())])
    raise CannotRun(f"there is no rule {word!r}.{near} gainstage rule --all shows every rule.")


def _page(rule: "Rule", around: str = "") -> str:
    """The rule's page; its formulas as plain characters, where standard output can carry them."""
    from gainstage.report import readable

    doc = readable(rule.doc.strip(), around) if speaks_unicode() else rule.doc.strip()
    return f"# {rule.name} ({rule.code})\n\nSeverity: {rule.severity}\n\n{doc}\n\n{_limits(rule)}\n"


def _limits(rule: "Rule") -> str:
    """What the rule measures and compares with, each number with its reason."""
    lines = ["## Limits"] + ([f"No number: {rule.no_number}."] if rule.no_number else [])
    for quantity in rule.quantities.values():
        lines.append(f"- {quantity.of}")
        lines += [f"  - {severity} beyond {limit:g}. {limit.why}" for severity, limit in quantity.limits.items()]
    lines += [f"- {name} = {limit:g}. {limit.why}" for name, limit in rule.limits.items()]
    return "\n".join(lines)


def _as_json(rule: "Rule") -> dict[str, Any]:
    page = {"code": rule.code, "name": rule.name, "severity": rule.severity, "explanation": rule.doc.strip()}
    measured = [
        {"of": quantity.of, "limits": {severity: _number(limit) for severity, limit in quantity.limits.items()}}
        for quantity in rule.quantities.values()
    ]
    others = {name: _number(limit) for name, limit in rule.limits.items()}
    return {
        **page,
        "explains": list(rule.explains),
        "measures": measured,
        "no_number": rule.no_number,
        "limits": others,
    }


def _number(limit: "Limit") -> dict[str, Any]:
    return {"value": float(limit), "why": limit.why}
