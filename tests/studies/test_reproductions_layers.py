"""The reproductions about layers: their arms are as described, and their criteria judge made-up results rightly."""

import json
import pickle
import runpy
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import gainstage as gs
from gainstage.nn import AdaNorm, LayerNormSimple
from gainstage.study import ArmResult, Data, Outcome, Results, Serial, Split, Study, load
from gainstage.study._build import build
from gainstage.train import combine

STUDIES = Path(__file__).parents[2] / "studies"
sys.path.insert(0, str(STUDIES))

import _common  # noqa: E402
import adanorm  # noqa: E402
import batch_size  # noqa: E402
import lsuv  # noqa: E402
import regularizers  # noqa: E402

SCRIPTS = ("batch_size", "batch_size_mlp", "lsuv", "adanorm", "regularizers")
SEEDS = 5
TINY = (0.0, 0.001, -0.001, 0.002, -0.002)  # between seeds


def answers(claims: Sequence[_common.Claim]) -> list[str]:
    return [claim.reproduced for claim in claims]


def results_of(arms: Sequence[gs.Arm], means: Sequence[float], *, data: str = "digits") -> Results:
    """Results with these means; the arms differ between seeds in different ways."""
    made = []
    for i, (arm, mean) in enumerate(zip(arms, means, strict=True)):
        scores = [mean + TINY[(k + i) % SEEDS] for k in range(SEEDS)]
        outcomes = tuple(Outcome(None, (), score, score, 0.1, 1.0, "alone") for score in scores)
        made.append(ArmResult(arm, 0.01, (), False, outcomes))
    return Results(data, "accuracy", 0.1, 100, 0.01, tuple(range(SEEDS)), tuple(made), resolution=1 / 1000)


class TestBatchSize:
    @staticmethod
    def judged(bn: Sequence[float], gn: Sequence[float]) -> list[str]:
        found = [
            results_of(batch_size.arms(batch, None if batch == 32 else {"batch": 0.1, "group": 0.05}), pair)
            for batch, *pair in zip(batch_size.BATCHES, bn, gn, strict=True)
        ]
        return answers(batch_size.claims(batch_size.together(found)))

    def test_what_the_paper_saw_is_judged_as_reproduced(self) -> None:
        assert self.judged((0.764, 0.763, 0.752, 0.727, 0.653), (0.759, 0.758, 0.760, 0.758, 0.759)) == ["yes"] * 4

    def test_each_claim_can_fail(self) -> None:
        same = (0.9,) * 5
        assert self.judged(same, same) == ["no", "yes", "no", "yes"]
        assert self.judged((0.87, 0.9, 0.9, 0.9, 0.9), (0.9, 0.9, 0.9, 0.9, 0.85)) == ["no", "no", "no", "no"]

    def test_epochs_are_equal_and_rates_go_with_the_batch(self) -> None:
        assert [batch_size.steps(batch, 1079) * batch / (1079 * batch_size.EPOCHS) for batch in batch_size.BATCHES] == (
            pytest.approx([1.0] * 5, abs=2e-3)
        )
        assert {arm.lr for arm in batch_size.arms(32)} == {"tuned"}
        assert {arm.norm: arm.lr for arm in batch_size.arms(2, {"batch": 0.32, "group": 0.16})} == {
            "batch": pytest.approx(0.02),
            "group": pytest.approx(0.01),
        }

    def test_the_network_is_the_one_described(self) -> None:
        bn, gn = (build(arm, load("digits")) for arm in batch_size.arms(32))
        groups = {module.num_groups for module in gn.modules() if isinstance(module, nn.GroupNorm)}
        assert groups == {2}
        assert sum(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in bn.modules()) == 5
        assert sum(isinstance(module, nn.Conv2d) for module in bn.modules()) == 5


class TestLSUV:
    # norm, activation, init: batch relu orthogonal, batch relu lsuv, batch tanh ..., none relu ..., none tanh ...
    SAME = (0.95, 0.95, 0.94, 0.94, 0.90, 0.90, 0.92, 0.92)

    @pytest.mark.parametrize(
        ("place", "value", "expected"),
        [
            (1, 0.95, ["yes", "yes"]),
            (1, 0.90, ["partly", "yes"]),  # a difference with BatchNorm
            (1, 0.97, ["partly", "yes"]),
            (5, 0.60, ["yes", "partly"]),  # LSUV worse without
            (5, 0.95, ["yes", "yes"]),  # LSUV better without
            (4, 0.20, ["yes", "yes"]),
        ],
    )
    def test_judges(self, place: int, value: float, expected: list[str]) -> None:
        means = [value if i == place else mean for i, mean in enumerate(self.SAME)]
        results = replace(results_of(lsuv.arms(), means), margin=lsuv.MARGIN)
        assert answers(lsuv.claims(results)) == expected

    def test_too_few_seeds_show_nothing(self) -> None:
        made = results_of(lsuv.arms(), self.SAME)
        two = tuple(replace(each, outcomes=each.outcomes[:2]) for each in made.arms)
        spread = replace(made, arms=two, seeds=(0, 1), margin=lsuv.MARGIN)
        assert answers(lsuv.claims(spread))[0] == "no"

    def test_arms_pair_the_two_starts(self) -> None:
        arms = lsuv.arms()
        assert [arm.init for arm in arms] == [lsuv.PLAIN, "lsuv"] * 4
        assert all(replace(a, init="lsuv") == b for a, b in zip(arms[::2], arms[1::2], strict=True))


