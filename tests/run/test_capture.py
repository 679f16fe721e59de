"""What `capture` sees of loops that it does not know: plain ones, with closures, scalers, two optimizers, functions."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import gainstage as gs
from gainstage.run import capture

X, Y = torch.randn(16, 8, generator=torch.Generator().manual_seed(0)), torch.arange(16) % 3


def net() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))


def seen_of(train: Callable[[], object], **kwargs: object) -> capture:
    with capture(**kwargs) as seen:  # type: ignore[arg-type]
        train()
    return seen


def value(subject: gs.Subject) -> float:
    output = subject.model(*subject.example) if isinstance(subject.example, tuple) else subject.model(subject.example)
    assert subject.loss is not None
    return float(subject.loss(output, subject.target))


def test_a_plain_loop_stops_before_its_first_update_and_gives_model_batch_target_and_loss() -> None:
    model = net()
    before = [p.clone() for p in model.parameters()]
    steps = []

    def train() -> None:
        optimizer = torch.optim.Adam(model.parameters(), 1e-2)
        for step in range(5):
            steps.append(step)
            optimizer.zero_grad()
            F.cross_entropy(model(X), Y).backward()
            optimizer.step()

    seen = seen_of(train)
    (subject,) = seen.subjects
    assert subject.model is model
    assert subject.example.equal(X)
    assert subject.target.equal(Y)
    assert value(subject) == pytest.approx(F.cross_entropy(model(X), Y).item())
    assert steps == [0]
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert type(subject.optimizer).__name__ == "Adam"
    assert seen.pairs[0].lines["step"][0] == __file__


def test_k_steps_end_before_the_kth_update() -> None:
    model = net()

    def train() -> None:
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        while True:
            optimizer.zero_grad()
            F.cross_entropy(model(X), Y).backward()
            optimizer.step()

    assert seen_of(train, steps=3).counts.steps == 3


def test_a_scaler_accumulation_and_clipping_are_no_part_of_the_loss() -> None:
    model = net()

    def train() -> None:
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
        for _ in range(4):
            scaler.scale(F.cross_entropy(model(X), Y) / 4).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
        scaler.step(optimizer)

    (pair,) = seen_of(train).pairs
    assert pair.backwards == 4
    assert pair.loss == pytest.approx(F.cross_entropy(model(X), Y).item(), rel=1e-5)
    assert pair.used == pytest.approx(1e-3, rel=1e-3)
    assert pair.arrived > 0.01
    assert pair.subject is not None
    assert value(pair.subject) == pytest.approx(pair.loss, rel=1e-5)


def test_a_target_that_is_filled_anew_for_the_next_pass_is_seen_as_it_was() -> None:
    model, label = net(), torch.zeros(16, 3)

    def train() -> None:
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        F.mse_loss(model(X), label).backward()
        label.fill_(1.0)
        optimizer.step()

    (subject,) = seen_of(train).subjects
    assert subject.target.eq(0).all()


def test_two_optimizers_are_two_pairs_and_both_models_are_checked_as_they_started() -> None:
    torch.manual_seed(0)
    make, judge = nn.Linear(4, 8), nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    before = {id(p): p.clone() for p in (*make.parameters(), *judge.parameters())}

    def train() -> None:
        first, second = torch.optim.Adam(judge.parameters()), torch.optim.Adam(make.parameters())
        for _ in range(3):
            fake = make(torch.randn(16, 4))
            first.zero_grad()
            (F.softplus(-judge(X)).mean() + F.softplus(judge(fake.detach())).mean()).backward()
            first.step()
            second.zero_grad()
            F.softplus(-judge(fake)).mean().backward()
            second.step()

    seen = seen_of(train)
    assert [pair.calls for pair in seen.pairs] == [["Sequential", "Sequential"], ["Linear", "Sequential"]]
    assert all(torch.equal(before[id(p)], p) for p in (*make.parameters(), *judge.parameters()))
    judged, made = seen.subjects
    assert dict(judged.model.named_parameters()).keys() == dict(judge.named_parameters()).keys()
    assert [tuple(t.shape) for t in judged.example] == [(16, 8), (16, 8)]
    assert made.model is make
    for subject in seen.subjects:
        assert not [
            f for f in gs.check(subject.model, subject.example, loss=subject.loss).findings if f.severity == "error"
        ]


class Coder(nn.Module):
    """Called by its methods, never as a whole."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(8, 4), nn.Linear(4, 8)

    def objective(self, x: Tensor) -> Tensor:
        return ((self.decoder(torch.tanh(self.encoder(x) * 2)) - x) ** 2).mean()


