"""The live page of a lesson: prose at once, what is computed as it comes, and an answer to every move of a slider."""

from collections.abc import Callable, Iterator
from functools import cache
from json import dumps
from typing import Any

from gainstage.lab import _progress, exercises
from gainstage.lab._errors import LabError
from gainstage.lab._judge import Judgement
from gainstage.lab._lessons import Lesson
from gainstage.lab.course.grammar import Part
from gainstage.lab.course.kept import Kept
from gainstage.lab.course.page import page
from gainstage.lab.course.running import TURN, Run, run_of
from gainstage.lab.course.showing import fields, item, name_of, shown, verdict
from gainstage.train import one_thread

Event = dict[str, Any]


def routes(lesson: Lesson) -> list[Any]:
    """Where a lesson answers."""
    from starlette.routing import Route

    run = run_of(lesson)

    def at(path: str, answer: Callable[[Run, Any], Any], method: str = "GET") -> Any:
        async def endpoint(request: Any) -> Any:
            return await answer(run, request)

        return Route(f"{lesson.link}{path}", endpoint, methods=[method])

    return [
        at("", _page),
        at("parts", _parts),
        at("measure/{name}", _measure),
        at("predict/{index:int}", _predict, "POST"),
        at("fix/{index:int}", _fix, "POST"),
        at("exercise/{name}", _exercise, "POST"),
    ]


async def _page(run: Run, _: Any) -> Any:
    from starlette.responses import HTMLResponse

    answered = "predict" in _progress.answers().get(run.lesson.key, ())
    return HTMLResponse(page(run, kept_of(run.lesson).parts, answered=answered), headers={"cache-control": "no-store"})


async def _parts(run: Run, _: Any) -> Any:
    def parts() -> Iterator[Event]:
        for index in range(len(run.document.parts)):
            yield {"part": index, "html": computed(run, index)}

    return _stream(parts())


async def _measure(run: Run, request: Any) -> Any:
    from starlette.responses import PlainTextResponse

    name, given = request.path_params["name"], dict(request.query_params)
    found = [i for i, part in enumerate(run.document.parts) if part.kind == "measure" and name_of(part) == name]
    if not found:
        return PlainTextResponse(f"there is no measurement {name!r}\n", status_code=404)

    def measured() -> Iterator[Event]:
        run.upto(found[0])
        for each in run.measured(run.document.parts[found[0]], given):
            yield {"slot": each[0], "html": item(each)}

    return _stream(measured())


async def _predict(run: Run, request: Any) -> Any:
    given = await request.json()
    answer, sure = str(given.get("answer", "")), str(given.get("confidence", ""))

    def told(part: Part) -> str:
        if answer not in run.prediction(part)["options"]:
            raise LabError(f"{answer!r} is none of the options. Send one of {list(run.prediction(part)['options'])}")
        _progress.answered(run.lesson.key, "predict", answer, right=answer == run.truth(part), sure=sure)
        return verdict(run, part, answer)

    return await _told(run, request.path_params["index"], "predict", told)


async def _fix(run: Run, request: Any) -> Any:
    given = await request.json()

    def told(part: Part) -> str:
        fix, chosen = run.repair(part), fields(run.controls(part), given)
        graded = fix.grade(**chosen)
        right = isinstance(graded, Judgement) and graded.ok
        _progress.answered(run.lesson.key, "fix", str(chosen), right=right)
        return fix.result(graded).static

    return await _told(run, request.path_params["index"], "fix", told)


async def _exercise(run: Run, request: Any) -> Any:
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import HTMLResponse, PlainTextResponse

    name, source = request.path_params["name"], str((await request.json()).get("code", ""))
    if name not in exercises.of_lesson(run.lesson.number):
        return PlainTextResponse("there is no such exercise\n", status_code=404)
    grade = await run_in_threadpool(exercises.answer, run.lesson.key, name, source)
    return HTMLResponse(exercises.graded(grade).static)


async def _told(run: Run, index: int, kind: str, tell: Callable[[Part], str]) -> Any:
    """One answer, computed in a thread."""
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import HTMLResponse, PlainTextResponse

    parts = run.document.parts
    if index >= len(parts) or parts[index].kind != kind:
        return PlainTextResponse("there is no such exercise\n", status_code=404)

    def compute() -> str:
        with TURN, one_thread():
            run.upto(index)
            return tell(parts[index])

    try:
        return HTMLResponse(await run_in_threadpool(compute))
    except LabError as error:
        return PlainTextResponse(f"{error}\n", status_code=400)


def computed(run: Run, index: int) -> str:
    """A part, kept once it was computed."""
    kept = kept_of(run.lesson)
    if index not in kept.parts:
        run.upto(index)
        kept.put(index, shown(run, index), last=index == len(run.document.parts) - 1)
    return kept.parts[index]


@cache
def kept_of(lesson: Lesson) -> Kept:
    """What is kept of a lesson."""
    return Kept(lesson)


def _stream(events: Iterator[Event]) -> Any:
    """Events, a line each; others have their turn between two of them, and an error is the last one."""
    from starlette.responses import StreamingResponse

    def lines() -> Iterator[str]:
        while True:
            try:
                with TURN, one_thread():
                    event = next(events, None)
            except Exception as error:  # of a lesson or of what was typed: said in the page
                yield dumps({"error": f"{type(error).__name__}: {error}"}) + "\n"
                return
            if event is None:
                return
            yield dumps(event, ensure_ascii=False, separators=(",", ":")) + "\n"

    return StreamingResponse(lines(), media_type="application/x-ndjson", headers={"cache-control": "no-store"})
