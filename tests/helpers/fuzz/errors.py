"""Whether what came out of a call is what may come out."""

import traceback
from collections.abc import Iterator
from typing import Any

from fuzz.attempt import Attempt
from fuzz.grammar import Case
from fuzz.kinds import kind_of_message, kind_of_text
from fuzz.plainly import Plain

_IMPOSSIBLE = (  # what nobody can observe, in the words of the refusal
    "run the model once first",  # lazy parameters in a model that cannot be copied
    "swap outside forward",
    "leave it before the call",  # a mode that allows no autograd.grad
)


def of_error(case: Case, tried: Attempt, plain: Plain) -> list[tuple[str, str]]:
    from gainstage import GainstageError

    error, thrown = tried.error, case.fault and case.fault.raised
    if thrown is None:
        if error is None:
            return []
        if refused(error) or (isinstance(error, GainstageError) and not (plain.differentiable and error.__cause__)):
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
    if "TorchScript interpreter" in str(error):
        return []  # it makes an error of its own of what Python raises
    if isinstance(error, GainstageError) and isinstance(thrown, Exception) and not plain.differentiable:
        return []  # a second try, without what raised, met what the model raises by itself
    return [(f"comes out as another: {type(thrown).__name__} as {type(error).__name__}", line) for line in told(error)]


def refused(error: BaseException | None) -> bool:
    """Whether this says that nobody can observe such a model, and what to do instead."""
    from gainstage import GainstageError

    return isinstance(error, GainstageError) and any(advice in str(error) for advice in _IMPOSSIBLE)


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
