"""The process that runs a learner's code: one that waits with torch imported, and a fork of it for every answer.

It is started by its path, so that nothing of the lab is imported. Each line that it reads is a request, each line that
it writes an answer, both JSON. The fork has limits of time and memory, an empty folder of its own, and a hook (PEP 578)
that refuses sockets, other programs, and files outside that folder. This stops accidents and plain attempts. It is no
wall against somebody who looks for a way around it, and neither is any other check in the same process.
"""

import contextlib
import importlib
import io
import json
import math
import os
import random
import runpy
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import torch

CODE, TESTS = "<your code>", "<tests>"
KIT = runpy.run_path(str(Path(__file__).with_name("_kit.py")))
Wrong: type[Exception] = KIT["Wrong"]
SHOWN = 2000  # characters of what a learner prints, and of a message

_REFUSED = {
    "socket.": "to open a network connection",
    "subprocess.": "to start another program",
    "os.system": "to start another program",
    "os.exec": "to start another program",
    "os.posix_spawn": "to start another program",
    "os.fork": "to start another process",
    "os.kill": "to end a process",
}
_CHANGES = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.chmod", "os.truncate", "os.link", "os.symlink")


class Stopped(BaseException):
    """The time is over: no `except Exception` of a learner holds it back."""


def serve() -> None:
    """Answer requests until the input ends."""
    torch.set_num_threads(1)
    _warm_up()
    for line in sys.stdin:
        answer = _in_a_fork(json.loads(line)) if hasattr(os, "fork") else examine(json.loads(line))
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _warm_up() -> None:
    """What tests compare with, imported and compiled once for every fork. No backward pass: its threads do not fork."""
    for room in ("init", "nn", "signal", "train"):
        importlib.import_module(f"gainstage.{room}")
    gs, model = importlib.import_module("gainstage"), torch.nn.Linear(2, 2)
    gs.record(model, torch.ones(2, 2), backward=False)
    model.weight.grad = torch.zeros(2, 2)
    torch.optim.SGD([model.weight], lr=0.0).step()


def _in_a_fork(request: dict[str, Any]) -> dict[str, Any]:
    folder = tempfile.mkdtemp(prefix="gainstage-exercise-")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            os.setsid()
            answer = json.dumps(_confined(request, folder)).encode()
            with open(writing, "wb") as pipe:
                pipe.write(answer)
        finally:
            os._exit(0)
    os.close(writing)
    text, until = b"", time.monotonic() + request["seconds"] + 2  # the fork ends itself at `seconds`, as a rule
    while (left := until - time.monotonic()) > 0 and select.select([reading], [], [], left)[0]:
        if not (part := os.read(reading, 1 << 16)):
            break
        text += part
    late = time.monotonic() >= until
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reading)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        answer = json.loads(text)
    except ValueError:
        return _ended(_too_slow(request) if late else "Your code ended the process that ran it, or crashed it.")
    return dict(answer)