class TestAdaNorm:
    NAMES = (*adanorm.NORMS, "DetachNorm")
    PAPER: ClassVar = {
        "LayerNorm": 0.90,
        "LayerNorm-simple": 0.91,
        "AdaNorm": 0.93,
        "no norm": 0.85,
        "DetachNorm": 0.84,
    }

    def judged(self, *per_task: Mapping[str, float]) -> list[str]:
        tasks = zip(adanorm.TASKS, per_task, strict=True)
        return answers(
            adanorm.claims([results_of(adanorm.arms(t), [m[n] for n in self.NAMES], data=t) for t, m in tasks])
        )

    def test_what_the_paper_saw_is_judged_as_reproduced(self) -> None:
        assert self.judged(*[self.PAPER] * 4) == ["yes"] * 4

    def test_three_of_four_are_enough_and_two_are_not(self) -> None:
        worse = {**self.PAPER, "AdaNorm": 0.88}
        assert self.judged(self.PAPER, self.PAPER, self.PAPER, worse)[0] == "yes"
        assert self.judged(self.PAPER, self.PAPER, worse, worse)[0] == "no"

    def test_the_other_claims_can_fail(self) -> None:
        other = {"LayerNorm": 0.93, "LayerNorm-simple": 0.90, "AdaNorm": 0.90, "no norm": 0.5, "DetachNorm": 0.92}
        assert self.judged(*[other] * 4) == ["no"] * 4
        assert self.judged(other, *[self.PAPER] * 3)[1] == "partly"

    def test_detach_norm_computes_what_layer_norm_does_and_takes_its_statistics_for_constants(self) -> None:
        x = torch.randn(4, 5, 32, generator=torch.Generator().manual_seed(0)).mul(3).add(1).requires_grad_()
        norm = adanorm.DetachNorm()
        y = norm(x)
        torch.testing.assert_close(y, F.layer_norm(x, (32,)))
        weights = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
        (grad,) = torch.autograd.grad((weights * y).sum(), x)
        deviation = (x.detach().var(-1, correction=0, keepdim=True) + norm.eps).sqrt()
        torch.testing.assert_close(grad, weights / deviation)

    def test_arms_differ_in_their_normalization_only(self) -> None:
        arms = adanorm.arms("digits")
        assert [arm.name for arm in arms] == list(self.NAMES)
        models = [build(arm, load("digits")) for arm in arms]
        kinds = (nn.LayerNorm, LayerNormSimple, AdaNorm, adanorm.DetachNorm)
        counts = [[sum(type(m) is kind for m in model.modules()) for kind in kinds] for model in models]
        assert counts == [[5, 0, 0, 0], [0, 5, 0, 0], [0, 0, 5, 0], [0, 0, 0, 0], [0, 0, 0, 5]]
        sizes = [sum(p.numel() for p in model.parameters()) for model in models]
        assert sizes == [sizes[1] + 5 * 2 * 32, *sizes[1:2] * 4]


