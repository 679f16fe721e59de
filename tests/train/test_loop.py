import math

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss

from gainstage.train import Step, TrainError, accuracy, fit, minibatches, warmup


@pytest.fixture
def problem() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(64, 4, generator=generator)
    y = x @ torch.tensor([[1.0], [-2.0], [0.5], [3.0]])
    model = nn.Linear(4, 1)
    with torch.no_grad():
        model.weight.zero_()
        model.bias.zero_()
    return model, x, y


def sgd(model: nn.Module, lr: float = 0.1) -> torch.optim.SGD:
    return torch.optim.SGD(model.parameters(), lr=lr)


def test_it_learns_what_can_be_learned(problem) -> None:
    model, x, y = problem
    batches = minibatches(x, y, batch_size=32, steps=200)
    run = fit(model, batches, loss=mse_loss, optimizer=sgd(model), steps=200)
    assert run.steps == 200
    assert not run.diverged
    assert run.losses[-1] < 1e-6 < run.losses[0]


def test_a_step_is_the_optimizers_own(problem) -> None:
    model, x, y = problem
    fit(model, [(x, y)], loss=mse_loss, optimizer=sgd(model, lr=0.5))
    assert torch.allclose(model.weight, 0.5 * 2 * (y * x).mean(0, keepdim=True))  # from zero weights: lr * -grad


def test_a_loss_that_is_not_finite_stops_before_it_reaches_the_weights(problem) -> None:
    model, x, y = problem
    run = fit(model, [(x, y), (x, y * math.nan), (x, y)], loss=mse_loss, optimizer=sgd(model), steps=3)
    assert run.diverged
    assert len(run.losses) == 2
    assert run.steps == 1
    assert math.isnan(run.losses[-1])
    assert model.weight.isfinite().all()


def test_a_gradient_that_is_not_finite_stops_a_clipped_run(problem) -> None:
    model, x, y = problem
    run = fit(model, [(x, y)] * 2, loss=lambda out, t: (out - out).abs().sqrt().sum(), optimizer=sgd(model), clip=1.0)
    assert run.diverged
    assert model.weight.isfinite().all()


def test_clipping_limits_the_step(problem) -> None:
    model, x, y = problem
    told: list[Step] = []
    fit(model, [(x, 1e6 * y)], loss=mse_loss, optimizer=sgd(model, lr=1.0), clip=0.25, on_step=[told.append])
    moved = torch.cat([p.detach().flatten() for p in model.parameters()]).norm().item()
    assert moved == pytest.approx(0.25, rel=1e-4)
    assert told[0].grad_norm > 1e6


def test_a_schedule_scales_every_rate_and_puts_it_back(problem) -> None:
    model, x, y = problem
    optimizer = torch.optim.SGD([{"params": [model.weight], "lr": 0.1}, {"params": [model.bias], "lr": 0.01}])
    seen: list[list[float]] = []
    fit(
        model,
        [(x, y)] * 3,
        loss=mse_loss,
        optimizer=optimizer,
        schedule=warmup(2),
        on_step=[lambda _: seen.append([g["lr"] for g in optimizer.param_groups])],
    )
    assert seen == [[0.05, 0.005], [0.1, 0.01], [0.1, 0.01]]
    assert [g["lr"] for g in optimizer.param_groups] == [0.1, 0.01]


def test_warmup_rises_then_falls_to_zero_and_stays_there() -> None:
    factor = warmup(10, total=110)
    assert [factor(0), factor(9), factor(10)] == [0.1, 1.0, 1.0]
    assert factor(60) == pytest.approx(0.5)
    assert factor(110) == factor(500) == pytest.approx(0.0)
    with pytest.raises(TrainError, match="more than the 10 steps"):
        warmup(10, total=10)


def test_flags_are_as_before_also_when_the_loop_raises(problem) -> None:
    _, x, y = problem
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.Linear(4, 1)).eval()
    model[0].train()

    def stop(_: Step) -> None:
        assert all(m.training for m in model.modules())
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        fit(model, [(x, y)], loss=mse_loss, optimizer=sgd(model), on_step=[stop])
    assert [m.training for m in model.modules()] == [False, True, False, False]


