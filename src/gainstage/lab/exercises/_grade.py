"""Grade code: every test of an exercise, in a process of its own, with the first wrong value beside the right one."""

import ast
import atexit
import contextlib
import json
import secrets
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gainstage.lab._errors import LabError
from gainstage.lab.exercises._format import Exercise, load

GIB = 1 << 30
START = 120  # seconds that the import of torch may take


@dataclass(frozen=True)
class Line:
    """What one test said.

    Attributes:
        says: what it demands.
        passed: whether it holds.
        message: why not.
        at: index of the first value that is wrong; None where it is no matter of values.
        yours, right: that value and the one that it should be.
        mistake: the well-known mistake that gives the learner's values, where there is one.
    """

    says: str
    passed: bool
    message: str = ""
    at: tuple[int, ...] | None = None
    yours: str = ""
    right: str = ""
    mistake: str = ""


@dataclass(frozen=True)
class Grade:
    """The answer to one attempt.

    Attributes:
        exercise: name.
        passed: all tests hold.
        points: whole points; every test is worth the same share, rounded down.
        of: the points there are.
        lines: one a test.
        error: why the code could not be run at all, or was stopped; empty otherwise.
        printed: what the code printed.
        seed: of the random inputs.
    """

    exercise: str
    passed: bool
    points: int
    of: int
    lines: tuple[Line, ...]
    error: str = ""
    printed: str = ""
    seed: int = 0

    def __str__(self) -> str:
        marks = [f"{'✓' if line.passed else '✗'} {line.says}" for line in self.lines]
        told = [f"\n    {line.message}" if line.message and not self.error else "" for line in self.lines]
        rows = [mark + more for mark, more in zip(marks, told, strict=True)]
        head = f"{self.exercise}: {self.points} of {self.of} points"
        return "\n".join([head, *([self.error] if self.error else []), *rows])


def grade(
    exercise: str | Exercise, source: str, *, seconds: float = 10, memory: int = 2 * GIB, seed: int | None = None
) -> Grade:
    """Run a learner's code and the tests of an exercise.

    Args:
        exercise: name of an exercise, or one.
        source: the code.
        seconds: that code and tests may take together; above 0.
        memory: bytes that they may take beyond those of torch itself. Where the system knows such a limit.
        seed: of the random inputs; fresh ones by default.

    Raises:
        LabError: there is no such exercise, or no process can be started.

    Example:
        >>> print(grade("relu", "def rectify(x):\\n    return x", seed=0).lines[0].message.split(" (")[0])
        at [0, 0], yours -1.1258, right 0
    """
    if seconds <= 0:
        raise LabError(f"seconds={seconds}: expected more than 0, for instance seconds=10")
    asked = load(exercise) if isinstance(exercise, str) else exercise
    seed = secrets.randbits(31) if seed is None else seed
    if used := _used(source, asked.without):
        name, line = used
        said = f"This exercise is to be written without {name} (your line {line})."
        return _made(asked, {"error": said, "tests": [], "printed": ""}, seed)
    request = {"source": source, "tests": asked.tests, "seed": seed, "seconds": seconds, "memory": memory}
    return _made(asked, _process.ask(request, seconds), seed)


def prepare() -> None:
    """Start the process that runs exercises, where it does not run yet: the first grade need not wait for it."""
    _process.start()


def _made(exercise: Exercise, answer: dict[str, Any], seed: int) -> Grade:
    lines = []
    for number, says in enumerate(exercise.lines):
        said: dict[str, Any] = answer["tests"][number] if number < len(answer["tests"]) else {"passed": False}
        at = said.get("at")
        told = {part: said.get(part, "") for part in ("message", "yours", "right", "mistake")}
        lines.append(Line(says, bool(said["passed"]), at=None if at is None else tuple(at), **told))
    held = sum(line.passed for line in lines)
    return Grade(
        exercise.name,
        passed=held == len(lines),
        points=exercise.points * held // len(lines),
        of=exercise.points,
        lines=tuple(lines),
        error=answer["error"],
        printed=answer["printed"],
        seed=seed,
    )


def _used(source: str, names: tuple[str, ...]) -> tuple[str, int] | None:
    """The first of the names that the code uses, and its line. Code that is no Python uses none."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return None
    for node in ast.walk(tree):
        spoken = {ast.Attribute: "attr", ast.Name: "id", ast.alias: "name"}.get(type(node))
        if spoken and (name := getattr(node, spoken).split(".")[-1]) in names:
            return name, getattr(node, "lineno", 1)
    return None


class _Process:
    """The process that waits; started at the first request, and again where it was ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: subprocess.Popen[str] | None = None
        atexit.register(self.close)

    def start(self) -> None:
        with self._lock:
            self._started()

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        with self._lock:
            process = self._started()
            late = threading.Timer(START + seconds, process.kill)
            late.start()
            try:
                assert process.stdin is not None
                assert process.stdout is not None
                process.stdin.write(json.dumps(request) + "\n")
                process.stdin.flush()
                line = process.stdout.readline()
            except BrokenPipeError:
                line = ""
            finally:
                late.cancel()
            if not line:
                self.close()
                raise LabError("the process that runs exercises ended. To see why: " + " ".join(_COMMAND))
            return dict(json.loads(line))

    def _started(self) -> "subprocess.Popen[str]":
        if self._running is None or self._running.poll() is not None:
            self._running = subprocess.Popen(
                _COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
        return self._running

    def close(self) -> None:
        if (process := self._running) is not None:
            self._running = None
            process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()


_COMMAND = [sys.executable, "-P", str(Path(__file__).with_name("_sandbox.py"))]
_process = _Process()
