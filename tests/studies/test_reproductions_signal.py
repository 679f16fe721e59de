"""The reproductions about signal propagation: their networks, their theory, and that they judge constructed results."""

import json
import runpy
import sys
from collections.abc import Callable
from math import exp, inf, isclose, log10, sqrt
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

STUDIES = Path(__file__).parents[2] / "studies"
sys.path.insert(0, str(STUDIES))

import _common  # noqa: E402
import learning_rate  # noqa: E402
import orthogonal  # noqa: E402
import residual_depth  # noqa: E402
import trainable_depth  # noqa: E402
from gainstage.plan import plan  # noqa: E402
from gainstage.study import Arm, ArmResult, Data, Look, Outcome, Results, Study, load  # noqa: E402
from gainstage.study._build import build  # noqa: E402
from gainstage.theory import MeanField, critical_line  # noqa: E402

ALL = orthogonal.keys()
SCRIPTS = ("trainable_depth", "learning_rate", "orthogonal", "residual_depth")
JITTER = (0.01, -0.01, 0.0)  # of three seeds


@pytest.fixture(scope="module")
def digits() -> Data:
    return load("digits")


def answers(claims: list[_common.Claim]) -> list[str]:
    return [claim.reproduced for claim in claims]


def outcome(test: float, losses: dict[int, float] | None = None, score: float = 0.9) -> Outcome:
    curve = tuple(Look(step, loss, loss, score) for step, loss in (losses or {100: 0.1}).items())
    return Outcome(None, curve, test, test, 0.1, 1.0, "alone")


def found(study: Study, outcome_of: Callable[[Arm, int], Outcome]) -> Results:
    """What a study would find if this became of its runs."""
    arms = tuple(
        ArmResult(arm, 0.01 if arm.lr == "tuned" else float(arm.lr), (), False,
                  tuple(outcome_of(arm, seed) for seed in study.seed_list))
        for arm in study.arms
    )  # fmt: skip
    return Results("digits", "accuracy", 0.1, study.steps, study.margin, study.seed_list, arms, 1 / 360)