def test_inputs_may_be_a_tuple_or_a_dict() -> None:
    class Add(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.zeros(()))

        def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return self.w * (a + 2 * b)

    model, one = Add(), torch.ones(3)
    batches = [((one, one), one), ({"b": one, "a": one}, one)]
    assert fit(model, batches, loss=mse_loss, optimizer=sgd(model)).steps == 2


def test_batches_that_end_early_are_not_passed_over(problem) -> None:
    model, x, y = problem
    with pytest.raises(TrainError, match="ended after 2 of 5 steps"):
        fit(model, [(x, y)] * 2, loss=mse_loss, optimizer=sgd(model), steps=5)


def test_no_batch_beyond_the_steps_is_taken(problem) -> None:
    model, x, y = problem
    batches = minibatches(x, y, batch_size=8, steps=10)
    fit(model, batches, loss=mse_loss, optimizer=sgd(model), steps=3)
    assert sum(1 for _ in batches) == 7


@pytest.mark.parametrize(
    ("loss", "says"),
    [(lambda out, y: (out - y).square(), r"\(64, 1\).*mean"), (lambda out, y: y.mean(), "no gradient")],
)
def test_a_loss_that_cannot_train_says_why(problem, loss, says: str) -> None:
    model, x, y = problem
    with pytest.raises(TrainError, match=says):
        fit(model, [(x, y)], loss=loss, optimizer=sgd(model))


def test_an_epoch_shows_every_sample_once_also_across_batches() -> None:
    x = torch.arange(10)
    seen = torch.cat([b for b, _ in minibatches(x, x, batch_size=4, steps=5, seed=3)])
    assert seen[:10].sort().values.tolist() == seen[10:].sort().values.tolist() == list(range(10))


def test_the_order_depends_on_the_seed_alone() -> None:
    x = torch.arange(50)

    def order(seed: int) -> list[int]:
        return torch.cat([b for b, _ in minibatches(x, x, batch_size=10, steps=5, seed=seed)]).tolist()

    first = order(1)
    torch.manual_seed(99)
    state = torch.get_rng_state()
    assert order(1) == first != order(2)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("y", "size", "says"), [(9, 4, "10 samples and y has 9"), (10, 11, "1 to 10"), (10, 0, "1 to 10")]
)
def test_sizes_that_do_not_fit_are_refused_at_once(y: int, size: int, says: str) -> None:
    with pytest.raises(TrainError, match=says):
        minibatches(torch.arange(10), torch.arange(y), batch_size=size, steps=1)


def test_accuracy_counts_right_answers_in_evaluation_mode() -> None:
    model = nn.Sequential(nn.Identity(), nn.Dropout(0.9)).train()
    scores = torch.tensor([[2.0, 1.0], [0.0, 1.0], [3.0, 1.0], [math.nan, math.nan]])
    assert accuracy(model, scores, torch.tensor([0, 1, 1, 0]), batch_size=3) == 0.5
    assert model[1].training


def test_accuracy_of_nothing_is_refused() -> None:
    with pytest.raises(TrainError, match="at least one"):
        accuracy(nn.Identity(), torch.empty(0, 2), torch.empty(0))


def test_two_runs_from_the_same_seed_are_equal_bit_for_bit() -> None:
    def run() -> tuple[float, ...]:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        x, y = torch.randn(40, 4), torch.randint(3, (40,))
        adam = torch.optim.Adam(model.parameters(), lr=1e-2)
        return fit(model, minibatches(x, y, batch_size=8, steps=20), loss=cross_entropy, optimizer=adam).losses

    assert run() == run()


def test_epochs_go_through_a_list_again_and_through_an_iterator_on(problem) -> None:
    model, x, y = problem
    parts = list(zip(x.split(16), y.split(16), strict=True))
    again = fit(model, parts, loss=mse_loss, optimizer=sgd(model, lr=0.0), epochs=3)
    assert again.losses == again.losses[:4] * 3
    assert [epoch.number for epoch in again.epochs] == [0, 1, 2]
    assert [epoch.loss for epoch in again.epochs] == pytest.approx([sum(again.losses[:4]) / 4] * 3)
    on = fit(model, iter(parts), loss=mse_loss, optimizer=sgd(model, lr=0.0), epochs=2, steps=2)
    assert on.losses == again.losses[:4]
    with pytest.raises(TrainError, match="ended before epoch 1"):
        fit(model, iter(parts), loss=mse_loss, optimizer=sgd(model), epochs=2)


