"""Arms where a grid would be too large: chosen one batch after the other by a sampler of Optuna."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from statistics import fmean
from typing import Any

from gainstage._visible import shown
from gainstage.study._arm import Arm, is_finite
from gainstage.study._errors import StudyError
from gainstage.study._measured import ArmResult
from gainstage.study._results import Results
from gainstage.study._study import Study


def search(
    space: Mapping[str, Any],
    *,
    arms: int = 40,
    batch: int = 8,
    sampler: Any = None,
    run: Mapping[str, Any] | None = None,
    **study: Any,
) -> Results:
    """Run a study whose arms a sampler chooses by the scores of those before.

    The sampler is told the mean score on the validation part; what is reported is that on the test part, which has no
    part in the choice.

    Args:
        space: fields of `Arm`: a list to choose from, or `(low, high)`, a range of whole numbers, or of numbers on a
            logarithmic scale. All else is that of every arm. Give `lr` a range: `"tuned"` costs a grid for each arm.
        arms: how many are tried; one that is chosen again is not run again.
        batch: how many are chosen before the next are trained, and then trained beside each other.
        sampler: of `optuna.samplers`; by default a tree-structured Parzen estimator with seed 0.
        run: arguments of `Study.run`: `{"store": "study.db", "executor": Serial()}`.
        study: arguments of `Study`: `data`, `seeds`, `steps`, `margin`.

    Returns:
        The results of all arms that were tried, each with every seed.

    Raises:
        StudyError: Optuna is not installed, a range is none, or what `Study` raises.

    Example:
        >>> from gainstage.study import Serial
        >>> space = {"init": ["auto", "torch"], "lr": (1e-3, 1e-1), "depth": (1, 3), "width": 8}
        >>> found = search(space, arms=4, batch=2, data="iris", seeds=1, steps=5, run={"executor": Serial()})
        >>> len(found.arms), all(1e-3 <= each.lr <= 1e-1 for each in found.arms)
        (4, True)

    References:
        Akiba, Sano, Yanase, Ohta & Koyama, *Optuna: a next-generation hyperparameter optimization framework*, 2019.
    """
    if arms < 1 or batch < 1:
        raise StudyError(f"a search needs at least one arm and one a batch; got arms={arms}, batch={batch}")
    with _quiet() as optuna:
        chooser = sampler or optuna.samplers.TPESampler(seed=0)
        asked = optuna.create_study(direction="maximize", sampler=chooser)
        ranges = {name: _range(optuna, name, value) for name, value in space.items() if _varies(value)}
        found: dict[str, ArmResult] = {}
        results: Results | None = None
        for begin in range(0, arms, batch):
            tried = [asked.ask(ranges) for _ in range(min(batch, arms - begin))]
            chosen = [_arm(space, each.params) for each in tried]
            new = {repr(arm.key()): arm for arm in chosen if repr(arm.key()) not in found}
            if new:
                results = Study(arms=tuple(new.values()), **study).run(**(run or {}))
                found |= zip(new, results.arms, strict=True)
            for each, arm in zip(tried, chosen, strict=True):
                asked.tell(each, fmean(outcome.validation for outcome in found[repr(arm.key())].outcomes))
    assert results is not None
    return replace(results, arms=tuple(found.values()))


def _arm(space: Mapping[str, Any], drawn: Mapping[str, Any]) -> Arm:
    values = {name: value[drawn[name]] if isinstance(value, list) else value for name, value in space.items()}
    return Arm(**values | {name: value for name, value in drawn.items() if not isinstance(space[name], list)})


def _varies(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _range(optuna: Any, name: str, value: Any) -> Any:
    """The distribution of a field; of a list, that of the number of a choice."""
    kinds = optuna.distributions
    if isinstance(value, list):
        if not value:
            raise StudyError(f"the space is empty: {name} has no values. Give at least one, or leave {name} out.")
        return kinds.CategoricalDistribution(range(len(value)))
    if len(value) != 2 or not all(map(is_finite, value)) or not value[0] < value[1]:
        raise StudyError(f"the range of {name} is {shown(value)}: expected (low, high), two numbers, or a list.")
    if all(isinstance(end, int) for end in value):
        return kinds.IntDistribution(*value)
    if value[0] <= 0:
        raise StudyError(f"the range of {name} is {shown(value)}: numbers are drawn on a logarithmic scale, above 0.")
    return kinds.FloatDistribution(*map(float, value), log=True)


@contextmanager
def _quiet() -> Iterator[Any]:
    """Optuna, which logs every trial where it is not told otherwise."""
    try:
        import optuna
    except ModuleNotFoundError:
        raise StudyError("a search needs Optuna. Write: pip install 'gainstage[search]', or use grid(...)") from None
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield optuna
    finally:
        optuna.logging.set_verbosity(before)
