"""One page for each rule of `gainstage check`, from its docstring and its limits: what `gainstage rule CODE` prints."""

from collections import defaultdict
from pathlib import Path

from files import put
from gainstage.check import RULES, Rule

FAMILIES = {
    "INI": "The start of the parameters",
    "FWD": "The signal",
    "BWD": "The gradient",
    "NRM": "Normalization",
    "OUT": "The output and the loss",
    "DAT": "The batch",
    "REG": "Regularization",
    "OPT": "The optimizer and the training step",
    "TRN": "Some seconds of training",
}


def write(place: Path) -> None:
    of: dict[str, list[Rule]] = defaultdict(list)
    for code in sorted(RULES):
        of[code[:3]].append(RULES[code])
        put(place / f"{code}.md", page(RULES[code]))
    families = [*FAMILIES, *(family for family in of if family not in FAMILIES)]
    lines = ["# Every rule", "", _INTRODUCTION, ""]
    for family in families:
        if of[family]:
            lines += [
                f"## {FAMILIES.get(family, family)} ({family})",
                "",
                "| rule | usual severity | it |",
                "|---|---|---|",
            ]
            lines += [f"| [{r.code} {r.name}]({r.code}.md) | {r.severity} | {what(r)} |" for r in of[family]]
            lines.append("")
    put(place / "index.md", "\n".join(lines) + "\n")


_INTRODUCTION = (
    "A finding is an `error` where the measurement shows that training will hardly proceed, a `warning` where harm is "
    "measured, otherwise a `note`. Every page names its limits and the measurement that set them; its example trips the"
    ' rule, its "use instead" does not, which the tests run.'
)


def page(rule: Rule) -> str:
    lines = [
        "---\norphan: true\n---",  # the table above is their index
        "",
        f"# {rule.code} {rule.name}",
        "",
        f"Usual severity: **{rule.severity}**",
        "",
        rule.doc.strip(),
        "",
        "## Limits",
        "",
    ]
    if rule.no_number:
        lines += [f"No number: {rule.no_number}.", ""]
    for quantity in rule.quantities.values():
        lines += [f"Measured: {quantity.of}.", ""]
        lines += [f"- {severity} beyond {limit:g}. {limit.why}" for severity, limit in quantity.limits.items()]
        lines.append("")
    lines += [f"- {name} = {limit:g}. {limit.why}" for name, limit in rule.limits.items()]
    if rule.explains:
        explained = sorted(code for code in RULES if code != rule.code and code.startswith(tuple(rule.explains)))
        links = ", ".join(f"[{code}]({code}.md)" for code in explained)
        lines += [
            "",
            "## Explains",
            "",
            f"What it finds is the cause of findings of {links}, and of what these explain.",
        ]
    return "\n".join(lines) + "\n"


def what(rule: Rule) -> str:
    """The first sentence below "What it does"."""
    text = rule.doc.split("## What it does", 1)[-1].split("##")[0].strip().replace("\n", " ")
    return (text.split(". ")[0].rstrip(".") + ".").replace("|", "\\|")
