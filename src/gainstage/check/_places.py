"""Which line of the user's files a finding is about."""

import inspect
import os
from dataclasses import replace
from pathlib import Path

from gainstage.check import repairs
from gainstage.check.evidence import Evidence
from gainstage.check.facts.sites import site_of
from gainstage.check.findings import Finding


def sourced(finding: Finding, evidence: Evidence) -> Finding:
    """The finding with the line that calls its operation: that first reads its parameter, first runs in its module.

    What is found of a training step is shown at its function. Paths are relative to the working directory where that
    is above them.
    """
    where = finding.where.split(" and ")[0].split(" to ")[0]
    index = site_of(evidence, where)
    if where == "train_step" or finding.fix.repair in (repairs.plain_loop, repairs.plain_training):
        line = _written(evidence.train_step)
    else:
        line = None if index is None else evidence.tape.sites[index].line
    return finding if line is None else replace(finding, source=(_shown(line[0]), line[1]))


def _written(function: object) -> tuple[str, int] | None:
    code = getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None
    return None if code is None or code.co_filename.startswith("<") else (code.co_filename, code.co_firstlineno)


def _shown(file: str) -> str:
    path = Path(os.path.realpath(file))
    here = Path.cwd()
    return (path.relative_to(here) if path.is_relative_to(here) else path).as_posix()
