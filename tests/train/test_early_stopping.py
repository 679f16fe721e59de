import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import mse_loss
from torch.optim.swa_utils import AveragedModel

from gainstage.train import GL, PQ, UP, EarlyStopping, TrainError, fit, mode_of, moving_average, moving_median

finite = st.floats(-1e3, 1e3)
anything = st.one_of(finite, st.sampled_from([math.nan, math.inf, -math.inf]))
runs = st.lists(anything, min_size=1, max_size=30)


def decisions(stopper: EarlyStopping, values: list[float]) -> list[str | None]:
    said = []
    for value in values:
        stopper.step(value)
        said.append(stopper.reason)
    return said


@given(runs, st.sampled_from(["min", "max"]), st.integers(0, 5))
def test_the_best_is_the_best_finite_value_after_the_warm_up(values, mode, start) -> None:
    stopper = EarlyStopping("x", mode=mode, patience=None, start_from=start, on_nonfinite="wait", min_delta=0.5)
    decisions(stopper, values)
    seen = [(v, i) for i, v in enumerate(values) if i >= start and math.isfinite(v)]
    if not seen:
        assert stopper.best is None
        return
    best = min(v for v, _ in seen) if mode == "min" else max(v for v, _ in seen)
    assert stopper.best == best
    assert stopper.best_epoch == next(i for v, i in seen if v == best)


@given(runs, st.integers(1, 4), st.floats(0, 2), st.booleans())
def test_rising_and_falling_metrics_are_each_others_mirror(values, patience, delta, relative) -> None:
    """So a relative min_delta means the same for negative values as for positive ones."""
    how = {"patience": patience, "min_delta": delta, "relative": relative, "on_nonfinite": "wait"}
    falls, rises = EarlyStopping("x", mode="min", **how), EarlyStopping("x", mode="max", **how)
    assert [falls.step(v) for v in values] == [rises.step(-v) for v in values]
    assert falls.best_epoch == rises.best_epoch


@given(runs, st.integers(1, 4), st.floats(0, 2), st.booleans(), st.sampled_from([None, 0.0]))
def test_it_stops_when_patience_epochs_passed_without_progress(values, patience, delta, relative, baseline) -> None:
    stopper = EarlyStopping(
        patience=patience, min_delta=delta, relative=relative, on_nonfinite="wait", baseline=baseline
    )
    goal, since = baseline, 0
    for value in values:
        least = delta * (abs(goal) if relative and goal is not None else 1)
        if math.isfinite(value) and (goal is None or value < goal - least):
            goal, since = value, 0
        else:
            since += 1
        assert stopper.step(value) == (since >= patience)


@pytest.mark.parametrize(
    ("first", "then", "progress"), [(-1.0, -1.05, True), (-1.0, -0.95, False), (-1.0, -1.005, False), (1.0, 0.95, True)]
)
def test_relative_progress_of_a_negative_loss(first, then, progress) -> None:
    stopper = EarlyStopping(patience=1, min_delta=0.01, relative=True)
    assert not stopper.step(first)
    assert stopper.step(then) == (not progress)


def ignite(values, patience: int, delta: float, cumulative: bool) -> int | None:
    """The epoch at which `ignite.handlers.EarlyStopping` ends a run, for a score that should rise."""
    best, wait = None, 0
    for epoch, score in enumerate(values):
        if best is None:
            best = score
        elif score <= best + delta:
            if not cumulative and score > best:
                best = score
            wait += 1
            if wait >= patience:
                return epoch
        else:
            best, wait = score, 0
    return None


@given(st.lists(st.integers(-20, 20), min_size=1, max_size=30), st.integers(1, 5), st.integers(0, 5), st.booleans())
def test_both_ways_to_measure_a_step_are_ignites(values, patience, delta, cumulative) -> None:
    for mode, sign in (("max", 1), ("min", -1)):
        stopper = EarlyStopping("it", mode=mode, patience=patience, min_delta=delta, cumulative=cumulative)
        stops = [epoch for epoch, value in enumerate(values) if stopper.step(float(sign * value))]
        assert (stops[0] if stops else None) == ignite(values, patience, delta, cumulative)
        assert stopper.best == sign * max(values)


