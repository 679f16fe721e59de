"""The comparison that `gainstage compare` runs without a study file: init × activation × depth, as in textbooks."""

from gainstage.study._arm import grid
from gainstage.study._study import Study
from gainstage.study.claims import CONSTANT, LARGE, RECOMMENDED, SMALL

SHALLOW, DEEP = 3, 20
INITS = ("xavier_normal", "he_normal", "lecun_normal", "auto", SMALL, LARGE, "zeros", CONSTANT)
STEPS = 300


def textbook() -> Study:
    """Eight starts with four activations at two depths, on digits, with the learning rate of each arm tuned.

    The constant is about 1 / width, so that the signal keeps its size: what it shows is symmetry, not scale. The small
    and the large normal are those of the CS231n lectures.

    Returns:
        The study; `judge` says of its results which claims of the textbooks hold.

    Example:
        >>> len(textbook().arms)
        64
    """
    arms = grid(init=list(INITS), activation=list(RECOMMENDED), depth=[SHALLOW, DEEP])
    return Study(arms=arms, data="digits", seeds=5, steps=STEPS)
