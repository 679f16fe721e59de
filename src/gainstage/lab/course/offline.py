"""A lesson as one page that opens from disk and whose figures answer: its states are computed beforehand."""

from collections.abc import Iterable, Iterator
from itertools import product
from typing import Any

from gainstage.lab.course.grammar import Part
from gainstage.lab.course.page import rendered
from gainstage.lab.course.running import Item, Run
from gainstage.lab.course.showing import gated_by, item, name_of, shown, verdict
from gainstage.train import one_thread

MOST = 7  # values of a slider that are kept
COMBINATIONS = 12  # of a fix that are graded beforehand


def offline(run: Run, most: int = MOST) -> str:
    """The page: every measurement as it stands at first and with one control moved at a time.

    Args:
        run: of the lesson.
        most: values of a slider that are kept.
    """
    run.upto(len(run.document.parts) - 1)
    offered, run.offered = run.offered, most
    try:
        return _page(run)
    finally:
        run.offered = offered


def _page(run: Run) -> str:
    parts = run.document.parts
    states: dict[str, Any] = {"exercises": {}}
    with one_thread():
        for index, part in enumerate(parts):
            if part.kind == "measure":
                states[name_of(part)] = dict(_states(run, part))
            elif part.kind == "predict":
                options = run.prediction(part)["options"]
                states["exercises"][index] = {answer: verdict(run, part, answer) for answer in options}
            elif part.kind == "fix":
                states["exercises"][index] = dict(_graded(run, part))
        known = {index: shown(run, index) for index in range(len(parts))}
    return rendered(run, known, states=states, gates=gated_by(run.document))


def _states(run: Run, part: Part) -> Iterator[tuple[str, list[dict[str, str]]]]:
    def events(items: Iterable[Item]) -> list[dict[str, str]]:
        return [{"slot": each[0], "html": item(each)} for each in items]

    yield "", events(run.at_first(part))
    for control in run.controls(part):
        for value in control.values:
            yield f"{control.name}={value}", events(dict(run.measured(part, {control.name: str(value)})).items())


def _graded(run: Run, part: Part) -> Iterator[tuple[str, str]]:
    """What `gs.check` says of the first combinations, by what the form sends."""
    from json import dumps

    fix, known = run.repair(part), run.controls(part)
    if any(control.kind != "choice" for control in known):
        return
    for values in list(product(*(control.values for control in known)))[:COMBINATIONS]:
        given = {control.name: str(value) for control, value in zip(known, values, strict=True)}
        yield dumps(given, ensure_ascii=False, separators=(",", ":")), fix.result(fix.grade(**given)).static
