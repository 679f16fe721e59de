"""Whether what came out of a call is what may come out."""

import traceback
from collections.abc import Iterator
from typing import Any

from fuzz.attempt import Attempt
from fuzz.grammar import Case
from fuzz.kinds import kind_of_message, kind_of_text
from fuzz.plainly import Plain


def of_error(case: Case, tried: Attempt, plain: Plain) -> list[tuple[str, str]]:
    from gainstage import GainstageError

    error, thrown = tried.error, case.fault and case.fault.raised
    if thrown is None:
        if error is None:
            return []
        if isinstance(error, GainstageError) and not (plain.differentiable and error.__cause__ is not None):
            return []
        what = "breaks a model that runs" if isinstance(error, GainstageError) else "not a GainstageError"
        return [(f"{what}: {kind_of_message(error.__cause__ or error)}", line) for line in told(error)]
    if error is thrown:
        return []
    if error is None:
        tries = case.call.startswith(("check", "plan", "initialize", "calibrate"))  # what raises in a trial is told
        excused = isinstance(thrown, Exception) and tries
        return [] if excused else [(f"swallowed: {type(thrown).__name__} in {case.fault.place}", repr(thrown))]
    if isinstance(error, GainstageError) and thrown in _chain(error) and not isinstance(thrown, KeyboardInterrupt):
        return []
    if "TorchScript" in str(error) and str(thrown) in str(error):
        return []  # its interpreter makes an error of its own of what Python raises
    return [(f"comes out as another: {type(thrown).__name__} as {type(error).__name__}", line) for line in told(error)]


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def told(error: BaseException) -> list[str]:
    frames = traceback.extract_tb(error.__traceback__)[-5:]
    where = [f"    {f.filename.split('site-packages/')[-1]}:{f.lineno} {f.name}: {f.line}" for f in frames]
    return [f"{type(error).__name__}: {str(error)[:400]}", *where]


def of_report(result: Any) -> list[tuple[str, str]]:
    whys = [(n.code, n.why) for n in getattr(result, "not_judged", ()) if "report this model" in n.why]
    return [(f"rule failed: {kind_of_text(why.partition(': ')[2])}", f"{code}: {why}") for code, why in whys]
