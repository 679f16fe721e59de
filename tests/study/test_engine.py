"""Trained as one, trained alone, wherever: the same numbers."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import gainstage as gs
from gainstage.study import Arm, Data, Split, StudyError, Trial, grid, load
from gainstage.study._engine import MEMBERS, SMALL, Task, run, tasks


@pytest.fixture(scope="module")
def data() -> Data:
    return load("digits")


def trial(arm: Arm, seed: int = 0, *, steps: int = 20, looks: int = 4) -> Trial:
    return Trial(replace(arm, lr=1e-3) if arm.lr == "tuned" else arm, seed, steps, looks, "data")


KINDS = {
    "plain": Arm(depth=3, width=16),
    "batch norm": Arm(depth=2, width=16, norm="batch", optimizer="momentum"),  # Adam divides rounding by rounding here
    "layer norm, dropout": Arm(depth=2, width=16, norm="layer", dropout=0.3),
    "dropconnect": Arm(depth=2, width=16, dropout=0.3, dropout_kind="connect"),
    "residual": Arm(depth=4, width=16, residual=True, norm="rms"),
    "cnn": Arm(model="cnn", depth=2, width=8, norm="group"),
    "resnet": Arm(model="resnet", depth=2, width=8, norm="batch"),
    "transformer": Arm(model="transformer", depth=1, width=16, norm="layer", dropout=0.1),
    "mixup": Arm(depth=2, width=16, mixup=0.3),
    "cutmix": Arm(model="cnn", depth=2, width=8, cutmix=1.0),
    "smoothing, clip, sgd": Arm(depth=2, width=16, label_smoothing=0.1, clip=0.5, optimizer="momentum"),
    "lsuv": Arm(depth=2, width=16, init="lsuv"),
    "as built": Arm(depth=2, width=16, init=None, optimizer="rmsprop"),
}


@pytest.mark.parametrize("name", KINDS)
def test_among_others_or_alone_a_trial_comes_out_the_same(name: str, data: Data) -> None:
    """To 1e-5 in the losses, after 20 steps; the scores may differ by a sample that lies on the border."""
    arm = KINDS[name]
    trials = tuple(
        trial(replace(arm, lr=lr, weight_decay=decay), seed)
        for seed, lr, decay in ((0, 1e-3, 0.0), (1, 3e-4, 0.1), (2, 1e-3, 0.0))
    )
    together = run(Task(trials, data, together=True))
    for one, among in zip(trials, together, strict=True):
        (alone,) = run(Task((one,), data, together=False))
        assert among.engine == "as one with 2 others"
        assert alone.engine == "alone"
        assert among.loss == pytest.approx(alone.loss, rel=1e-5)
        for a, b in zip(among.curve, alone.curve, strict=True):
            assert (a.train_loss, a.loss) == pytest.approx((b.train_loss, b.loss), rel=1e-5)
        assert abs(among.test - alone.test) <= 1.01 / len(data.test.x)


def test_seeds_rates_and_decay_go_together_and_all_else_apart(data: Data) -> None:
    arms = grid(init=["he_normal", "zeros", "lsuv"], activation=["relu", "tanh"], depth=2, width=8, lr=[1e-3, 1e-2])
    made = tasks([trial(arm, seed) for arm in arms for seed in range(3)], data)
    assert sorted(len(task.trials) for task in made) == [18, 18]
    assert all(task.together for task in made)
    assert {len({t.arm.activation for t in task.trials}) for task in made} == {1}


def test_groups_are_even_and_none_is_too_large(data: Data) -> None:
    trials = [trial(Arm(depth=1, width=4), seed) for seed in range(2 * MEMBERS + 1)]
    sizes = [len(task.trials) for task in tasks(trials, data)]
    assert max(sizes) <= MEMBERS
    assert max(sizes) - min(sizes) <= 1
    assert sum(sizes) == len(trials)


def test_what_cannot_be_stacked_or_gains_nothing_goes_alone(data: Data) -> None:
    large = Arm(depth=4, width=300)
    assert SMALL < 300 * 300
    made = tasks([trial(arm, seed) for arm in (Arm(model="rnn", depth=1, width=8), large) for seed in range(2)], data)
    assert [len(task.trials) for task in made] == [1, 1, 1, 1]
    assert not any(task.together for task in made)


def test_a_diverging_member_is_a_failure_and_touches_no_other(data: Data) -> None:
    fine = trial(Arm(depth=2, width=16, lr=0.01), 1)
    wild = trial(Arm(depth=2, width=16, lr=1e30), 0)
    failed, kept = run(Task((wild, fine), data, together=True))
    (alone,) = run(Task((fine,), data, together=False))
    assert failed.failed is not None
    assert failed.failed.startswith("diverged at step")
    assert failed.test == failed.validation == data.guess
    assert [look.score for look in failed.curve] == [data.guess] * 4
    assert failed.area == pytest.approx(data.guess)
    assert kept.failed is None
    assert kept.loss == pytest.approx(alone.loss, rel=1e-5)


def test_a_seed_means_the_same_start_whatever_the_rate_and_the_same_batches_whatever_the_start(data: Data) -> None:
    """With learning rate 0 nothing moves: the training loss of each look is that of the start on the seed's batches."""
    still = [trial(Arm(depth=2, width=16, lr=0.0, weight_decay=decay), 3) for decay in (0.0, 0.5)]
    a, b = (run(Task((each,), data, together=False))[0] for each in still)
    assert a.curve == b.curve
    ((other,),) = [run(Task((trial(Arm(depth=2, width=16, lr=0.0), 4),), data, together=False))]
    assert other.curve != a.curve