def test_validation_runs_in_evaluation_mode_without_gradients_after_each_epoch(problem) -> None:
    model, x, y = problem
    seen: list[tuple[bool, bool, float]] = []

    def validate(net: nn.Module) -> dict[str, float]:
        seen.append((net.training, torch.is_grad_enabled(), net.weight.detach().norm().item()))
        return {"val_loss": mse_loss(net(x), y)}

    told = []
    run = fit(model, [(x, y)], loss=mse_loss, optimizer=sgd(model), epochs=2, validate=validate, on_epoch=[told.append])
    assert [s[:2] for s in seen] == [(False, False)] * 2
    assert seen[0][2] < seen[1][2] == model.weight.detach().norm().item()
    assert told == list(run.epochs)
    assert run.epochs[0].metrics["val_loss"] == pytest.approx(run.losses[1])
    assert run.epochs[0].metrics["loss"] == run.epochs[0].loss == run.losses[0]


def test_a_callback_that_returns_true_ends_the_run_after_all_were_told(problem) -> None:
    model, x, y = problem
    steps: list[Step] = []
    epochs: list[int] = []
    run = fit(
        model,
        [(x, y)] * 4,
        loss=mse_loss,
        optimizer=sgd(model),
        on_step=[lambda step: step.number == 2, steps.append],
    )
    assert (run.steps, len(steps)) == (3, 3)
    assert run.stopped == "a callback asked for it after step 2"
    assert run.epochs == ()
    run = fit(
        model,
        [(x, y)],
        loss=mse_loss,
        optimizer=sgd(model),
        epochs=5,
        on_epoch=[lambda epoch: epoch.number == 1, lambda epoch: epochs.append(epoch.number)],
    )
    assert run.stopped == "a callback asked for it after epoch 1"
    assert epochs == [0, 1]
    assert not run.diverged


def test_a_run_in_two_parts_is_the_run_in_one(problem) -> None:
    """The schedule goes on where it was, and what a callback stores at the end of an epoch are the rates as given."""
    _, x, y = problem
    parts = list(zip(x.split(16), y.split(16), strict=True))

    def run(*bounds: tuple[int, int]) -> tuple[list[float], list[float], list[int]]:
        torch.manual_seed(0)
        model = nn.Linear(4, 1)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
        losses, rates, numbers = [], [], []
        for start, epochs in bounds:
            fitted = fit(
                model,
                parts,
                loss=mse_loss,
                optimizer=optimizer,
                start=start,
                epochs=epochs,
                schedule=warmup(6, total=20),
                on_step=[lambda step: numbers.append(step.number)],
                on_epoch=[lambda _, o=optimizer: rates.append(o.param_groups[0]["lr"])],
            )
            losses += fitted.losses
        return losses, rates, numbers

    whole, cut = run((0, 4)), run((0, 1), (1, 4))
    assert whole == cut
    assert whole[1] == [0.1] * 4
    assert whole[2] == list(range(16))


def test_where_the_schedule_would_be_must_be_known() -> None:
    model = nn.Linear(1, 1)
    with pytest.raises(TrainError, match="give steps="):
        fit(model, iter(()), loss=mse_loss, optimizer=sgd(model), start=2, epochs=4, schedule=warmup(3))


def test_the_bar_counts_every_step_of_every_epoch(problem, monkeypatch) -> None:
    import io

    import rich.console

    shown = io.StringIO()
    real = rich.console.Console
    monkeypatch.setattr(rich.console, "Console", lambda **_: real(file=shown, force_terminal=True, width=100))
    model, x, y = problem
    fit(model, [(x, y)] * 3, loss=mse_loss, optimizer=sgd(model), epochs=2, progress="a [title]")
    assert "a [title]" in shown.getvalue()
    assert "6/6" in shown.getvalue()
