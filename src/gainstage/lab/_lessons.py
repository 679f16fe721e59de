"""The lessons: number, file, title and the one thing each demands of a network or of its training."""

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from gainstage.lab._errors import LabError
from gainstage.lab.course.grammar import front_matter

FOLDER = Path(__file__).parent / "lessons"


@dataclass(frozen=True)
class Lesson:
    """One row of the table.

    Attributes:
        number: from 1; the order in which the lessons build on each other.
        key: name of its file, `l03_variance` for `lessons/l03_variance.md`; also its place in the address.
        title: a few words.
        requirement: one sentence: what must hold, which the lesson derives, measures and lets break.
    """

    number: int
    key: str
    title: str
    requirement: str

    @property
    def minutes(self) -> int:
        """To read it, predict and repair; what is to be written comes on top."""
        return PLAN[self.number][0]

    @property
    def needs(self) -> tuple[int, ...]:
        """Numbers of the lessons that it builds on directly."""
        return PLAN[self.number][1]

    @property
    def path(self) -> Path:
        """Its file: a Markdown document, or a marimo notebook."""
        document = FOLDER / f"{self.key}.md"
        return document if document.is_file() else FOLDER / f"{self.key}.py"

    @property
    def is_document(self) -> bool:
        """Whether it is a Markdown document, of `lab.course`."""
        return self.path.suffix == ".md"

    @property
    def link(self) -> str:
        """Its address under the home page."""
        return f"/lessons/{self.key}/"


PLAN: dict[int, tuple[int, tuple[int, ...]]] = {  # minutes, and the lessons that it builds on
    1: (20, ()),
    2: (20, (1,)),
    3: (25, (1,)),
    4: (30, (3,)),
    5: (30, (4,)),
    6: (30, (5,)),
    7: (40, (5,)),
    8: (35, (5,)),
    9: (25, (5,)),
    10: (40, (3,)),
    11: (35, (10,)),
    12: (30, (5,)),
    13: (30, (1,)),
    14: (30, (1,)),
    15: (30, (1,)),
    16: (30, (1,)),
    17: (40, (5, 10, 13)),
    18: (30, (5,)),
}


def _documents() -> tuple[Lesson, ...]:
    """The lessons that are documents: their front matter says what they are."""
    return tuple(_document(file) for file in FOLDER.glob("l*.md"))


def _document(file: Path) -> Lesson:
    front, _ = front_matter(file.read_text(encoding="utf-8"), file)
    return Lesson(front["number"], file.stem, front["title"], front["requires"])


def _table(*rows: tuple[str, str, str]) -> tuple[Lesson, ...]:
    made = [Lesson(int(key[1:3]), key, title, requirement) for key, title, requirement in rows]
    return tuple(sorted((*made, *_documents()), key=lambda lesson: lesson.number))


ALL = _table(  # those that are marimo notebooks
    ("l05_he", "He and exact gains", "A weight must make up for what its activation takes away."),
    ("l06_lecun", "LeCun and SELU", "Mean 0 and mean square 1 must be a fixed point that attracts."),
    ("l07_orthogonal", "Orthogonal weights and depth", "No direction of the signal may vanish or explode with depth."),
    ("l08_residual", "Residual networks and transformers", "A stream must not grow with the number of its branches."),
    ("l10_batchnorm", "Batch normalization", "What is normalized must mean the same in training and in use."),
    ("l11_family", "The family of normalizations", "The axes that are averaged must be axes that may be forgotten."),
    ("l12_gradients", "Gradient flow", "Every layer must hear the loss, neither whispered nor shouted."),
    ("l14_mixing", "Mixup and CutMix", "A target must be mixed exactly as its inputs are."),
    ("l15_stopping", "Early stopping", "What is kept must be the best that was seen, whole."),
    ("l16_ensembles", "Ensembles", "Members must err differently, or averaging gains nothing."),
    ("l17_comparison", "Everything compared", "A choice must be judged at its own best learning rate, with intervals."),
    ("l18_your_model", "Your model", "A network must pass its check before it costs a night of training."),
)
_BY_KEY = {lesson.key: lesson for lesson in ALL}


def lessons() -> tuple[Lesson, ...]:
    """The lessons that have a file, in order."""
    return tuple(lesson for lesson in ALL if lesson.path.is_file())


def lesson(key: str) -> Lesson:
    """The lesson of this key.

    Raises:
        LabError: there is none.

    Example:
        >>> lesson("l03_variance").title
        'Too small, too large'
    """
    if key not in _BY_KEY:
        near = get_close_matches(key, _BY_KEY, n=1)
        raise LabError(f"there is no lesson {key!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    return _BY_KEY[key]
