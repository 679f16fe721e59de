"""A study end to end: fair, resumable, the same wherever it runs."""

import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
import torch
from small_study import numbers_of, small
from torch import nn

import gainstage as gs
from gainstage.study import Arm, Pool, Progress, Serial, Store, StudyError, grid


class Counting(Serial):
    """Counts the trials of the tasks that it is given."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.trials = 0
        self.stop_after = stop_after

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        if self.stop_after is not None and self.trials >= self.stop_after:
            raise KeyboardInterrupt
        self.trials += len(args[0].trials)
        return super().submit(fn, *args, **kwargs)


def test_serial_and_pool_give_identical_numbers() -> None:
    with Pool(workers=2) as pool:
        assert numbers_of(small().run(executor=pool)) == numbers_of(small().run(executor=Serial()))


def test_what_the_store_has_is_not_trained_again(tmp_path: Path) -> None:
    first, again = Counting(), Counting()
    told: list[Progress] = []
    results = small().run(executor=first, store=tmp_path / "s.db")
    assert numbers_of(small().run(executor=again, store=tmp_path / "s.db", on_done=[told.append])) == numbers_of(
        results
    )
    assert first.trials >= 4 * (2 + 3)
    assert again.trials == 0
    assert told[0].done == told[0].total == told[0].known == 4 * 2
    more = Counting()
    small(seeds=4).run(executor=more, store=tmp_path / "s.db")
    assert 4 <= more.trials <= 4 * 4  # the tasks with a new seed, whole


@pytest.mark.parametrize("stop_after", [1, 6, 9, 14])
def test_interrupted_anywhere_it_goes_on_to_the_same_numbers(tmp_path: Path, stop_after: int) -> None:
    whole = small().run(executor=Serial())
    with pytest.raises(KeyboardInterrupt):
        small().run(executor=Counting(stop_after), store=tmp_path / "s.db")
    with Store(tmp_path / "s.db") as store:
        kept = len(list(store.rows()))
    rest = Counting()
    assert numbers_of(small().run(executor=rest, store=tmp_path / "s.db")) == numbers_of(whole)
    assert kept > 0
    total = Counting()
    small().run(executor=total)
    assert rest.trials <= total.trials - kept


KILLED = """
import os, signal, sys
from gainstage.study import Serial, Study, grid

def told(progress):
    print(progress.stage, progress.done, progress.known, flush=True)
    if progress.done > progress.known:
        os.kill(os.getpid(), signal.SIGKILL)

arms = grid(init=["he_normal", "zeros"], depth=[1, 2, 3], width=8, lr=0.1)
Study(arms=arms, data="wine", seeds=3, steps=20, looks=2).run(executor=Serial(), store=sys.argv[1], on_done=[told])
"""


def test_killed_after_every_task_it_goes_on_and_ends_with_the_same_numbers(tmp_path: Path) -> None:
    kept, code = [0], -signal.SIGKILL
    while code == -signal.SIGKILL:
        code = subprocess.run([sys.executable, "-c", KILLED, tmp_path / "s.db"], check=False).returncode
        with Store(tmp_path / "s.db") as store:
            kept.append(len(list(store.rows())))
        assert code == 0 or kept[-1] > kept[-2], "each run was to complete a task before it was killed"
    assert code == 0
    assert kept == [0, 6, 12, 18, 18]
    study = small(arms=grid(init=["he_normal", "zeros"], depth=[1, 2, 3], width=8, lr=0.1))
    after = study.run(executor=Counting(stop_after=0), store=tmp_path / "s.db")
    assert numbers_of(after) == numbers_of(study.run(executor=Serial()))


def test_the_rate_is_chosen_without_a_look_at_the_test_part_or_the_reported_seeds() -> None:
    """Labels of the test part drawn anew: other scores, the same rates."""
    data = gs.study.load("wine")
    generator = torch.Generator().manual_seed(0)
    other = data.test.y[torch.randperm(len(data.test.y), generator=generator)]
    changed = gs.study.Data("wine", data.train, data.validation, gs.study.Split(data.test.x, other), data.classes)
    a, b = (small(data=each).run(executor=Serial()) for each in (data, changed))
    assert [(each.lr, each.tried) for each in a.arms] == [(each.lr, each.tried) for each in b.arms]
    assert [each.scores for each in a.arms] != [each.scores for each in b.arms]
    assert [each.lr for each in small(seeds=[11, 12]).run(executor=Serial()).arms] == [each.lr for each in a.arms]


def test_arms_share_their_random_numbers() -> None:
    """Two arms that differ in nothing that matters get equal outcomes, seed by seed."""
    arms = (Arm(depth=1, width=8, lr=0.1), Arm(depth=1, width=8, lr=0.1, clip=1e9))
    a, b = small(arms=arms).run(executor=Serial()).arms
    losses = [outcome.loss for outcome in a.outcomes]
    assert losses == pytest.approx([outcome.loss for outcome in b.outcomes], rel=1e-6)
    assert len(set(losses)) == 3


def broken() -> nn.Module:
    raise RuntimeError("no memory for this layer")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arms": ()}, "at least one arm"),
        ({"arms": [Arm(), Arm()]}, "arms 0 and 1 are the same"),
        ({"arms": [Arm(init="he_norml")]}, "Did you mean 'he_normal'"),
        ({"arms": [Arm(model=broken)]}, r"broken.*no memory for this layer"),
        ({"seeds": 0}, "seeds is 0"),
        ({"seeds": [1, 1]}, "different numbers"),
        ({"seeds": [2_000_000]}, "999,999"),
        ({"steps": 0}, "steps is 0"),
        ({"rates": []}, "learning rates above 0"),
        ({"rates": [0.1, -1.0]}, "learning rates above 0"),
        ({"margin": -0.1}, "margin is -0.1"),
        ({"data": "winee"}, "Did you mean 'wine'"),
        ({"data": (torch.randn(30, 4), torch.full((30,), 7))}, "class"),
    ],
)
def test_a_study_that_cannot_be_run_says_so_once(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        small(**changes).run(executor=Serial())


def test_an_arm_that_cannot_be_built_leaves_what_is_done_in_the_store(tmp_path: Path) -> None:
    small().run(executor=Serial(), store=tmp_path / "s.db")
    with Store(tmp_path / "s.db") as store:
        before = list(store.rows())
    with pytest.raises(StudyError, match="broken"):
        small(arms=[*small().arms, Arm(model=broken)]).run(executor=Serial(), store=tmp_path / "s.db")
    with Store(tmp_path / "s.db") as store:
        assert list(store.rows()) == before


class Explodes(nn.Module):
    """Raises at its hundredth step."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.steps = nn.Linear(13, 3), 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.steps += self.training
        if self.steps > 10:
            raise ValueError("step eleven")
        return self.layer(x)


def test_an_error_while_training_names_the_arm_and_keeps_the_others(tmp_path: Path) -> None:
    arms = [*grid(init=["he_normal", "zeros"], width=64, lr=0.1), Arm(model=Explodes, lr=0.1)]
    with pytest.raises(StudyError, match=r"Explodes.*ValueError: step eleven"):
        small(arms=arms).run(executor=Serial(), store=tmp_path / "s.db")
    with Store(tmp_path / "s.db") as store:
        assert len(list(store.rows())) == 6
