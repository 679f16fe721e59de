"""What a page about a study tells besides its results."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gainstage.study import Results
    from gainstage.study.claims import Judged


def versions() -> dict[str, str]:
    """What the numbers depend on: gainstage, torch, Python, and the processor's kind."""
    import platform

    found = {"Python": platform.python_version()}
    for name in ("gainstage", "torch"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found | {"machine": f"{platform.machine()}, {sys.platform}"}


@dataclass(frozen=True)
class StudyDetails:
    """Everything is optional; each writer shows what it has a place for.

    Args:
        title: the name of the study, or of its file.
        trials: of the whole run with its tuning; 0 where that is not known.
        known: how many of them the store had.
        store: the file of the store.
        claims: what textbooks say, judged by these results.
        versions: of what the numbers depend on, by name.
    """

    title: str = ""
    trials: int = 0
    known: int = 0
    store: str = ""
    claims: "Sequence[Judged]" = ()
    versions: dict[str, str] = field(default_factory=dict)


def engines(results: "Results") -> str:
    """How the reported trials were trained.

    >>> from gainstage.study import ArmResult, Arm, Outcome, Results
    >>> made = [Outcome(None, (), 0.9, 0.9, 0.1, 2.0, engine) for engine in ("as one with 39 others", "alone")]
    >>> engines(Results("digits", "accuracy", 0.1, 300, 0.01, (0, 1), (ArmResult(Arm(), 0.1, (), False, tuple(made)),)))
    '1 of 2 trials as one program with others, 1 alone; 4 s of computing'
    """
    outcomes = [outcome for each in results.arms for outcome in each.outcomes]
    alone = sum(outcome.engine == "alone" for outcome in outcomes)
    together = len(outcomes) - alone
    told = [f"{together:,} of {len(outcomes):,} trials as one program with others"] * bool(together)
    told += [f"{alone:,} alone" if together else f"all {alone:,} trials alone, one after the other"] * bool(alone)
    seconds = sum(outcome.seconds for outcome in outcomes)
    return f"{', '.join(told)}; {_duration(seconds)} of computing"


def run(details: StudyDetails) -> str:
    """What was computed and what the store had; nothing where that is not known.

    >>> run(StudyDetails(trials=705, known=320))
    '705 trials with those that chose the learning rates; 320 were known from the store.'
    """
    if not details.trials:
        return ""
    known = "none was" if not details.known else f"{details.known:,} were" if details.known > 1 else "1 was"
    known = "all were" if details.known == details.trials else known
    return f"{details.trials:,} trials with those that chose the learning rates; {known} known from the store."


def place_of(judged: "Judged") -> str:
    """Where a claim was judged: `"depth 20"`."""
    from gainstage.study.labels import phrase

    return ", ".join(phrase(name, level) for name, level in judged.where.items())


def _duration(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )
