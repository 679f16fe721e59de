"""The table of lessons: number, file, title and the one thing each demands of a network or of its training."""

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from gainstage.lab._errors import LabError

FOLDER = Path(__file__).parent / "lessons"


@dataclass(frozen=True)
class Lesson:
    """One row of the table.

    Attributes:
        number: from 1; the order in which the lessons build on each other.
        key: name of its file, `l03_variance` for `lessons/l03_variance.py`; also its place in the address.
        title: a few words.
        requirement: one sentence: what must hold, which the lesson derives, measures and lets break.
    """

    number: int
    key: str
    title: str
    requirement: str

    @property
    def path(self) -> Path:
        """Its marimo file."""
        return FOLDER / f"{self.key}.py"

    @property
    def link(self) -> str:
        """Its address under the home page."""
        return f"/lessons/{self.key}/"


def _table(*rows: tuple[str, str, str]) -> tuple[Lesson, ...]:
    return tuple(Lesson(int(key[1:3]), key, title, requirement) for key, title, requirement in rows)


ALL = _table(
    ("l01_why", "Why the start matters", "Before the first update, the loss must be able to reach every weight."),
    ("l02_symmetry", "Symmetry", "Two units that start equal must not be able to stay equal."),
    ("l03_variance", "Too small, too large", "A layer must hand on the mean square of what it gets."),
    ("l04_xavier", "Xavier", "Signal and gradient must both keep their level, as far as one scale allows."),
    ("l05_he", "He and exact gains", "A weight must make up for what its activation takes away."),
    ("l06_lecun", "LeCun and SELU", "Mean 0 and mean square 1 must be a fixed point that attracts."),
    ("l07_orthogonal", "Orthogonal weights and depth", "No direction of the signal may vanish or explode with depth."),
    ("l08_residual", "Residual networks and transformers", "A stream must not grow with the number of its branches."),
    ("l09_data_driven", "Starting from data", "Where theory cannot follow the network, one batch must do."),
    ("l10_batchnorm", "Batch normalization", "What is normalized must mean the same in training and in use."),
    ("l11_family", "The family of normalizations", "The axes that are averaged must be axes that may be forgotten."),
    ("l12_gradients", "Gradient flow", "Every layer must hear the loss, neither whispered nor shouted."),
    ("l13_dropout", "Dropout and its variants", "What is dropped must be the share that was asked for."),
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