def test_small_steps_add_up_or_each_counts_by_itself() -> None:
    steps = [10.0, 9.4, 8.8, 8.2, 7.6]
    assert [EarlyStopping(patience=2, min_delta=1.0).step(v) for v in steps] == [False] * 5
    both = {way: EarlyStopping(patience=2, min_delta=1.0, cumulative=way) for way in (True, False)}
    assert {way: [stopper.step(v) for v in steps] for way, stopper in both.items()} == {
        True: [False] * 5,
        False: [False, False, True, True, True],
    }


@pytest.mark.parametrize("on_disk", [False, True])
def test_reset_it_watches_another_run_as_a_new_one_would(on_disk, tmp_path) -> None:
    def stopper(name: str) -> EarlyStopping:
        path = tmp_path / f"{name}.safetensors" if on_disk else None
        return EarlyStopping(patience=2, keep={"model": model}, path=path)

    model = nn.Linear(1, 1, bias=False)
    used, new = stopper("used"), stopper("new")
    for loss in (0.1, 0.2, 0.3):
        used.step(loss)
    assert used.reason is not None
    used.reset()
    assert (used.reason, used.best, used.best_epoch, used.epoch) == (None, None, None, 0)
    with pytest.raises(TrainError, match="no best epoch yet"):
        used.restore()
    for value, loss in ((7.0, 3.0), (8.0, 2.0), (9.0, 2.5)):
        nn.init.constant_(model.weight, value)
        assert used.step(loss) == new.step(loss)
    assert used.restore() == 2.0
    assert model.weight.item() == 8.0
    assert used.state_dict().keys() == new.state_dict().keys()
    assert used.values == new.values


def test_small_progress_is_kept_though_it_does_not_count() -> None:
    stopper = EarlyStopping(patience=3, min_delta=0.5)
    assert decisions(stopper, [1.0, 0.9, 0.8, 0.7])[-1] == (
        "val_loss has not fallen below 1 by more than 0.5 for 3 epochs"
    )
    assert (stopper.best, stopper.best_epoch) == (0.7, 3)


def test_nan_first_is_neither_best_nor_restored() -> None:
    model = nn.Linear(2, 1)
    stopper = EarlyStopping(on_nonfinite="wait", keep={"model": model})
    with torch.no_grad():
        good = model.weight.clone()
        model.weight.fill_(math.nan)
        stopper.step(math.nan)
        model.weight.copy_(good)
        stopper.step(1.0)
        model.weight.fill_(math.nan)
        stopper.step(-math.inf)
    assert stopper.restore() == 1.0
    assert torch.equal(model.weight, good)


def test_a_value_that_is_not_finite_stops_at_once_also_in_the_warm_up() -> None:
    stopper = EarlyStopping(start_from=5)
    assert decisions(stopper, [1.0, math.inf]) == [None, "val_loss is inf in epoch 1"]


def test_thresholds_stop_with_their_reason() -> None:
    how = {"stopping_threshold": 0.1, "divergence_threshold": 10}
    assert decisions(EarlyStopping(**how), [1.0, 0.1])[-1] == "val_loss has reached 0.1: it is 0.1"
    assert decisions(EarlyStopping(**how), [1.0, 10.0])[-1] == "val_loss diverges: 10 is not below 10"
    how = {"stopping_threshold": 0.9, "divergence_threshold": 0.1}
    assert decisions(EarlyStopping("acc", **how), [0.5, 0.9])[-1] == "acc has reached 0.9: it is 0.9"
    assert decisions(EarlyStopping("acc", **how), [0.5, 0.05])[-1] == "acc diverges: 0.05 is not above 0.1"
    assert decisions(EarlyStopping("acc", **how), [0.5, 0.4, 0.6]) == [None] * 3


def test_the_baseline_must_be_beaten_but_the_best_below_it_is_kept() -> None:
    stopper = EarlyStopping("accuracy", patience=3, baseline=0.9)
    assert decisions(stopper, [0.5, 0.7, 0.6])[-1] == "accuracy has not risen above 0.9 for 3 epochs"
    assert stopper.best == 0.7


