"""Experiments answer without a name: the loss alone, what stands behind the last weights, positions, terms, steps."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import gainstage as gs
from gainstage.check import Evidence
from gainstage.check.experiments.addends import addends
from gainstage.check.experiments.cut_positions import reaching
from gainstage.check.experiments.free_output import FreeOutput
from gainstage.check.experiments.leaves import leaves, place
from gainstage.check.experiments.own_step import own_step
from gainstage.check.facts.oracle import floor, free
from gainstage.check.facts.positions import judged, sights

N, C = 32, 4
X, Y = torch.randn(N, 8, generator=torch.Generator().manual_seed(0)), torch.arange(N) % C


def net(*end: nn.Module, outputs: int = C) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, outputs), *end)


def evidence(model: nn.Module, target: Any, loss: Any, x: Tensor = X) -> Evidence:
    return Evidence(model, x, target=target, loss=loss)


def asked(target: Any, loss: Any, *end: nn.Module, outputs: int = C) -> FreeOutput:
    return free(evidence(net(*end, outputs=outputs), target, loss))[0]


# --- the loss alone ------------------------------------------------------------------------------------------------


def test_a_squared_error_has_its_gradient_of_each_row_from_its_own_target() -> None:
    y = torch.randn(N, C)
    part = asked(y, F.mse_loss)
    assert torch.allclose(part.gradients[0], 2 * (part.values - y) / y.numel())
    assert part.perfect == 0
    assert (part.linear, part.alike, part.curved, part.heeds_target) == (False, False, True, True)
    assert not part.silent.any()


def test_a_broadcast_error_treats_all_samples_alike_and_a_distance_of_sets_does_not() -> None:
    y = torch.randn(N)
    assert asked(y, lambda out, y: (out - y).square().mean(), outputs=1).alike
    assert not asked(y, lambda out, y: (out[:, 0] - y).square().mean(), outputs=1).alike
    assert not asked(y, lambda out, y: (out.mean() - y.mean()).square(), outputs=1).alike


def test_rows_that_the_loss_leaves_out_are_silent() -> None:
    assert torch.equal(asked(Y, nn.CrossEntropyLoss(ignore_index=2)).silent, Y == 2)
    two = (Y % 2).float()
    hinge = asked(two, lambda out, y: (1 - y * out[:, 0]).clamp(min=0).mean(), outputs=1)
    assert torch.equal(hinge.silent, two == 0)


def test_a_cross_entropy_is_linear_in_its_target_and_curved_in_what_it_is_given() -> None:
    y = F.one_hot(Y, C).float()
    assert not asked(y, lambda p, y: -(y * (p + 1e-6).log()).mean(), nn.Sigmoid()).linear
    swapped = asked(y, lambda p, y: -(p * (y + 1e-6).log()).mean(), nn.Sigmoid())
    assert swapped.linear
    assert swapped.curved


@pytest.mark.parametrize(("sign", "falls"), [(-1.0, 0.4375), (1.0, 0.0)])
def test_a_parabola_upside_down_falls_faster_and_faster(sign: float, falls: float) -> None:
    part = asked(torch.zeros(N, C), lambda out, y: sign * (out - y).square().mean())
    assert part.still_falling == pytest.approx(falls, abs=0.05)


# --- how low the loss can get --------------------------------------------------------------------------------------


def test_the_floor_of_a_second_softmax_is_the_closed_form() -> None:
    found = floor(evidence(net(nn.Softmax(1)), Y, F.cross_entropy))
    assert found is not None
    assert found.reached == pytest.approx(math.log(math.e + C - 1) - 1, abs=0.01)
    assert found.free == pytest.approx(0, abs=0.01)
    assert found.constant == pytest.approx(math.log(C), abs=0.01)


def test_the_floor_behind_a_bound_is_what_the_targets_miss() -> None:
    y = torch.linspace(-1, 1, N)[:, None]
    found = floor(evidence(net(nn.Sigmoid(), outputs=1), y, F.mse_loss))
    assert found is not None
    assert found.reached == pytest.approx(float(y.clamp(max=0).square().mean()), abs=0.01)
    assert found.constant == pytest.approx(float(y.square().mean()), abs=0.01)


def test_nothing_is_searched_where_nothing_limits_the_outputs() -> None:
    assert floor(evidence(net(), Y, F.cross_entropy)) is None


def test_a_dead_start_is_no_floor() -> None:
    found = floor(evidence(net(nn.ReLU(), outputs=1), torch.rand(N, 1), F.mse_loss))
    assert found is not None
    assert found.reached == pytest.approx(0, abs=0.01)


# --- positions -----------------------------------------------------------------------------------------------------


class Words(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.token, self.mix = nn.Embedding(20, 16), nn.Conv1d(16, 16, before + after + 1)
        self.head, self.pad = nn.Linear(16, 20), (before, after)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.mix(F.pad(self.token(ids).mT, self.pad)).relu().mT)


IDS = torch.randint(0, 20, (N, 12), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("lag", [0, 1, 2, 3])
def test_the_lag_of_the_labels_is_found_from_the_gradient_of_the_loss(lag: int) -> None:
    def loss(out: Tensor, ids: Tensor) -> Tensor:
        out, ids = out[:, : out.shape[1] - lag], ids[:, lag:]
        return -out.log_softmax(-1).gather(-1, ids[..., None]).mean()

    (found,) = judged(evidence(Words(2, 0), IDS, loss, IDS))
    assert found.lag == lag


@pytest.mark.parametrize(("after", "sees"), [(0, False), (1, True)])
def test_a_position_sees_as_far_as_its_kernel(after: int, sees: bool) -> None:
    def loss(out: Tensor, ids: Tensor) -> Tensor:
        return F.cross_entropy(out[:, :-1].flatten(0, 1), ids[:, 1:].flatten())

    sight = sights(evidence(Words(2, after), IDS, loss, IDS))[0]
    assert (sight.label > 0) == (sight.later > 0) == sees


# --- terms, leaves, states -----------------------------------------------------------------------------------------


def test_addends_are_told_apart_by_half_of_the_batch_and_by_a_moved_output() -> None:
    model = net()

    def loss(out: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(out, y) + out.square().sum() + out.detach().abs().mean()

    found = addends(model, X, Y, loss, model(X).detach(), list(model.parameters()), batch=N, seed=0)
    assert [term.half for term in found] == pytest.approx([1.0, 0.5, 1.0], abs=0.15)
    assert [term.reaches for term in found] == [True, True, False]
    assert all(term.moved > 0 for term in found)
    alone = addends(model, X, Y, F.cross_entropy, model(X).detach(), list(model.parameters()), batch=N, seed=0)
    assert alone == []


def test_leaves_are_what_outlasts_a_pass_and_is_no_parameter() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head, self.hidden = nn.Linear(8, 4), [{"first": nn.Linear(8, 8, bias=False)}]

        def forward(self, x: Tensor) -> Tensor:
            points = torch.zeros(8, requires_grad=True)  # made in every pass anew
            return self.head(self.hidden[0]["first"](x + points))

    model = Model()
    (found,) = leaves(model, X, None)
    assert found is model.hidden[0]["first"].weight
    assert place(model, found) == "hidden[0]['first'].weight"
    assert leaves(net(), X, None) == []


@pytest.mark.parametrize("cut", [True, False])
def test_a_detached_state_carries_numbers_and_no_gradient(cut: bool) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.cell = nn.GRUCell(2, 8)

        def forward(self, x: Tensor) -> Tensor:
            h = x.new_zeros(len(x), 8)
            for step in x.unbind(1):
                h = self.cell(step, h.detach() if cut else h)
            return h

    found = reaching(Model(), torch.randn(N, 5, 2))
    assert found is not None
    moved, pulls = found
    assert moved[0] > 0.1
    assert torch.equal(pulls > 0, torch.tensor([not cut] * 4 + [True]))


# --- real steps ----------------------------------------------------------------------------------------------------


def steps(make: Any, **how: Any) -> Any:
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), 0.1, 0.9)
    before = [p.clone() for p in model.parameters()]
    step = own_step(model, make(model, optimizer), optimizer, 0, **how)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert [group["lr"] for group in optimizer.param_groups] == [0.1]
    assert torch.nn.utils.clip_grad_norm_.__module__ == "torch.nn.utils.clip_grad"
    return step


def plain(model: nn.Module, optimizer: torch.optim.Optimizer, clip: str = "") -> Any:
    def train_step() -> Tensor:
        optimizer.zero_grad()
        if clip == "before":
            nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
        value = F.cross_entropy(model(X), Y)
        value.backward()
        if clip == "between":
            nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
        optimizer.step()
        if clip == "after":
            nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
        return value

    return train_step


def test_a_gradient_that_is_only_looked_at_is_not_kept() -> None:
    def looking(model: nn.Module, optimizer: torch.optim.Optimizer, zero: bool) -> Any:
        def train_step() -> Tensor:
            torch.autograd.grad(F.cross_entropy(model(X), Y), list(model.parameters()))  # as to look uphill
            if zero:
                optimizer.zero_grad()
            value = F.cross_entropy(model(X), Y)
            value.backward()
            optimizer.step()
            return value

        return train_step

    held = [steps(lambda m, o, z=z: looking(m, o, z), calls=3).calls[1].held for z in (True, False)]
    assert not held[0]
    assert held[1]


@pytest.mark.parametrize(
    ("clip", "heard"), [("before", "before backward"), ("between", ""), ("after", "after the step")]
)
def test_the_moment_of_clipping_is_heard(clip: str, heard: str) -> None:
    step = steps(lambda model, optimizer: plain(model, optimizer, clip), calls=3)
    assert [call.clips for call in step.calls] == [[heard]] * 3
    assert {call.limit for call in step.calls} == {1e-3}
    assert (step.calls[0].used < 1.1e-3) == (clip == "between")


def test_a_factor_on_the_rate_holds_at_each_step_and_no_longer() -> None:
    slow, quick = (steps(plain, calls=4, factor=factor).losses for factor in (0.1, 1.0))
    assert slow[0] == quick[0]
    assert slow[0] - slow[1] == pytest.approx((quick[0] - quick[1]) / 10, rel=0.2)


def test_batches_optimizers_and_the_end_of_the_data_are_noted() -> None:
    def make(model: nn.Module, _: torch.optim.Optimizer) -> Any:
        rows = iter([0, 0, 8, 16, 24])

        def train_step() -> Tensor:
            at = next(rows)
            optimizer = torch.optim.SGD(model.parameters(), 0.1, 0.9)
            optimizer.zero_grad()
            value = F.cross_entropy(model(X[at : at + 8]), Y[at : at + 8])
            value.backward()
            optimizer.step()
            return value

        return train_step

    step = steps(make)
    assert step.error == ""
    assert len(step.calls) == 5
    assert len({call.batch for call in step.calls}) == 4
    assert step.renewed == 4


def test_only_real_faults_are_reported_of_a_healthy_loop() -> None:
    model = net()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    report = gs.check(
        model, X, target=Y, loss=F.cross_entropy, optimizer=optimizer, train_step=plain(model, optimizer), steps=4
    )
    assert report.ok, str(report)