class TestRegularizers:
    ARMS = ("plain", *regularizers.ARMS, "early stopping", "ensemble of 2", "ensemble of 5", "ensemble of 10")
    FULL: ClassVar = {"logistic": 0.32, "MLP": 0.66, "CNN": 0.93}

    def judged(
        self,
        accuracy: Mapping[str, float],
        nll: Mapping[str, float] | None = None,
        ece: Mapping[str, float] | None = None,
        architectures: Mapping[str, float] = FULL,
    ) -> list[str]:
        def around(mean: float, i: int) -> list[float]:
            return [mean + TINY[(k + i) % SEEDS] for k in range(SEEDS)]

        rows = [
            regularizers.Row(
                name,
                None,
                around(accuracy.get(name, 0.6), i),
                around((nll or {}).get(name, 1.3), i),
                around((ece or {}).get(name, 0.2), i),
            )
            for i, name in enumerate(self.ARMS)
        ]
        return answers(regularizers.claims(rows, {n: around(m, i) for i, (n, m) in enumerate(architectures.items())}))

    def test_where_nothing_helps_no_claim_about_regularizers_holds(self) -> None:
        assert self.judged({}) == ["yes", "yes", *["no"] * 8, "partly", "no", "no"]  # early stopping costs nothing

    def test_where_all_claims_are_true_they_are_judged_so(self) -> None:
        accuracy = dict.fromkeys(self.ARMS[1:], 0.63) | {"cutmix": 0.65, "ensemble of 5": 0.66, "ensemble of 10": 0.67}
        lower = dict.fromkeys(self.ARMS[1:], 1.0) | {"ensemble of 10": 0.95}
        assert self.judged(accuracy, lower, dict.fromkeys(self.ARMS[1:], 0.05)) == ["yes"] * 13

    def test_most_with_five_members_takes_a_gain_of_ten(self) -> None:
        assert self.judged({"ensemble of 5": 0.62, "ensemble of 10": 0.66})[-1] == "no"  # a third of it
        assert self.judged({"ensemble of 5": 0.59, "ensemble of 10": 0.55})[-1] == "no"  # both lose
        assert self.judged({"ensemble of 5": 0.65, "ensemble of 10": 0.66})[-1] == "partly"  # accuracy, not likelihood

    def test_architectures_off_the_published_numbers(self) -> None:
        assert self.judged({}, architectures={"logistic": 0.32, "MLP": 0.60, "CNN": 0.93})[:2] == ["yes", "partly"]
        assert self.judged({}, architectures={"logistic": 0.5, "MLP": 0.6, "CNN": 0.7})[:2] == ["no", "no"]

    def test_a_worker_trains_the_members_it_is_asked_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(regularizers, "STEPS", 101)
        monkeypatch.setattr(regularizers, "ARMS", {"weight decay": regularizers.ARMS["weight decay"]})
        monkeypatch.setattr(regularizers, "SIZES", (2,))
        monkeypatch.setattr(regularizers, "TOGETHER", 3)
        threads = torch.get_num_threads()
        x = torch.randn(260, 40, generator=torch.Generator().manual_seed(0))
        y = torch.arange(260) % 10
        data = Data("noise", Split(x[:120], y[:120]), Split(x[120:200], y[120:200]), Split(x[200:], y[200:]), 10)
        try:
            rows, differ = regularizers.measure(data, Serial(), seeds=2)
            alone = regularizers.Regularizer((), regularizers.plain, regularizers.nothing)
            _, four = regularizers.answers(alone, 0.0, data, range(4))
        finally:
            torch.set_num_threads(threads)
        assert [row.arm for row in rows] == ["plain", "weight decay", "early stopping", "ensemble of 2"]
        hits = [float((own.argmax(1) == data.test.y).double().mean()) for own in four[:2]]
        assert rows[0].accuracy == pytest.approx(hits)
        of_two = combine(torch.stack([four[1], four[3]]))  # member s, then s + seeds
        assert rows[-1].accuracy[1] == pytest.approx(float((of_two.argmax(1) == data.test.y).double().mean()))
        assert 0 < differ < 1

    def test_networks_have_the_sizes_that_are_described(self) -> None:
        assert regularizers.convolutional()(torch.zeros(3, 40)).shape == (3, 10)
        assert regularizers.convolutional()[-1].in_features == 125
        assert [layer.out_features for layer in regularizers.plain().modules() if isinstance(layer, nn.Linear)] == [
            100,
            100,
            10,
        ]


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_tells_the_paper_and_the_options(
    script: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [f"{script}.py", "--help"])
    with pytest.raises(SystemExit, match="0"):
        runpy.run_path(str(STUDIES / f"{script}.py"), run_name="__main__")
    told = capsys.readouterr().out
    for word in ("--seeds", "--workers", "--store", "What is measured"):
        assert word in told


@pytest.mark.parametrize(("script", "module"), [("batch_size", batch_size), ("lsuv", lsuv), ("adanorm", adanorm)])
def test_a_run_writes_a_page_of_80_columns_and_its_numbers(
    script: str, module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pretend(study: Study, asked: object) -> Results:
        name = study.data if isinstance(study.data, str) else study.data.name
        return results_of(study.arms, [0.9 - 0.01 * i for i in range(len(study.arms))], data=name)

    monkeypatch.setattr(module, "run", pretend)
    monkeypatch.setattr(_common, "RESULTS", tmp_path)
    module.study(_common.arguments(module.__doc__, argv=[]))
    page = (tmp_path / f"{script}.txt").read_text()
    assert max(map(len, page.split("\n\n", 1)[1].splitlines())) <= _common.COLUMNS
    assert "reproduced?" in page
    claims = json.loads((tmp_path / f"{script}.json").read_text())["claims"]
    assert all(claim["reproduced"] in ("yes", "partly", "no") and claim["parts"] for claim in claims)


@pytest.mark.parametrize("room", ["plan", "check", "record"])
def test_a_function_that_uses_a_room_can_be_sent_to_a_worker(room: str) -> None:
    """Also one that is called like a function: cloudpickle sends modules by name."""
    sent: Callable[..., Any] = getattr(gs, room)
    assert pickle.loads(pickle.dumps(sent)) is sent