def test_a_smoothed_value_does_not_follow_a_lucky_epoch() -> None:
    values = [1.0, 0.9, 0.1, 0.8, 0.7, 0.6]  # 0.1 is luck
    assert any(decisions(EarlyStopping(patience=3), values))
    stopper = EarlyStopping(patience=3, smooth=moving_median(3))
    assert not any(decisions(stopper, values))
    assert stopper.best_epoch == 4  # the medians are 1, 0.95, 0.9, 0.8, 0.7, 0.7


@given(st.lists(finite, min_size=1, max_size=20), st.floats(0, 0.99))
def test_the_moving_average_is_the_corrected_exponential_one(values, decay) -> None:
    weights = [decay ** (len(values) - 1 - i) for i in range(len(values))]
    expected = sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)
    assert moving_average(decay)(values) == pytest.approx(expected, rel=1e-9, abs=1e-9)


errors = st.lists(st.floats(0.01, 10), min_size=1, max_size=25)


@given(errors, st.floats(0, 50))
def test_gl_is_the_formula(values, alpha) -> None:
    stopper = EarlyStopping(patience=None, criterion=GL(alpha))
    for t, value in enumerate(values):
        assert stopper.step(value) == (100 * (value / min(values[: t + 1]) - 1) > alpha)


@given(errors, st.integers(1, 3), st.integers(1, 4))
def test_up_is_the_recursive_definition(values, s, k) -> None:
    def rises(t: int, s: int) -> bool:  # t counts from 1; UP_s in terms of UP_{s-1}, as in the paper
        if t % k or t <= k:
            return False
        return values[t - 1] > values[t - k - 1] and (s == 1 or rises(t - k, s - 1))

    stopper = EarlyStopping(patience=None, criterion=UP(s, k))
    assert [stopper.step(v) for v in values] == [rises(t, s) for t in range(1, len(values) + 1)]


@given(st.lists(st.tuples(st.floats(0.01, 10), st.floats(0.01, 10)), min_size=1, max_size=25), st.floats(0.1, 3))
def test_pq_is_the_formula_at_the_ends_of_strips(pairs, alpha) -> None:
    stopper = EarlyStopping(patience=None, criterion=PQ(alpha, strip=3))
    for t in range(1, len(pairs) + 1):
        val, train = [v for v, _ in pairs[:t]], [e for _, e in pairs[max(0, t - 3) : t]]
        gl, p = 100 * (val[-1] / min(val) - 1), 1000 * (sum(train) / (3 * min(train)) - 1)
        expected = t % 3 == 0 and gl > alpha * max(p, 0)
        assert stopper.step(pairs[t - 1][0], train=pairs[t - 1][1]) == expected


def test_criteria_refuse_what_they_cannot_judge() -> None:
    with pytest.raises(TrainError, match="1 - accuracy"):
        EarlyStopping("accuracy", criterion=GL(5))
    with pytest.raises(TrainError, match="must not be negative"):
        EarlyStopping(criterion=GL(5)).step(-1.0)
    with pytest.raises(TrainError, match="train=error"):
        EarlyStopping(criterion=PQ(1, strip=1)).step(1.0)


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("val_loss", "min"),
        ("loss", "min"),
        ("validation/MSE", "min"),
        ("valLoss", "min"),
        ("eval.perplexity", "min"),
        ("error_rate", "min"),
        ("accuracy", "max"),
        ("val_acc", "max"),
        ("test/F1", "max"),
        ("top5-accuracy", "max"),
        ("AUROC", "max"),
    ],
)
def test_the_name_says_the_direction(name, mode) -> None:
    assert mode_of(name) == EarlyStopping(name).mode == mode


