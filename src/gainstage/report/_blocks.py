"""Findings of one rule that say the same of several places belong together."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gainstage.check import Finding


def blocks(findings: "Sequence[Finding]") -> "Iterator[list[Finding]]":
    """Neighbours that differ only in where and how much; symptoms are told by the first."""
    for _, same in groupby(findings, key=_said):
        yield list(same)


def fix_of(same: "Sequence[Finding]") -> str:
    """What to change, said once for all places of a block."""
    alike = len({f.fix.text for f in same}) == 1
    return same[0].fix.text if alike else f"{same[0].fix.text}; the others likewise"


def _said(f: "Finding") -> tuple[str, ...]:
    """What a finding says, its own place left out: "draw 3.weight at random" is the same advice for every layer."""
    return f.code, f.severity, f.expected, f.message.replace(f.where, "it"), f.fix.text.replace(f.where, "it")