class TestTrainableDepth:
    def test_weights_and_biases_have_the_variances_that_are_asked_for(self) -> None:
        torch.manual_seed(0)
        layers = [layer for layer in trainable_depth.tanh_net(80, 1.76) if isinstance(layer, nn.Linear)]
        weights = torch.cat([layer.weight.flatten() * sqrt(layer.in_features) for layer in layers])
        biases = torch.cat([layer.bias for layer in layers])
        # the relative deviation of a variance of n normal values is sqrt(2 / n): 6 of them are passed at a rate of 2e-9
        for values, variance in ((weights, 1.76), (biases, 0.05)):
            assert abs(float(values.detach().pow(2).mean()) / variance - 1) < 6 * sqrt(2 / len(values))

    def test_it_is_as_deep_as_asked(self, digits: Data) -> None:
        net = trainable_depth.tanh_net(7, 1.0)
        assert sum(isinstance(layer, nn.Tanh) for layer in net) == 7
        assert net(digits.test.x[:3]).shape == (3, 10)

    def test_the_critical_variance_is_that_of_the_paper(self) -> None:
        assert critical_line("tanh", trainable_depth.BIAS).weight_variance == pytest.approx(1.76, abs=0.005)
        assert trainable_depth.bound(trainable_depth.CRITICAL) > 10_000

    def test_the_bound_rises_up_to_the_critical_variance_and_falls_from_there(self) -> None:
        bounds = [trainable_depth.bound(v) for v in trainable_depth.VARIANCES]
        top = trainable_depth.VARIANCES.index(trainable_depth.CRITICAL)
        assert bounds[: top + 1] == sorted(bounds[: top + 1])
        assert bounds[top:] == sorted(bounds[top:], reverse=True)

    @pytest.mark.parametrize("variance", [1.0, 1.25, 3.0, 4.0])
    def test_distance_to_the_fixed_point_falls_by_e_in_a_sixth_of_the_bound(self, variance: float) -> None:
        field = MeanField("tanh", variance, trainable_depth.BIAS)
        q, fixed = field.fixed_point(), field.correlation_fixed_point()
        near = fixed - 1e-3
        shrinks = (fixed - field.correlation(near, q)) / (fixed - near)
        assert shrinks == pytest.approx(exp(-6 / trainable_depth.bound(variance)), rel=0.01)

    @pytest.mark.parametrize(
        ("accuracies", "depth"),
        [([0.9] * 4, 80), ([0.1] * 4, 10), ([0.9, 0.9, 0.1, 0.1], sqrt(20 * 40)), ([0.9, 0.5, 0.1, 0.1], 20)],
    )
    def test_trainable_depth_is_where_half_is_crossed(self, accuracies: list[float], depth: float) -> None:
        assert trainable_depth.trainable_depth(accuracies) == pytest.approx(depth)

    def test_results_as_the_theory_says_reproduce_all_claims(self) -> None:
        claims = trainable_depth.judge(self.results(lambda v, d: 0.9 if d < trainable_depth.bound(v) else 0.1))
        assert answers(claims) == ["yes"] * 4

    def test_networks_that_train_everywhere_refute_the_bound(self) -> None:
        claims = trainable_depth.judge(self.results(lambda v, d: 0.9))
        assert answers(claims) == ["no", "no", "yes", "no"]

    def test_networks_that_train_nowhere_refute_the_rest(self) -> None:
        claims = trainable_depth.judge(self.results(lambda v, d: 0.1))
        assert answers(claims) == ["no", "yes", "no", "no"]

    def test_an_arm_on_the_wrong_side_is_named(self) -> None:
        def accuracy(v: float, d: int) -> float:
            return 0.9 if d < trainable_depth.bound(v) and (v, d) != (1.76, 40) else 0.1

        (part,) = trainable_depth.judge(self.results(accuracy))[2].parts
        assert "not 1.76 at 40" in part.measured

    @staticmethod
    def results(accuracy: Callable[[float, int], float]) -> dict[tuple[float, int], tuple[float, ...]]:
        return {
            (v, d): tuple(accuracy(v, d) + e for e in JITTER)
            for v in trainable_depth.VARIANCES
            for d in trainable_depth.DEPTHS
        }