def _confined(request: dict[str, Any], folder: str) -> dict[str, Any]:
    """Give up what a learner's code has no use for, then run it."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):  # what is written below Python's own streams would disturb the answers
        os.dup2(nowhere, stream)
    os.chdir(folder)
    sys.dont_write_bytecode = True
    _limit_memory(request["memory"])

    def over(*_: Any) -> None:
        raise Stopped

    signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, request["seconds"], 0.5)  # again, where a bare except caught it
    _refuse(folder)
    return examine(request)


def _limit_memory(more: int) -> None:
    """At most so many bytes more than the process has now, and no large files."""
    import resource

    pages = Path("/proc/self/statm")
    has = int(pages.read_text().split()[0]) * resource.getpagesize() if pages.exists() else 0
    with contextlib.suppress(ValueError, OSError):  # a system that knows no such limit
        resource.setrlimit(resource.RLIMIT_AS, (has + more, has + more))
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 24, 1 << 24))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _refuse(folder: str) -> None:
    inside = os.path.realpath(folder) + os.sep

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        for start, what in _REFUSED.items():
            if event.startswith(start):
                raise PermissionError(f"your code tried {what}: an exercise needs none")
        path: Any = None
        if event == "open":
            path, mode, flags = arguments
            reads = not (flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and not set(mode or "") & set("wax+")
            if reads or isinstance(path, int):
                return
        elif event in _CHANGES:
            path = arguments[0]
        if path is not None and path != os.devnull and not os.path.realpath(os.fsdecode(path)).startswith(inside):
            raise PermissionError("your code tried to write a file: an exercise needs none")

    sys.addaudithook(hook)


def examine(request: dict[str, Any]) -> dict[str, Any]:
    """Run the code, then every test; what each said, in order."""
    torch.manual_seed(request["seed"])
    random.seed(request["seed"])
    printed = io.StringIO()
    names = {"torch": torch, "nn": torch.nn, "F": torch.nn.functional, "math": math}
    code: dict[str, Any] = {"__name__": "exercise", **names}
    found: list[dict[str, Any]] = []
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        failed = _run(lambda: exec(compile(request["source"], CODE, "exec"), code), request)
        if failed is not None:
            return _ended(failed["message"], printed)
        tests: dict[str, Any] = {**code, **names, "gs": importlib.import_module("gainstage"), "code": code}
        tests |= {name: KIT[name] for name in ("close", "same", "holds")}
        before = set(tests)
        exec(compile(request["tests"], TESTS, "exec"), tests)
        for test in [value for name, value in tests.items() if name not in before and name.startswith("test")]:
            torch.manual_seed(request["seed"] + len(found))
            said = _run(test, request)
            found.append(said or {"passed": True})
            if said and said.get("over"):
                return {**_ended(said["message"], printed), "tests": found[:-1]}
    return {"error": "", "tests": found, "printed": printed.getvalue()[:SHOWN]}


def _run(work: Any, request: dict[str, Any]) -> dict[str, Any] | None:
    """None where all went well; otherwise what went wrong, with the learner's own line."""
    try:
        work()
        return None
    except Stopped as stopped:
        return {"passed": False, "over": True, "message": _too_slow(request) + _line(stopped, request["source"])}
    except Wrong as wrong:
        parts = ("at", "yours", "right", "mistake")
        return {"passed": False, "message": str(wrong), **{part: getattr(wrong, part) for part in parts}}
    except SyntaxError as error:
        shown = f": {error.text.strip()}" if error.text else ""
        return {"passed": False, "message": f"line {error.lineno} is not Python ({error.msg}){shown}"}
    except BaseException as error:
        if isinstance(error, NameError) and _last(error, CODE) is None:
            return {"passed": False, "message": f"your code defines no {error.name}: the tests call it"}
        if isinstance(error, MemoryError) or "allocate memory" in str(error) or "not enough memory" in str(error):
            what = f"more memory than the {request['memory'] / 2**30:.3g} GiB that an exercise may take"
        else:
            what = f"{type(error).__name__}: {error}"[:SHOWN]
        return {"passed": False, "message": what + _line(error, request["source"])}


def _too_slow(request: dict[str, Any]) -> str:
    return f"Stopped after {request['seconds']:g} seconds. Does a loop never end?"


def _last(error: BaseException, file: str) -> int | None:
    found = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return found[-1] if found else None


def _line(error: BaseException, source: str) -> str:
    """` (your line 3: ...)`, or nothing where the learner's code was not running."""
    number = _last(error, CODE)
    lines = source.splitlines()
    return f" (your line {number}: {lines[number - 1].strip()})" if number and number <= len(lines) else ""


def _ended(message: str, printed: io.StringIO | None = None) -> dict[str, Any]:
    return {"error": message, "tests": [], "printed": printed.getvalue()[:SHOWN] if printed else ""}


if __name__ == "__main__":
    serve()