@pytest.mark.parametrize("name", ["score", "metric", "dice_loss", "neg_mse", "negative_log_likelihood", "glossary", ""])
def test_a_name_that_does_not_say_it_is_refused_with_what_to_write(name) -> None:
    with pytest.raises(TrainError, match=r'mode="min".*mode="max"'):
        EarlyStopping(name)
    assert EarlyStopping(name, mode="max").mode == "max"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"patience": 0}, "at least 1"),
        ({"min_delta": -0.1}, "at least 0 in either mode"),
        ({"mode": "auto"}, '"min" or "max"'),
        ({"on_nonfinite": "ignore"}, '"stop" or "wait"'),
        ({"start_from": -1}, "at least 0"),
        ({"keep": {"x": 3}}, "no state_dict"),
        ({"path": "best.safetensors"}, "keep says what"),
    ],
)
def test_settings_that_cannot_work_are_refused(wrong, says) -> None:
    with pytest.raises(TrainError, match=says):
        EarlyStopping(**wrong)


class Trained:
    """A network with buffers, an optimizer with state and averaged weights, which an epoch changes all."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 1))
        self.model.register_parameter("tied", self.model[0].weight)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-2, amsgrad=True)
        self.averaged = AveragedModel(self.model, use_buffers=True)
        self.schedule = torch.optim.lr_scheduler.StepLR(self.optimizer, 2)
        self.keep = {"model": self.model, "optimizer": self.optimizer, "averaged": self.averaged}
        self.keep["schedule"] = self.schedule

    def train(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        x, y = torch.randn(16, 3, generator=generator), torch.randn(16, 1, generator=generator)
        fit(self.model, [(x, y)] * 3, loss=mse_loss, optimizer=self.optimizer)
        self.averaged.update_parameters(self.model)
        self.schedule.step()

    def state(self) -> dict:
        return copy.deepcopy({name: thing.state_dict() for name, thing in self.keep.items()})


def same(a, b) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b) and a.dtype == b.dtype
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


@pytest.mark.parametrize("on_disk", [False, True])
def test_restore_puts_model_buffers_optimizer_and_averages_back(on_disk, tmp_path) -> None:
    run = Trained()
    stopper = EarlyStopping(keep=run.keep, path=tmp_path / "best.safetensors" if on_disk else None)
    wanted, goes_on = None, None
    for seed, value in enumerate([3.0, 1.0, 2.0, 4.0]):
        run.train(seed)
        stopper.step(value)
        if value == 1.0:
            wanted = run.state()
    for _ in range(2):  # twice: training on after the first must not reach what is kept
        assert not same(run.state(), wanted)
        assert stopper.restore() == 1.0
        assert same(run.state(), wanted)
        assert run.model.tied is run.model[0].weight
        run.train(9)
        goes_on = goes_on or run.state()
    assert same(run.state(), goes_on)


def test_an_epoch_that_raises_does_not_count(tmp_path) -> None:
    run = Trained()
    stopper = EarlyStopping(criterion=PQ(1, strip=2), keep=run.keep, path=tmp_path / "a" / "best.safetensors")
    stopper.step(2.0, train=1.0)
    before = stopper.state_dict()
    with pytest.raises(TrainError, match="train=error"):
        stopper.step(1.0)
    assert stopper.state_dict() == before
    assert stopper.restore() == 2.0
    stopper.path = tmp_path / "a" / "best.safetensors" / "below a file"
    with pytest.raises(TrainError, match="could not write"):
        stopper.step(1.0, train=1.0)
    assert stopper.state_dict() == before
    assert stopper.reason is None


def test_restoring_nothing_says_what_to_write() -> None:
    with pytest.raises(TrainError, match="keep="):
        EarlyStopping().restore()
    with pytest.raises(TrainError, match="never finite"):
        EarlyStopping(keep={"model": nn.Linear(1, 1)}).restore()


def test_a_restore_that_does_not_fit_changes_nothing() -> None:
    run, other = Trained(), nn.Linear(2, 2)
    stopper = EarlyStopping(keep={"model": run.model, "other": other})
    stopper.step(1.0)
    run.train(0)
    before = run.state()
    stopper.keep["other"] = nn.Linear(3, 3)
    with pytest.raises(TrainError, match="'other' does not fit"):
        stopper.restore()
    assert same(run.state(), before)


@settings(max_examples=50)
@given(runs, st.integers(0, 30), st.integers(1, 5))
def test_stored_and_loaded_anywhere_it_decides_the_same(values, cut, patience) -> None:
    how = {"patience": patience, "smooth": moving_median(2), "on_nonfinite": "wait"}
    whole = decisions(EarlyStopping(**how), values)
    first, second = EarlyStopping(**how), EarlyStopping(**how)
    begin = decisions(first, values[:cut])
    second.load_state_dict(first.state_dict())
    assert second.reason == first.reason
    assert begin + decisions(second, values[cut:]) == whole


def test_new_settings_win_over_stored_ones() -> None:
    stored = EarlyStopping(patience=2, baseline=0.1)
    decisions(stored, [1.0, 1.1])
    assert stored.reason
    patient = EarlyStopping(patience=4, baseline=0.05)
    patient.load_state_dict(stored.state_dict())
    assert patient.reason is None
    assert (patient.patience, patient.wait) == (4, 2)
    assert decisions(patient, [1.2, 1.2])[-1] == "val_loss has not fallen below 0.05 for 4 epochs"
    short = EarlyStopping(patience=1)
    short.load_state_dict(stored.state_dict())
    assert short.reason
    with pytest.raises(TrainError, match="watches 'val_loss'"):
        EarlyStopping("accuracy").load_state_dict(stored.state_dict())
    with pytest.raises(TrainError, match="no state of an EarlyStopping"):
        EarlyStopping().load_state_dict({"wait": 1})


def test_what_is_kept_in_memory_is_part_of_the_state_and_can_move_to_the_disk(tmp_path) -> None:
    run = Trained()
    stopper = EarlyStopping(keep=run.keep)
    run.train(0)
    stopper.step(1.0)
    best = run.state()
    run.train(1)
    stopper.step(2.0)
    for path in (None, tmp_path / "best.safetensors"):
        later = Trained()
        resumed = EarlyStopping(keep=later.keep, path=path)
        resumed.load_state_dict(stopper.state_dict())
        resumed.restore()
        assert same(later.state(), best)


def test_a_resumed_run_does_not_overwrite_a_better_file_of_the_time_that_was_lost(tmp_path) -> None:
    model, path = nn.Linear(1, 1), tmp_path / "best.safetensors"

    def stopper() -> EarlyStopping:
        return EarlyStopping(keep={"model": model}, path=path)

    def at(weight: float) -> None:
        with torch.no_grad():
            model.weight.fill_(weight)

    first = stopper()
    at(0.0)
    first.step(1.0)
    stored = first.state_dict()
    at(1.0)
    first.step(0.3)  # killed after this was written
    resumed = stopper()
    resumed.load_state_dict(stored)
    at(2.0)
    resumed.step(0.4)
    assert resumed.restore() == 0.3
    assert model.weight.item() == 1.0
    at(3.0)
    resumed.step(0.2)
    assert resumed.restore() == 0.2
    fresh = stopper()  # a new run in the same place begins anew
    at(4.0)
    fresh.step(9.0)
    assert fresh.restore() == 9.0


def test_in_fit_it_ends_the_run_and_the_reason_is_told() -> None:
    model = nn.Linear(1, 1)
    x = torch.ones(4, 1)
    losses = iter([1.0, 0.5, 0.7, 0.6, 0.1])
    stopper = EarlyStopping(patience=2, keep={"model": model})
    weights = []
    run = fit(
        model,
        [(x, x)],
        loss=mse_loss,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.01),
        epochs=5,
        validate=lambda _: {"val_loss": next(losses)},
        on_epoch=[stopper, lambda _: weights.append(model.weight.item())],
    )
    assert len(run.epochs) == 4
    assert run.stopped == stopper.reason == "val_loss has not fallen below 0.5 (epoch 1) for 2 epochs"
    stopper.restore()
    assert model.weight.item() == weights[1]
    with pytest.raises(TrainError, match="no 'val_loss', only 'loss'"):
        fit(model, [(x, x)], loss=mse_loss, optimizer=torch.optim.SGD(model.parameters()), on_epoch=[stopper])