class TestLearningRate:
    def test_noise_has_the_moments_of_the_paper_and_new_ones_each_step(self) -> None:
        torch.manual_seed(0)
        noise = learning_rate.ChangingNoise()
        ones, zeros = torch.ones(4000, 200), torch.zeros(4000, 200)
        shift, other = noise(zeros), noise(zeros)
        means = shift.mean(0)
        # 0.1 / sqrt(3 * 4000) is the deviation of a unit's mean: 0.01 is 11 of them
        assert means.abs().max() < 0.51
        assert means.std() == pytest.approx(0.5 / sqrt(3), rel=0.3)  # of 200 uniform values: 4.5 % deviation
        assert (means - other.mean(0)).abs().mean() > 0.2
        assert (shift - means).abs().max() < 0.11
        scale = (noise(ones) - noise(zeros)).mean()  # the mean of 1 to 1.25, and of 200 differences of means
        assert float(scale) == pytest.approx(1.125, abs=6 * 0.5 * sqrt(2 / 3 / 200))

    def test_noise_is_for_training_only(self) -> None:
        x = torch.randn(5, 3)
        assert torch.equal(learning_rate.ChangingNoise().eval()(x), x)

    @pytest.mark.parametrize(
        ("norm", "norms", "noises"), [("none", 0, 0), ("batch", 12, 0), ("batch with noise", 12, 12)]
    )
    def test_networks_differ_in_what_follows_the_weights_only(self, norm: str, norms: int, noises: int) -> None:
        torch.manual_seed(0)
        net = learning_rate.mlp(norm)
        count = [sum(isinstance(m, kind) for m in net) for kind in (nn.BatchNorm1d, learning_rate.ChangingNoise)]
        assert count == [norms, noises]
        weights = torch.cat(
            [m.weight.detach().flatten() for m in net if isinstance(m, nn.Linear) and m.out_features == 64]
        )
        assert float(weights.var() * 64) == pytest.approx(2.0, abs=2 * 6 * sqrt(2 / len(weights)))  # 6 deviations

    def test_largest_usable_rate(self) -> None:
        assert learning_rate.largest_usable({0.01: 0.95, 0.1: 0.90, 1.0: 0.3}) == 0.1
        assert learning_rate.largest_usable({0.01: 0.5, 0.1: 0.6}) == pytest.approx(0.01 / sqrt(10))

    def test_shift_is_least_with_batch_normalization_and_most_with_noise(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(learning_rate, "SHIFT_STEPS", 6)
        before = torch.get_rng_state()
        batch, noisy = (learning_rate.covariate_shift(norm, 0) for norm in learning_rate.NORMS[1:])
        assert batch < 0.01 < noisy
        assert torch.equal(torch.get_rng_state(), before)

    def test_judge(self) -> None:
        usable = {"none": [0.03, 0.03, 0.01], "batch": [0.3, 1.0, 0.3], "batch with noise": [0.3, 1.0, 0.3]}
        shift = {"none": [0.2, 0.21, 0.2], "batch": [0.0, 0.0, 0.0], "batch with noise": [0.3, 0.32, 0.3]}
        small = {"none": [0.95, 0.95, 0.95], "batch": [0.95, 0.96, 0.95]}
        assert answers(learning_rate.judge(usable, shift, small)) == ["yes"] * 3
        assert answers(learning_rate.judge(usable | {"batch": usable["none"]}, shift, small))[0] == "no"
        assert answers(learning_rate.judge(usable, shift | {"none": [0.5, 0.5, 0.5]}, small))[2] == "partly"
        assert answers(learning_rate.judge(usable, shift, small | {"batch": [0.99, 0.99, 0.99]}))[1] == "no"


class TestOrthogonal:
    def test_learning_time_lies_on_the_line_of_the_logarithm(self) -> None:
        assert orthogonal.steps_to(outcome(0.9, {10: 1.0, 20: 0.25})) == pytest.approx(15)

    @pytest.mark.parametrize(
        ("losses", "steps"),
        [({10: 2.0, 20: 1.0}, 300), ({10: 0.4, 20: 0.3}, 10), ({10: inf, 20: 0.4}, 20), ({10: inf, 20: inf}, 300)],
    )
    def test_learning_time_at_the_ends(self, losses: dict[int, float], steps: float) -> None:
        assert orthogonal.steps_to(outcome(0.9, losses)) == steps

    def test_the_fastest_rate(self) -> None:
        outcomes = [outcome(0.9, {100: 0.6, 200: 0.4})] * len(orthogonal.RATES)
        outcomes[3] = outcome(0.9, {100: 0.4, 200: 0.3})
        assert orthogonal.fastest(outcomes) == orthogonal.RATES[3]

    def test_an_orthogonal_start_is_an_isometry_at_any_depth_and_a_gaussian_one_is_not(self, digits: Data) -> None:
        spreads = {}
        for start in orthogonal.STARTS:
            arm = orthogonal.arm(("linear", start, 48), 0.1)
            model = build(arm, digits)
            plan(model, digits.train.x[:8], scheme=arm.init).apply(model, seed=0)
            product = torch.eye(orthogonal.WIDTH, dtype=torch.float64)
            for layer in list(model.layers)[1:]:
                product = layer.linear.weight.detach().double() @ product
            values = torch.linalg.svdvals(product)
            spreads[start] = float(values[0] / values[-1])
        assert spreads["orthogonal"] == pytest.approx(1, abs=1e-4)
        assert spreads["Gaussian"] > 1e4

    def test_judge(self) -> None:
        def times(orthogonal_grows: bool, gaussian_grows: bool) -> dict[orthogonal.Key, list[float]]:
            grows = {"orthogonal": orthogonal_grows, "Gaussian": gaussian_grows}
            return {key: [20.0 * (key[2] if grows[key[1]] else 1) * (1 + e) for e in JITTER] for key in ALL}

        assert answers(orthogonal.judge(times(False, True))) == ["yes"] * 6
        assert answers(orthogonal.judge(times(False, False))) == ["yes", "no", "no"] * 2
        assert answers(orthogonal.judge(times(True, True))) == ["no", "yes", "no"] * 2
        assert answers(orthogonal.judge(times(True, False))) == ["no"] * 6


class TestResidualDepth:
    def start(self, kind: str, blocks: int, width: int = 256) -> tuple[nn.Module, Tensor]:
        torch.manual_seed(0)
        return residual_depth.residual_net(kind, blocks, width), torch.randn(64, 64)

    @pytest.mark.parametrize(("kind", "low", "high"), [("plain", 1.7, 2.3), ("1/sqrt(L)", 1.06, 1.15)])
    def test_growth_of_the_stream_a_block(self, kind: str, low: float, high: float) -> None:
        model, x = self.start(kind, 10)  # He: 1 + 1, and 1 + 1 / 10
        stream = model[:2](x)
        after = model[:12](x)
        assert low < float(after.pow(2).mean() / stream.pow(2).mean()) ** 0.1 < high

    def test_rezero_starts_as_the_identity(self) -> None:
        model, x = self.start("ReZero", 10)
        assert torch.equal(model[:12](x), model[:2](x))

    def test_fixup_starts_at_zero_with_small_weights_inside(self) -> None:
        model, x = self.start("Fixup", 16)
        assert torch.equal(model(x), torch.zeros(64, 10))
        first, last = (layer for layer in model[2].branch if isinstance(layer, nn.Linear))
        expected = sqrt(2 / 256) / sqrt(16)  # of 65536 weights: relative deviation 0.3 %
        assert float(first.weight.detach().std()) == pytest.approx(expected, rel=0.02)
        assert not last.weight.any()
        assert sum(isinstance(layer, residual_depth.Plus) for layer in model[2].branch) == 4

    def test_every_kind_has_two_weights_a_block(self, digits: Data) -> None:
        for kind in residual_depth.KINDS:
            model = residual_depth.residual_net(kind, 3)
            assert sum(isinstance(m, nn.Linear) for m in model.modules()) == 2 + 2 * 3
            assert model(digits.test.x[:4]).shape == (4, 10)

    def test_judge(self) -> None:
        keys = [(kind, blocks) for kind in residual_depth.KINDS for blocks in residual_depth.BLOCKS]
        deep = residual_depth.BLOCKS[-1]

        def made(**worse: float) -> residual_depth.Values:
            return {k: tuple(0.95 - (worse.get(k[0], 0) if k[1] == deep else 0) + e / 10 for e in JITTER) for k in keys}

        area = made(plain=0.3, batch=0.1)
        assert answers(residual_depth.judge(made(plain=0.2), area)) == ["yes"] * 5
        assert answers(residual_depth.judge(made(Fixup=0.2), made())) == ["no", "no", "yes", "yes", "no"]
        assert answers(residual_depth.judge(made(ReZero=0.2, batch=0.2), area)) == ["partly", "yes", "yes", "no", "yes"]


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_tells_the_paper_and_the_options(
    script: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [f"{script}.py", "--help"])
    with pytest.raises(SystemExit, match="0"):
        runpy.run_path(str(STUDIES / f"{script}.py"), run_name="__main__")
    told = capsys.readouterr().out
    for word in ("--seeds", "--workers", "--store", "paper"):
        assert word in told


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_run_writes_its_page_its_numbers_and_its_figure(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def pretend(study: Study, asked: object) -> Results:
        losses = {100: 1.0, 200: 0.4}
        return found(study, lambda arm, seed: outcome(0.9 + seed / 100, losses))

    module = sys.modules[script]
    monkeypatch.setattr(module, "run", pretend)
    monkeypatch.setattr(_common, "RESULTS", tmp_path)
    monkeypatch.setattr(trainable_depth, "bound", lambda v: 20 / (1.01 - min(v, 2.9) / 3))  # the theory takes seconds
    monkeypatch.setattr(learning_rate, "covariate_shift", lambda norm, seed: len(norm) + seed / 10)
    monkeypatch.setattr(sys, "argv", [f"{script}.py", "--seeds", "2"])
    module.main()
    page = (tmp_path / f"{script}.txt").read_text()
    assert page.strip() in capsys.readouterr().out
    head = page.split("\n\n")[0]
    assert f"python studies/{script}.py" in head
    assert "torch" in head
    assert max(len(line) for line in page.splitlines() if line != _common.machine()) <= _common.COLUMNS
    told = json.loads((tmp_path / f"{script}.json").read_text())
    assert {claim["reproduced"] for claim in told["claims"]} <= {"yes", "partly", "no"}
    assert len(told["runs"]) % 2 == 0
    assert "</svg>" in (tmp_path / f"{script}.svg").read_text()


class TestCommon:
    @pytest.mark.parametrize(("held", "answer"), [((1, 1), "yes"), ((1, 0), "partly"), ((0, 0), "no")])
    def test_a_claim_is_reproduced_by_its_parts(self, held: tuple[int, ...], answer: str) -> None:
        assert _common.Claim("", tuple(_common.Part("", "", bool(h)) for h in held)).reproduced == answer

    def test_an_interval_decides_and_not_a_mean(self) -> None:
        clear, vague = [0.9, 0.91, 0.92], [0.99, 0.6, 0.8]
        zeros = [0.5, 0.5, 0.5]
        assert _common.larger("", clear, zeros, by=0.3).holds
        assert not _common.larger("", clear, zeros, by=0.4).holds  # 0.385 to 0.435
        assert not _common.larger("", vague, zeros, by=0.2).holds
        assert _common.alike("", clear, [0.9, 0.9, 0.9], within=0.04).holds
        assert not _common.alike("", clear, [0.9, 0.9, 0.9], within=0.03).holds  # -0.015 to 0.035
        assert _common.between("", clear, 0.88, 0.94).holds
        assert not _common.between("", clear, 0.90, 0.94).holds

    def test_verdicts_fit_80_columns_whatever_is_said(self) -> None:
        claim = _common.Claim("word " * 40, (_common.Part("criterion " * 20, "measured " * 9, True),))
        lines = _common.judged([claim]).splitlines()
        assert max(map(len, lines)) <= 80
        assert sum("criterion" in line for line in lines) > 1

    def test_a_table_aligns_numbers_to_the_right(self) -> None:
        table = _common.table(("norm", "score"), [("none", 0.5), ("batch", 12.25)])
        assert table == "norm    score\n-----  ------\nnone    0.500\nbatch  12.250"

    def test_one_arm_is_found_by_its_levels(self) -> None:
        study = Study(arms=[Arm(depth=d, lr=r) for d in (2, 3) for r in (0.1, 0.2)], seeds=2)
        results = found(study, lambda arm, seed: outcome(arm.depth + log10(float(arm.lr)) + seed))
        assert isclose(_common.scores(results, depth=3, lr=0.1)[1], 3 - 1 + 1)
        with pytest.raises(LookupError, match="2 arms fit"):
            _common.scores(results, depth=3)

    def test_one_seed_is_refused(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit, match="2"):
            _common.arguments("", argv=["--seeds", "1"])
        assert "2 or more" in capsys.readouterr().err
