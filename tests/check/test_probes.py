"""Steps and training runs are undone: model, optimizer, schedule, scaler and what a loop holds, bit for bit."""

import copy
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import LBFGS, SGD, Adafactor, Adam, AdamW, Optimizer, RMSprop
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR, ReduceLROnPlateau, StepLR

import gainstage as gs
from gainstage.check._registry import NotMeasured
from gainstage.check.evidence import Evidence
from gainstage.check.experiments._quiet import Quiet
from gainstage.check.experiments.attention import sharpness
from gainstage.check.experiments.redraw import independent
from gainstage.check.experiments.training import rows_of
from gainstage.check.facts.steps import own, stepping

Step = Callable[[], Any]


def frozen(value: Any, seen: dict[int, Any] | None = None) -> Any:
    """Anything as values that can be compared: tensors by their bits, objects by their attributes."""
    seen = {} if seen is None else seen
    if isinstance(value, Tensor):
        grad = None if not value.is_leaf or value.grad is None else (id(value.grad), frozen(value.grad))
        data = value.detach().contiguous()
        bits = data.view(torch.uint8) if data.dim() else data.reshape(1).view(torch.uint8)
        return (
            id(value),
            str(value.dtype),
            tuple(value.shape),
            value.requires_grad,
            bytes(bits.flatten().tolist()),
            grad,
        )
    if id(value) in seen:
        return "again"
    if isinstance(value, Mapping):
        seen[id(value)] = value
        return {k if isinstance(k, str | int) else id(k): frozen(v, seen) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [frozen(v, seen) for v in value]
    if isinstance(value, torch.Generator):
        return value.get_state().tolist()
    if isinstance(value, nn.Module):
        seen[id(value)] = value
        flags = [(n, m.training, len(m._forward_hooks), len(m._forward_pre_hooks)) for n, m in value.named_modules()]
        return flags, frozen(dict(value.named_parameters()), seen), frozen(dict(value.named_buffers()), seen)
    if hasattr(value, "__dict__") and not callable(value):
        seen[id(value)] = value
        return {k: frozen(v, seen) for k, v in vars(value).items() if not k.startswith("_optimizer_")}
    return value if isinstance(value, int | float | str | None) else type(value).__name__


def world(*things: Any) -> Any:
    """Everything a check must leave alone."""
    chance = random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()
    return [frozen(thing) for thing in things], chance, torch.is_grad_enabled()


X, Y = torch.randn(32, 8, generator=torch.Generator().manual_seed(0)), torch.arange(32) % 4


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 4))


def plain(model: nn.Module, optimizer: Optimizer) -> Step:
    def train_step() -> Tensor:
        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(X), Y)
            loss.backward()
            return loss

        return optimizer.step(closure)  # type: ignore[return-value]

    return train_step


OPTIMIZERS: dict[str, Callable[[Iterator[nn.Parameter]], Optimizer]] = {
    "adam": lambda p: Adam(p, lr=1e-2),
    "amsgrad in tensors": lambda p: AdamW(p, lr=torch.tensor(1e-2), amsgrad=True, capturable=False, foreach=False),
    "momentum": lambda p: SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "lbfgs": lambda p: LBFGS(p, lr=0.5, history_size=5),
    "lbfgs with line search": lambda p: LBFGS(p, line_search_fn="strong_wolfe"),
    "rmsprop": lambda p: RMSprop(p, centered=True, momentum=0.5),
    "adafactor": lambda p: Adafactor(p),
}


@pytest.mark.parametrize("steps", [0, 3])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_probe_leaves_model_and_optimizer_bit_for_bit(name: str, steps: int) -> None:
    model = network()
    optimizer = OPTIMIZERS[name](model.parameters())
    train_step = plain(model, optimizer)
    for _ in range(steps):
        train_step()
    before = world(model, optimizer)
    report = gs.check(
        model, X, target=Y, loss=F.cross_entropy, optimizer=optimizer, train_step=train_step, train=steps > 0,
        select=("OPT", "TRN"),
    )  # fmt: skip
    assert {"OPT804", "OPT807", "OPT808"} <= set(report.judged), report.not_judged
    assert ("TRN901" in report.judged) == (steps > 0)
    assert world(model, optimizer) == before