def test_looks_are_spread_evenly_and_end_at_the_last_step(data: Data) -> None:
    (found,) = run(Task((trial(Arm(depth=1, width=4), steps=10, looks=4),), data, together=False))
    assert [look.step for look in found.curve] == [3, 5, 8, 10]
    assert found.curve[-1].score == found.validation
    assert found.curve[-1].loss == pytest.approx(found.loss, rel=1e-6)
    (few,) = run(Task((trial(Arm(depth=1, width=4), steps=2, looks=9),), data, together=False))
    assert [look.step for look in few.curve] == [1, 2]


def test_a_task_leaves_threads_and_random_state_alone(data: Data) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        run(Task((trial(Arm(depth=1, width=4, dropout=0.5)),) * 2, data, together=True))
        run(Task((trial(Arm(model="rnn", depth=1, width=4)),), data, together=False))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(torch.rand(3), expected)


def test_a_regression_and_a_model_of_ones_own(data: Data) -> None:
    x = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    regression = load((x, x @ torch.tensor([[1.0], [-2.0], [0.5]])))
    (found,) = run(Task((trial(Arm(model=linear, options={"inputs": 3}, lr=0.1), steps=200),), regression, False))
    assert found.test == pytest.approx(1, abs=1e-3)


def test_a_regression_that_ends_far_worse_than_guessing_is_a_failure() -> None:
    x = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    regression = load((x, x.sum(1, keepdim=True)))
    wild = Arm(model=linear, options={"inputs": 3}, lr=50.0, optimizer="sgd")
    (found,) = run(Task((trial(wild, steps=5, looks=1),), regression, False))
    assert found.failed is not None
    assert "worse than guessing" in found.failed
    assert found.test == 0.0


def linear(inputs: int) -> nn.Module:
    return nn.Linear(inputs, 1)


def fragile() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10), OnlyInEvaluation())


class OnlyInEvaluation(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            raise ValueError("no training please")
        return x


def test_an_arm_that_cannot_be_trained_is_named_before_anything_is_trained(data: Data) -> None:
    with pytest.raises(StudyError, match=r"fragile.*cannot be trained: .*no training please"):
        tasks([trial(Arm(model=fragile), 0)], data)


def test_batches_are_no_larger_than_the_data() -> None:
    x = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    parts = (Split(some, (some[:, 0] > 0).long()) for some in x.split([20, 10, 10]))
    some = Data("few", *parts, 2)
    (found,) = run(Task((trial(Arm(depth=1, width=4, batch_size=64)),), some, together=False))
    assert found.failed is None


def test_the_code_version_knows_every_file_that_the_engine_uses_and_no_other_of_the_room() -> None:
    """Else an old result would pass for a new one; or a chart that was changed would make the store forget."""
    import grimp

    from gainstage.study._trial import CODE

    package = Path(gs.__file__).parent
    told = {file for part in CODE for file in (sorted((package / part).rglob("*.py")) or [package / part])}
    assert all(file.is_file() for file in told)
    graph = grimp.build_graph("gainstage", exclude_type_checking_imports=True)
    names = {"gainstage.study._engine", *graph.find_upstream_modules("gainstage.study._engine")}
    paths = [package.joinpath(*name.split(".")[1:]) for name in names]
    used = {path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py" for path in paths}
    neutral = {package / "errors.py", package / "_notebook.py", package / "_callable.py", package / "study/_errors.py"}
    assert used - neutral <= told
    assert {file for file in told if "study" in file.parts} <= used