def test_a_model_that_is_never_called_as_a_whole_is_found_and_keeps_its_names() -> None:
    torch.manual_seed(0)
    model = Coder()

    def train() -> None:
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        model.objective(X).backward()
        optimizer.step()

    (subject,) = seen_of(train).subjects
    assert type(subject.model).__name__ == "Coder"
    assert dict(subject.model.named_parameters()).keys() == dict(model.named_parameters()).keys()
    assert value(subject) == pytest.approx(model.objective(X).item())
    tape = gs.record(subject.model, subject.example, target=subject.target, loss=subject.loss)
    assert "tanh#0" in [site.name for site in tape]


def test_a_closure_is_run_to_its_backward_pass_and_lbfgs_is_stopped_there() -> None:
    model = net()

    def train() -> None:
        optimizer = torch.optim.LBFGS(model.parameters())

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(X), Y)
            loss.backward()
            return loss

        for _ in range(10):
            optimizer.step(closure)

    assert len(seen_of(train).subjects) == 1


def test_a_loop_that_catches_everything_is_told_and_ended() -> None:
    model, calls = net(), []

    def train() -> None:
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        while not calls:
            try:
                F.cross_entropy(model(X), Y).backward()
                optimizer.step()
            except:  # noqa: E722
                continue

    seen = seen_of(train, on_swallowed=lambda: calls.append(1))
    assert seen.swallowed == 3
    assert len(seen.subjects) == 1


def test_dropout_is_replayed_with_the_same_random_state_so_that_the_loss_is_confirmed() -> None:
    model = nn.Sequential(nn.Linear(8, 64), nn.Dropout(0.5), nn.Linear(64, 3))

    def train() -> None:
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        torch.randn(3)
        F.cross_entropy(model(X), Y).backward()
        optimizer.step()

    (pair,) = seen_of(train).pairs
    assert pair.notes == []
    assert pair.subject is not None
    assert pair.subject.target is not None


def test_a_loss_that_cannot_be_computed_again_is_said_and_dropped() -> None:
    model, calls = net(), []

    class Odd(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: Tensor) -> Tensor:
            calls.append(1)
            return x.sum() * len(calls)

        @staticmethod
        def backward(ctx: object, grad: Tensor) -> Tensor:  # type: ignore[override]
            return grad.expand(16, 3)

    def train() -> None:
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        with torch.no_grad():
            noise = torch.tensor(float(len(calls)))
        (Odd.apply(model(X)) + noise).backward()
        optimizer.step()

    (pair,) = seen_of(train).pairs
    assert pair.subject is None or pair.subject.loss is None


def test_what_was_seen_is_told_where_nothing_ever_steps() -> None:
    model = net()

    def train() -> None:
        for _ in range(3):
            F.cross_entropy(model(X), Y).backward()

    seen = seen_of(train)
    assert seen.subjects == ()
    assert seen.counts.told() == "3 forward passes of Sequential (3), 3 backward passes, 0 optimizer steps"


def test_hooks_wrappers_and_random_states_are_gone_afterwards() -> None:
    backward, scale = torch.autograd.backward, torch.amp.GradScaler.scale
    model = net()

    def train() -> None:
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        F.cross_entropy(model(X), Y).backward()
        optimizer.step()

    torch.manual_seed(5)
    state = torch.get_rng_state()
    seen_of(train)
    assert torch.equal(state, torch.get_rng_state())
    assert torch.autograd.backward is backward
    assert torch.amp.GradScaler.scale is scale
    assert not nn.modules.module._global_forward_hooks
    assert not nn.modules.module._global_forward_pre_hooks


def test_compiled_code_runs_eagerly_and_is_seen() -> None:
    model = net()
    compiled = torch.compile(model, backend="aot_eager")

    def train() -> None:
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        F.cross_entropy(compiled(X), Y).backward()
        optimizer.step()

    (subject,) = seen_of(train).subjects
    assert gs.check(subject.model, subject.example, target=subject.target, loss=subject.loss).ok


def test_a_question_of_ours_that_raises_leaves_the_loop_observed() -> None:
    model, asked = net(), []

    def wrong() -> None:
        asked.append(1)
        raise ValueError("ours")

    def train() -> None:
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for _ in range(3):
            F.cross_entropy(model(X), Y).backward()
            try:
                optimizer.step()
            except ValueError:
                optimizer.step()

    seen = seen_of(train, on_complete=wrong)
    assert asked == [1]
    assert (seen.counts.forwards, seen.counts.backwards, seen.counts.steps) == (3, 3, 4)
