"""Which finding explains which is shown on the model: a repaired cause takes its symptoms away, or they stay."""

import inspect
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import gainstage as gs
from gainstage.check.evidence import Evidence
from gainstage.check.repairs import drawn, plain_loop, standard_inputs, standard_targets, without

torch.manual_seed(0)
X, LABELS = torch.randn(64, 32), torch.randint(0, 10, (64,))


def deep(layers: int, *end: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    hidden = [part for _ in range(layers - 1) for part in (nn.Linear(32, 32), nn.ReLU())]
    return nn.Sequential(*hidden, nn.Linear(32, 10), *end)


def loop(model: nn.Module, optimizer: torch.optim.Optimizer, zero: bool) -> Callable[[], Tensor]:
    def train_step() -> Tensor:
        if zero:
            optimizer.zero_grad()
        loss = F.cross_entropy(model(X), LABELS)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return train_step


def told(report: gs.Report) -> dict[str, tuple[str, ...]]:
    """By code, the codes of what a finding above a note explains."""
    return {f.code: tuple(s.split()[0] for s in f.symptoms) for f in report.findings if f.severity != "note"}


def test_a_softmax_at_the_end_does_not_explain_what_collapses_before_it() -> None:
    report = gs.check(deep(16, nn.Softmax(-1)), X, target=LABELS, loss=F.cross_entropy)
    assert told(report) == {"FWD201": ("BWD301", "FWD202"), "OUT503": ("OUT518",)}
    laws = {name for f in report.findings for name in f.fix.laws}
    assert len(laws) == 32  # both fixes stay: the softmax in words, and every parameter drawn anew


@pytest.mark.parametrize(("rate", "codes"), [(50.0, {"OPT807", "OPT804"}), (0.1, {"OPT807"})])
def test_a_rate_that_is_too_high_also_in_a_plain_loop_is_told_beside_it(rate: float, codes: set[str]) -> None:
    model = deep(3)
    optimizer = torch.optim.SGD(model.parameters(), rate)
    step = loop(model, optimizer, zero=False)
    report = gs.check(model, X, target=LABELS, loss=F.cross_entropy, optimizer=optimizer, train_step=step)
    assert set(told(report)) == codes


def test_what_the_repaired_model_cannot_show_goes_with_the_symptom_that_explains_it() -> None:
    target, x = (LABELS % 2).float(), X * torch.tensor([1e7] + [1.0] * 31)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1), nn.Flatten(0))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)

    def loss(output: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy(torch.sigmoid(output).clamp(1e-7, 1 - 1e-7), target)

    def train_step() -> Tensor:
        optimizer.zero_grad()
        value = loss(model(x), target)
        value.backward()
        optimizer.step()
        return value

    report = gs.check(model, x, target=target, loss=loss, optimizer=optimizer, train_step=train_step)
    assert set(told(report)) == {"DAT602"}
    (still,) = [s for s in report.findings[0].symptoms if s.startswith("OPT808")]
    assert still.endswith("the gradient that arrives is exactly zero")


def test_one_dead_unit_comes_before_what_collapses_behind_it() -> None:
    model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 1), nn.ReLU(), nn.Linear(1, 64), nn.ReLU())
    model.append(nn.Linear(64, 10))
    nn.init.constant_(model[2].bias, -30.0)
    report = gs.check(model, X, target=LABELS, loss=F.cross_entropy)
    assert report.findings[0].code == "FWD204"
    assert {"FWD201", "BWD303"} <= set(told(report)["FWD204"])


def test_of_two_zero_factors_only_the_first_is_drawn() -> None:
    class Adapted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.base, self.head = nn.Linear(32, 32).requires_grad_(False), nn.Linear(32, 10)
            self.a, self.b = nn.Parameter(torch.zeros(4, 32)), nn.Parameter(torch.zeros(32, 4))

        def forward(self, x: Tensor) -> Tensor:
            return self.head(torch.relu(self.base(x) + x @ self.a.T @ self.b.T))

    report = gs.check(Adapted(), X, target=LABELS, loss=F.cross_entropy)
    assert [set(f.fix.laws) for f in report.findings if f.severity != "note"] == [{"a"}]


def test_no_fix_names_a_factor_that_nobody_would_use() -> None:
    report = gs.check(deep(3, nn.Linear(10, 1)), X, target=1e18 * torch.randn(64, 1), loss=F.mse_loss)
    assert [f.code for f in report.findings if f.severity != "note"] == ["DAT603"]
    assert "e+1" not in report.findings[0].fix.text


def test_a_finding_names_the_line_that_calls_its_operation() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.rest = nn.Linear(32, 64), nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
            nn.init.constant_(self.rest[0].bias, -30.0)

        def forward(self, x: Tensor) -> Tensor:
            h = torch.relu(self.first(x))
            return self.rest(h)

    report = gs.check(Net(), X, target=LABELS, loss=F.cross_entropy)
    assert report.findings[0].code == "FWD204"
    lines, first = inspect.getsourcelines(Net.forward)
    assert report.findings[0].source == ("tests/check/test_fold.py", first + len(lines) - 1)
    assert report.to_json()["findings"][0]["source"]["line"] == first + len(lines) - 1


def test_each_repair_is_made_and_undone() -> None:
    model = deep(3, nn.Softmax(-1))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    step = loop(model, optimizer, zero=True)
    target = 7 + 3 * torch.randn(64, 10)
    given = {"target": target, "loss": F.mse_loss, "optimizer": optimizer, "train_step": step}
    evidence = Evidence(model, 100 * X, **given)
    before = [p.clone() for p in model.parameters()]
    with without(evidence, ["5/softmax#0"]) as bare:
        assert [s.op for s in bare.tape][-1] == "linear"
    with standard_inputs(evidence) as one:
        assert float(one.example.std()) == pytest.approx(1, abs=0.01)
    with standard_targets(evidence) as other:
        assert float(other.target.mean()) == pytest.approx(0, abs=0.01)
    with plain_loop(evidence) as plain:
        assert plain.train_step is None
    law = gs.init.constant(0.5)
    with drawn(evidence, {"0.weight": law}) as constant:
        assert bool((constant.model[0].weight == 0.5).all())
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))
    assert not model._forward_pre_hooks
