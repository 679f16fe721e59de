"""Coursework: what is assigned runs as it stands, and what comes back is graded by running it again."""

import csv
import io
from pathlib import Path

import nbformat
import pytest

from gainstage.lab import LabError, _progress, coursework, exercises


@pytest.fixture(scope="module")
def assigned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("assigned")
    coursework.assign([3, 16], folder)
    return folder


def cells(path: Path) -> dict[str, str]:
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    found = [cell.source for cell in book.cells if cell.source.startswith("%%exercise")]
    return {source.split("\n")[0].split()[1]: source.split("\n", 1)[1] for source in found}


def rows(folder: Path, word: str = "") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(coursework.table(folder, word))))


def test_the_students_notebook_has_the_starter_and_the_other_the_solution(assigned: Path) -> None:
    names = sorted(path.name for path in assigned.iterdir())
    assert names == [f"lesson-{n}-{kind}.ipynb" for n in ("03", "16") for kind in ("solution", "student")] + [
        "syllabus.md"
    ]
    assert (assigned / "syllabus.md").read_text().count("\n") == 2 + 18
    for number in (3, 16):
        student, solved = (cells(assigned / f"lesson-{number:02}-{kind}.ipynb") for kind in ("student", "solution"))
        assert set(student) == set(solved) == set(exercises.of_lesson(number))
        for name in student:
            assert student[name] == exercises.load(name).starter.rstrip()
            assert solved[name] == exercises.load(name).solution.rstrip()
    text = (assigned / "lesson-16-student.ipynb").read_text()
    assert "torch.linalg.lstsq(answers" not in text
    assert "%pip install" in text


def test_what_comes_back_is_graded_anew(assigned: Path, tmp_path: Path) -> None:
    (tmp_path / "ada").mkdir()
    (tmp_path / "ada" / "homework.ipynb").write_text((assigned / "lesson-03-solution.ipynb").read_text())
    wrong = (assigned / "lesson-03-solution.ipynb").read_text().replace("1 / (len(found) - 1)", "1 / len(found)")
    (tmp_path / "bob.ipynb").write_text(wrong)
    (tmp_path / "eve.ipynb").write_text("no notebook")
    ada, bob, eve = rows(tmp_path)
    assert (ada["student"], ada["exercise"], ada["points"], ada["of"], ada["note"]) == ("ada", "levels", "3", "3", "")
    assert (bob["student"], bob["points"]) == ("bob", "2")
    assert "as many steps as layers" in bob["note"]
    assert "cannot be read" in eve["note"]


def test_first_answers_come_with_their_signature(tmp_path: Path) -> None:
    given = {"l03_variance": {"predict": _progress.Answer("=It grows", right=False, sure="certain", tries=2)}}
    (tmp_path / "ada.json").write_bytes(_progress.signed("Ada", given, "overture"))
    (tmp_path / "bob.json").write_bytes(_progress.signed("Ada", given, "overture").replace(b"certain", b"a guess"))
    ada, bob = rows(tmp_path, "overture")
    assert (ada["lesson"], ada["exercise"], ada["right"], ada["sure"], ada["tries"]) == (
        "3",
        "predict",
        "no",
        "certain",
        "2",
    )
    assert ada["first"] == "'=It grows"  # no formula of a spreadsheet
    assert ada["note"] == "signed, name in the file: Ada"
    assert bob["note"].startswith("signature does not hold")


def test_what_cannot_be_done_is_said(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="there is no lesson 40"):
        coursework.assign([40], tmp_path)
    with pytest.raises(LabError, match="holds neither a notebook"):
        coursework.table(tmp_path)
    with pytest.raises(LabError, match="there is no folder"):
        coursework.table(tmp_path / "nowhere")
