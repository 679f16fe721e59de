"""A script or a module, run as Python runs it, inside a context that observes it."""

import os
import runpy
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gainstage.cli._errors import CannotRun, explain
from gainstage.cli._module import user_line

if TYPE_CHECKING:
    from gainstage.run import capture


@dataclass(frozen=True)
class Ended:
    """How a script came to its end."""

    how: Literal["stopped", "finished", "exited", "raised", "late"]
    why: str = ""


def execute(argv: list[str], as_module: bool, inside: AbstractContextManager[Any], patience: float = 0.0) -> Ended:
    """Run `argv[0]` with its arguments as the main program, in `inside`; what it prints goes to standard error.

    Args:
        argv: script or module, and its arguments.
        as_module: it is a module.
        inside: observes it, and may end it with `run.Stopped`.
        patience: seconds after which it is ended where it has made no step; 0 for ever.

    Raises:
        CannotRun: there is no such script.
        KeyboardInterrupt: as the script got it.
    """
    from gainstage.run import Stopped

    path = Path(argv[0])
    if not as_module and not path.is_file():
        near = sorted(p.name for p in path.parent.glob("*.py")) if path.parent.is_dir() else []
        listed = f" That directory holds {', '.join(near[:6])}." if near else ""
        raise CannotRun(f"there is no script {argv[0]}.{listed} A module is run by -m: gainstage run -m package.train")
    late: list[bool] = []
    before, old = list(sys.argv), list(sys.path)
    sys.argv = list(argv)
    sys.path.insert(0, str(Path.cwd() if as_module else path.resolve().parent))
    main = sys.modules.get("__main__")
    reached = False
    try:
        with redirect_stdout(sys.stderr), _alarm(patience, inside, late), inside:
            if as_module:
                runpy.run_module(argv[0], run_name="__main__", alter_sys=True)
            else:
                runpy.run_path(argv[0], run_name="__main__")
            reached = True
    except Stopped:
        return Ended("late" if late else "stopped")
    except KeyboardInterrupt:
        raise
    except SystemExit as error:
        return Ended("exited", f"sys.exit({error.code!r})")
    except BaseException as error:
        return Ended("raised", f"{explain(error)}{user_line(error)}")
    finally:
        sys.argv, sys.path[:] = before, old
        if main is not None:
            sys.modules["__main__"] = main
    return Ended("finished" if reached else "late" if late else "stopped")


def speaks() -> bool:
    """Whether this is the only process, or the first of those that `torchrun` has started: the others are silent."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def _alarm(patience: float, inside: Any, late: list[bool]) -> Iterator[None]:
    """End what runs in the main thread after some seconds without a step."""
    possible = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    if not patience or not possible:
        yield
        return
    from gainstage.run import Stopped

    def ring(number: int, frame: Any) -> None:
        if not inside.counts.steps and not inside.done:
            late.append(True)
            raise Stopped("no step in time")

    old = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, patience)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


def unseen(name: str, ended: Ended, seen: "capture", patience: float) -> str:
    """Why nothing could be checked, and what was seen."""
    what = {
        "late": f"made no optimizer step within {patience:g} seconds (--patience waits longer)",
        "finished": "ended without an optimizer step",
        "exited": f"ended without an optimizer step, by {ended.why}",
        "raised": f"raised {ended.why} before its first step",
        "stopped": "stepped, and no backward pass was seen that reaches what its optimizer holds",
    }[ended.how]
    where = (
        ""
        if ended.how in ("stopped", "late")
        else (
            " Training in processes that the script starts itself is not seen: start them by torchrun -m gainstage run."
            if not seen.counts.forwards and ended.how == "finished"
            else ""
        )
    )
    return f"{name} {what}. Seen: {seen.counts.told()}.{where}"