@pytest.mark.parametrize("name", ["adam", "momentum", "lbfgs"])
def test_training_goes_on_as_if_nothing_had_been(name: str) -> None:
    def losses(checked: bool) -> list[float]:
        torch.manual_seed(1)
        model = network()
        optimizer = OPTIMIZERS[name](model.parameters())
        schedule = StepLR(optimizer, 2)
        step = plain(model, optimizer)
        found = []
        for number in range(6):
            if checked and number in (0, 3):
                gs.check(model, X, target=Y, loss=F.cross_entropy, optimizer=optimizer, train_step=step)
            found.append(float(step().detach()))
            schedule.step()
        return found

    assert losses(True) == losses(False)


class Trainer:
    """A loop with state in many places."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
        self.schedule = OneCycleLR(self.optimizer, 0.1, total_steps=100)
        self.cosine = CosineAnnealingLR(self.optimizer, 50)
        self.plateau = ReduceLROnPlateau(self.optimizer, patience=0)
        self.scaler = torch.amp.GradScaler("cpu", growth_interval=1)
        self.average = copy.deepcopy(model)
        self.generator = torch.Generator().manual_seed(3)
        self.history: list[float] = []
        self.best = {"loss": 1e9}
        self.calls = 0
        self.level = torch.zeros(3)

    def __call__(self) -> float:
        self.calls += 1
        self.model.train()
        self.optimizer.zero_grad(set_to_none=False)
        x = X + 0.1 * torch.randn(X.shape, generator=self.generator)
        with torch.autocast("cpu", torch.bfloat16):
            loss = F.cross_entropy(self.model(x), Y)
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        for scheduler in (self.schedule, self.cosine):
            scheduler.step()
        self.plateau.step(loss.item() + self.calls)
        with torch.no_grad():
            for mean, p in zip(self.average.parameters(), self.model.parameters(), strict=True):
                mean.lerp_(p, 0.5)
        self.history.append(loss.item())
        self.best["loss"] = min(self.best["loss"], loss.item())
        self.level += loss.item()
        random.random(), np.random.rand(), torch.rand(())
        return loss.item()


@pytest.mark.parametrize("bound", ["object", "method", "closure"])
def test_what_a_loop_holds_comes_back(bound: str) -> None:
    trainer = Trainer(network())
    trainer()
    train_step = {"object": trainer, "method": trainer.__call__, "closure": lambda: trainer()}[bound]
    before = world(trainer.model, trainer)
    step = own(Evidence(trainer.model, X, target=Y, loss=F.cross_entropy, train_step=train_step))
    assert [call.loss is not None for call in step.calls] == [True] * 16
    assert step.optimizers == (trainer.optimizer,)
    assert step.moved == {name for name, _ in trainer.model.named_parameters()}
    assert step.skipped
    assert world(trainer.model, trainer) == before


COUNT = 0
MODEL, BATCHES = network(), [0]
OPTIMIZER = Adam(MODEL.parameters())


def step_of_a_script() -> Tensor:
    global COUNT
    COUNT += 1
    BATCHES.append(COUNT)
    return plain(MODEL, OPTIMIZER)()


def test_globals_and_enclosed_variables_come_back() -> None:
    before = world(MODEL, OPTIMIZER)
    counted = 0

    def train_step() -> Tensor:
        nonlocal counted
        counted += 1
        return step_of_a_script()

    step = own(Evidence(MODEL, X, target=Y, loss=F.cross_entropy, train_step=train_step))
    assert step.moved
    assert (COUNT, BATCHES, counted) == (0, [0], 0)
    assert world(MODEL, OPTIMIZER) == before


@pytest.mark.parametrize("place", ["forward", "between", "after"])
def test_a_step_that_raises_is_undone_and_reported(place: str) -> None:
    model = network()
    optimizer = Adam(model.parameters(), lr=0.1)
    inner = plain(model, optimizer)
    inner()
    where = [place]

    def train_step() -> Tensor:
        if where[0] == "forward":
            model(X[:, :3])
        F.cross_entropy(model(X), Y).backward()
        if where[0] == "between":
            raise ValueError("the disk is full")
        inner()
        raise ValueError("the disk is full")

    before = world(model, optimizer)
    report = gs.check(model, X, target=Y, loss=F.cross_entropy, optimizer=optimizer, train_step=train_step)
    assert world(model, optimizer) == before
    assert report.findings[0].code == "OPT808"
    assert ("shapes" if place == "forward" else "the disk is full") in report.findings[0].measured


def test_an_optimizer_that_raises_is_undone_and_named() -> None:
    class Fails(SGD):
        def step(self, closure: Any = None) -> None:  # type: ignore[override]
            super().step(closure)
            raise RuntimeError("out of luck")

    model = network()
    optimizer = Fails(model.parameters(), lr=0.1)
    before = world(model, optimizer)
    report = gs.check(model, X, target=Y, loss=F.cross_entropy, optimizer=optimizer)
    assert world(model, optimizer) == before
    assert any("out of luck" in n.why for n in report.not_judged if n.code == "OPT804")


def test_replaced_data_and_kept_gradients_come_back() -> None:
    model = network()
    optimizer = SGD(model.parameters(), lr=0.1)
    F.cross_entropy(model(X), Y).backward()

    def train_step() -> None:
        for p in model.parameters():
            p.data = p.data + 1.0
            p.grad = None
            p.requires_grad_(False)
        model.eval()

    before = world(model, optimizer)
    own(Evidence(model, X, target=Y, loss=F.cross_entropy, optimizer=optimizer, train_step=train_step))
    assert world(model, optimizer) == before


# --- what they measure -------------------------------------------------------------------------------------------


def linear(optimizer: Callable[[Iterator[nn.Parameter]], Optimizer]) -> Evidence:
    torch.manual_seed(0)
    model = nn.Linear(8, 1, bias=False).double()
    x = X.double()
    given = {"target": x[:, :1], "loss": F.mse_loss}
    return Evidence(model, x, **given, optimizer=optimizer(model.parameters()))


@pytest.mark.parametrize("rate", [0.01, 0.3])
def test_the_step_of_plain_descent_in_closed_form(rate: float) -> None:
    evidence = linear(lambda p: SGD(p, lr=rate))
    step, g = stepping(evidence), evidence.gradients["weight"]
    w = evidence.model.get_parameter("weight").detach()
    move = step.moves["weight"]
    assert move.update == pytest.approx(rate * float(g.norm()), rel=1e-9)
    assert move.ratio == pytest.approx(rate * float(g.norm() / w.norm()), rel=1e-9)
    assert step.slope == pytest.approx(-rate * float(g.square().sum()), rel=1e-9)
    after = F.mse_loss(X.double() @ (w - rate * g).T, X.double()[:, :1])
    assert step.losses == (pytest.approx(float(after), rel=1e-9),)


def test_the_first_step_of_adam_moves_every_entry_by_the_rate() -> None:
    step = stepping(linear(lambda p: Adam(p, lr=1e-3)))
    assert step.moves["weight"].update == pytest.approx(1e-3 * 8**0.5, rel=1e-6)


def test_further_steps_are_those_of_a_loop() -> None:
    evidence = linear(lambda p: SGD(p, lr=0.1, momentum=0.9))
    found = stepping(evidence, further=4).losses
    optimizer, model, expected = evidence.optimizer, evidence.model, []
    assert optimizer is not None
    for _ in range(5):
        optimizer.zero_grad()
        F.mse_loss(model(evidence.example), evidence.target).backward()
        optimizer.step()
        expected.append(F.mse_loss(model(evidence.example), evidence.target).item())
    assert found == pytest.approx(expected, rel=1e-12)


def test_a_longer_step_and_rounding() -> None:
    assert stepping(linear(lambda p: SGD(p, lr=0.1)), factor=10).moves["weight"].update == pytest.approx(
        10 * stepping(linear(lambda p: SGD(p, lr=0.1))).moves["weight"].update, rel=1e-9
    )
    assert stepping(linear(lambda p: SGD(p, lr=1e-30))).moves["weight"].lost == 1.0


def test_clipping_in_the_loop_shortens_the_virtual_step() -> None:
    evidence = linear(lambda p: SGD(p, lr=0.1))
    whole = stepping(evidence).moves["weight"].update
    model, optimizer = evidence.model, evidence.optimizer
    assert optimizer is not None

    def train_step() -> Tensor:
        optimizer.zero_grad()
        loss = F.mse_loss(model(evidence.example), evidence.target)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 0.01)
        assert norm > 0.01
        optimizer.step()
        return loss

    given = {"target": evidence.target, "loss": F.mse_loss, "optimizer": optimizer, "train_step": train_step}
    clipped = Evidence(model, evidence.example, **given)
    assert stepping(clipped).moves["weight"].update == pytest.approx(0.1 * 0.01, rel=1e-4)
    assert whole > 0.1 * 0.01


def test_an_optimizer_of_another_model_is_named() -> None:
    evidence = Evidence(nn.Linear(8, 4), X, target=Y, loss=F.cross_entropy, optimizer=SGD(network().parameters(), 0.1))
    with pytest.raises(NotMeasured, match="no optimizer holds"):
        stepping(evidence)


@pytest.mark.parametrize("shape", [(32, 5), (4, 32, 5), (96,), (96, 2)])
def test_rows_of_chosen_samples(shape: tuple[int, ...]) -> None:
    whole = torch.arange(torch.Size(shape).numel()).reshape(shape)
    chosen = torch.tensor([3, 0])
    found = rows_of({"a": [whole], "b": "text"}, 32, chosen)
    axis = shape.index(32) if 32 in shape else 0
    split = whole.movedim(axis, 0).reshape(32, shape[axis] // 32, -1)[chosen]
    kept = whole.index_select(axis, torch.zeros(0, dtype=torch.long)).movedim(axis, 0)
    assert torch.equal(found["a"][0].movedim(axis, 0), split.reshape(-1, *kept.shape[1:]))
    assert found["b"] == "text"


@pytest.mark.parametrize("scale", [None, 2.0])
@pytest.mark.parametrize("groups", [1, 2])
def test_sharpness_is_that_of_the_written_out_softmax(groups: int, scale: float | None) -> None:
    class Attend(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q, self.k = nn.Linear(8, 4 * groups * 8), nn.Linear(8, 4 * 8)

        def split(self, x: Tensor) -> Tensor:
            return x.unflatten(-1, (-1, 8)).transpose(1, 2)

        def forward(self, x: Tensor) -> Tensor:
            q, k = self.split(self.q(x)), self.split(self.k(x))
            return F.scaled_dot_product_attention(q, k, k, scale=scale, enable_gqa=groups > 1)

    model, x = Attend(), torch.randn(3, 6, 8)
    q, k = model.split(model.q(x)), model.split(model.k(x)).repeat_interleave(groups, 1)
    weights = (q @ k.mT * (scale or 8**-0.5)).softmax(-1)
    assert sharpness(model, x) == [pytest.approx(weights.square().sum(-1).mean().item(), rel=1e-5)]


def test_independent_entries_are_told_from_structured_ones() -> None:
    normal = [torch.randn(32, 32) for _ in range(4)]
    assert independent(normal)
    assert independent([nn.Linear(5, 5).weight for _ in range(14)])
    assert not independent([nn.init.orthogonal_(torch.empty(32, 32)) for _ in range(4)])
    assert not independent([torch.cat([w, -w]) for w in normal])


@pytest.mark.parametrize(
    "model",
    [
        nn.TransformerEncoderLayer(8, 2, 16, dropout=0.5, batch_first=True),
        nn.LSTM(8, 8, 2, dropout=0.5, batch_first=True),
        nn.GRU(8, 8, 3, dropout=0.5, batch_first=True),
        nn.Sequential(nn.Linear(8, 64), nn.Dropout(0.5), nn.AlphaDropout(0.5)),
    ],
)
def test_no_dropout_is_left_on(model: nn.Module) -> None:
    x = torch.randn(4, 6, 8)
    with Quiet():
        first, second = (y[0] if isinstance(y, tuple) else y for y in (model(x), model(x)))
    assert torch.equal(first, second)
