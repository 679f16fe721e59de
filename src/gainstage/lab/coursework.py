"""Coursework: notebooks for students and their solutions, a syllabus, and a table of what came back."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from gainstage._visible import cell
from gainstage.lab import exercises
from gainstage.lab._errors import LabError
from gainstage.lab._lessons import ALL, Lesson
from gainstage.lab._notebooks import book
from gainstage.lab._progress import Answers, HandedIn, answers, default_file, genuine, keep_in, signed

MAGIC = "%%exercise"


@dataclass(frozen=True)
class Row:
    """One line of the table: an exercise of one student.

    Attributes:
        student: name of the folder, or of the file where it lies by itself.
        file: where it was found.
        lesson, exercise: which.
        points, of: of code: from running it again. Of predictions and repairs: from the progress file.
        first: the first answer to a prediction.
        right: whether that was right.
        sure: how sure the student said to be.
        tries: answers that were given.
        note: why a test fails, why a file cannot be read, and whether a signature holds.
    """

    student: str
    file: str
    lesson: str = ""
    exercise: str = ""
    points: int = 0
    of: int = 0
    first: str = ""
    right: str = ""
    sure: str = ""
    tries: int = 0
    note: str = ""


def assign(numbers: Sequence[int], folder: Path) -> list[Path]:
    """Write a notebook for students, and one with solutions, for each of these lessons, and the syllabus of all.

    Args:
        numbers: of lessons.
        folder: made if it is not there; files of the same names are written over.

    Returns:
        The files, in the order in which they were written.

    Raises:
        LabError: there is no such lesson, or the folder cannot be written to.
    """
    known = {lesson.number: lesson for lesson in ALL}
    if unknown := [n for n in numbers if n not in known]:
        raise LabError(f"there is no lesson {unknown[0]}; the lessons are 1 to {len(ALL)}. Write: --assign 3,5")
    made = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number in numbers:
            for kind in ("student", "solution"):
                made.append(folder / f"lesson-{number:02}-{kind}.ipynb")
                made[-1].write_text(_notebook(known[number], solved=kind == "solution"), encoding="utf-8")
        made.append(folder / "syllabus.md")
        made[-1].write_text(syllabus(), encoding="utf-8")
    except OSError as error:
        raise LabError(f"cannot write to {folder}: {error.strerror}") from None
    return made


def syllabus() -> str:
    """All lessons as a table in Markdown: what each demands, what it builds on, minutes, and what there is to write.

    Example:
        >>> syllabus().splitlines()[4].split(" | ")[-1]
        'levels (3 points) |'
    """
    rows = ["| | lesson | required | builds on | minutes | to write |", "|---|---|---|---|---|---|"]
    for lesson in ALL:
        tasks = [exercises.load(name) for name in exercises.of_lesson(lesson.number)]
        minutes = lesson.minutes + sum(task.minutes for task in tasks)
        needs = ", ".join(map(str, lesson.needs)) or "nothing"
        written = ", ".join(f"{task.name} ({task.points} points)" for task in tasks)
        rows.append(f"| {lesson.number} | {lesson.title} | {lesson.requirement} | {needs} | {minutes} | {written} |")
    return "\n".join(rows) + "\n"


def _notebook(lesson: Lesson, *, solved: bool) -> str:
    v4: Any = import_module("nbformat.v4")  # untyped
    names = exercises.of_lesson(lesson.number)
    points = sum(exercises.load(name).points for name in names)
    head = (
        f"# {lesson.number}. {lesson.title}\n\n**Required:** {lesson.requirement}\n\n"
        f"{len(names)} {'exercise' if len(names) == 1 else 'exercises'}, {points} points. Write your code in the cells "
        f"that begin with `{MAGIC}`, and leave that line where it is: running the cell runs the tests. The prediction "
        "and the repair of this lesson are made in the lab itself: `gainstage lab`."
    )
    cells = [v4.new_markdown_cell(head), v4.new_code_cell('%pip install -q "gainstage[lab]"')]
    cells.append(v4.new_code_cell("%load_ext gainstage.lab.exercises"))
    for name in names:
        task = exercises.load(name)
        hints = "".join(
            f"\n\n<details><summary>Hint {i}</summary>\n\n{h}\n\n</details>" for i, h in enumerate(task.hints, 1)
        )
        about = f"## {task.title}\n\n*{task.minutes} minutes, {task.points} points.*\n\n"
        cells.append(v4.new_markdown_cell(about + task.prompt + hints))
        code = task.solution if solved else task.starter
        told = f"{exercises.grade(name, code, seed=0)}\n" if solved else ""
        outputs = [v4.new_output("stream", name="stdout", text=told)] if solved else []
        cells.append(v4.new_code_cell(f"{MAGIC} {name}\n{code.rstrip()}", outputs=outputs))
    return book(cells, lesson.key[:3])


def table(folder: Path, word: str = "") -> str:
    """What came back, as CSV: code graded anew, and the first answers of progress files.

    Args:
        folder: a folder a student, or files named after students: `.ipynb` notebooks and `.json` progress files.
        word: that the class signed with; without it signatures are not looked at.

    Raises:
        LabError: there is no such folder, or nothing in it.
    """
    if not folder.is_dir():
        raise LabError(f"there is no folder {folder}: expected one with notebooks (.ipynb) and progress files (.json)")
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".ipynb", ".json") and path.is_file())
    if not files:
        raise LabError(f"{folder} holds neither a notebook (.ipynb) nor a progress file (.json)")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in fields(Row)])
    for path in files:
        place = path.relative_to(folder)
        student = place.parts[0] if len(place.parts) > 1 else place.stem
        rows = _of_notebook(path, student) if path.suffix == ".ipynb" else _of_progress(path, student, word)
        writer.writerows(map(cell, astuple(row)) for row in rows)
    return text.getvalue()


def hand_in(student: str, word: str, folder: Path) -> Path:
    """Write this machine's progress, signed, as a file for the teacher.

    Raises:
        LabError: the folder cannot be written to.
    """
    keep_in(default_file())
    path = folder / f"{''.join(c if c.isalnum() else '-' for c in student)}.json"
    try:
        path.write_bytes(signed(student, answers(), word))
    except OSError as error:
        raise LabError(f"cannot write to {folder}: {error.strerror}") from None
    return path


def _of_notebook(path: Path, student: str) -> Iterator[Row]:
    nbformat: Any = import_module("nbformat")
    try:
        cells = nbformat.reads(path.read_text(encoding="utf-8"), as_version=4).cells
    except Exception as error:  # nbformat raises what its parsers raise
        yield Row(student, path.name, note=f"cannot be read: {type(error).__name__}")
        return
    for each in cells:
        first, _, code = each.source.lstrip().partition("\n")
        if each.cell_type != "code" or not first.startswith(MAGIC):
            continue
        name = first.removeprefix(MAGIC).strip()
        if name not in exercises.names():
            yield Row(student, path.name, exercise=name, note="there is no such exercise")
            continue
        task, given = exercises.load(name), exercises.grade(name, code)
        failed = next((f"{line.says}: {line.message}" for line in given.lines if not line.passed), "")
        yield Row(student, path.name, str(task.lesson), name, given.points, given.of, note=given.error or failed)


def _of_progress(path: Path, student: str, word: str) -> Iterator[Row]:
    try:
        handed = msgspec.json.decode(path.read_bytes(), type=HandedIn)
    except (OSError, msgspec.MsgspecError) as error:
        yield Row(student, path.name, note=f"no progress file: {error}")
        return
    checked = "signature not checked" if not word else "signed" if genuine(handed, word) else "signature does not hold"
    yield from _answered(handed.answers, student, path.name, f"{checked}, name in the file: {handed.student}")


def _answered(given: Answers, student: str, file: str, note: str) -> Iterator[Row]:
    numbers = {lesson.key: str(lesson.number) for lesson in ALL}
    for key, row in sorted(given.items()):
        for exercise, answer in sorted(row.items()):
            first = answer.first if exercise in ("predict", "fix") else ""
            right = "yes" if answer.right else "no"
            where = student, file, numbers.get(key, key), exercise, answer.points, answer.of
            yield Row(*where, first, right, answer.sure, answer.tries, note)
