"""A smaller case that fails in the same way: parts are left out, then context, head, stem and exception made plain."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from fuzz.grammar import Case
from fuzz.judge import Verdict, judge


def shrink(verdict: Verdict, tries: int = 80) -> Verdict:
    """Repeat the first simpler case that shows the same first kind of failure, until there is none."""
    kind = verdict.kinds[0]
    simpler = True
    while simpler and tries > 0:
        simpler = False
        for case in _simpler(verdict.case):
            tries -= 1
            tried = judge(case)
            if kind in tried.kinds and tried.outcome == "failed":
                verdict, simpler = tried, True
                break
            if tries <= 0:
                break
    return verdict


def _simpler(case: Case) -> Iterator[Case]:
    plain = {"context": "plain", "head": "tensor", "stem": "plain", "whole": "module", "fault": None, "step": "plain",
             "width": 8, "batch": 8}  # fmt: skip
    for i, tree in enumerate(case.body):
        yield dataclasses.replace(case, body=case.body[:i] + case.body[i + 1 :])
        for smaller in _subtrees(tree):
            yield dataclasses.replace(case, body=(*case.body[:i], smaller, *case.body[i + 1 :]))
    for name, value in plain.items():
        if getattr(case, name) != value:
            yield dataclasses.replace(case, **{name: value})


def _subtrees(tree: Any) -> Iterator[Any]:
    if len(tree) > 1:
        yield from tree[1:]
        for i in (1, 2):
            for smaller in (*_subtrees(tree[i]), ("layer.linear",)):
                if smaller != tree[i]:
                    yield (*tree[:i], smaller, *tree[i + 1 :])
