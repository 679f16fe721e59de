"""The coordinate check: it passes what is right, and names what was forgotten."""

from collections.abc import Mapping
from dataclasses import replace
from math import log2

import pytest
import torch
from sized import FAMILIES
from torch import nn
from torch.optim import Optimizer

from gainstage.errors import GainstageError
from gainstage.transfer import Coordinates, Scaled, transfer
from gainstage.transfer._check import ready
from gainstage.transfer._judge import judge
from gainstage.transfer._rates import Curve, Interval, Rates
from gainstage.transfer._slopes import more_seeds, slope, t_quantile

WIDTHS = (64, 128, 256)


def check(family: str, seeds: int, rule: str = "mup") -> Coordinates:
    return transfer(FAMILIES[family], WIDTHS[0], WIDTHS[-1], rule=rule).check(widths=WIDTHS, seeds=seeds, most=seeds)


@pytest.mark.parametrize("family", ["mlp", "transformer"])
def test_standard_fails_and_mup_does_not(family: str) -> None:
    right, wrong = check(family, 2), check(family, 2, "standard")
    assert right.verdict != "fail"
    assert all(abs(row.slope.slope) < 0.15 for row in right.rows if row.quantity == "own")
    assert wrong.verdict == "fail"
    rates = {row.name for row in wrong.causes if row.broken == "its rate is not divided"}
    starts = {row.name for row in wrong.causes if row.broken == "its start is not divided"}
    assert rates == wrong_rates(wrong)
    assert starts == {"4.weight" if family == "mlp" else "head.weight"}


def wrong_rates(found: Coordinates) -> set[str]:
    """The parameters of which the fan-in grows."""
    return {row.name for row in found.rows if row.quantity == "own" and row.kind in ("hidden", "output")}


def forgetting(lr: Mapping[str, float], values: Mapping[str, float]):
    """`ready`, with the rates and the starts of some parameters multiplied, each by a power of the width's growth."""

    def prepare(model: nn.Module, scaled: Scaled, rate: float, seed: int) -> Optimizer:
        grown = next(1 / s.eps for s in scaled.scalings.values() if s.eps != 1) if scaled.target != scaled.base else 1.0
        each = {
            name: replace(s, lr=s.lr * grown ** next((e for end, e in lr.items() if name.endswith(end)), 0.0))
            for name, s in scaled.scalings.items()
        }
        optimizer = ready(model, replace(scaled, scalings=each), rate, seed)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                for end, exponent in values.items():
                    if name.endswith(end):
                        parameter.mul_(grown**exponent)
        return optimizer

    return prepare


@pytest.mark.parametrize(
    ("family", "optimizer", "lr", "values", "name", "broken"),
    [
        ("mlp", "adam", {"4.weight": 1}, {"4.weight": 0.5}, "4.weight", "its rate is not divided"),
        ("mlp", "adam", {}, {"4.weight": 0.5}, "4.weight", "its start is not divided"),
        ("transformer", "sgd", {"embed.weight": -1}, {}, "embed.weight", "its rate is too small"),
        ("transformer", "adam", {"embed.weight": -1}, {}, "embed.weight", "its rate is too small"),
        (
            "transformer", "adam", {"q.weight": 0.5, "q.bias": 0.5}, {"q.weight": 0.5, "q.bias": 0.5}, "logits",
            "the 1/d of attention is missing",
        ),
    ],
)  # fmt: skip
def test_what_is_forgotten_is_named(
    family: str, optimizer: str, lr: dict[str, float], values: dict[str, float], name: str, broken: str
) -> None:
    move = transfer(FAMILIES[family], 64, 256, optimizer=optimizer)
    found = move.check(widths=WIDTHS, seeds=2, most=2, prepare=forgetting(lr, values))
    assert found.verdict == "fail"
    assert [row for row in found.causes if row.name == name and row.broken.startswith(broken)]


def test_seeds_are_added_until_it_can_tell() -> None:
    move = transfer(FAMILIES["mlp"], 32, 256)
    few, more = (move.check(seeds=2, most=n, steps=1) for n in (2, 24))
    assert (few.verdict, few.seeds) == ("cannot tell", 2)
    assert more.verdict == "pass"
    assert 2 < more.seeds <= 24


def test_adding_seeds_holds_what_a_verdict_promises() -> None:
    """Of an exponent right on the margin, looked at as often as it takes, 6 in 100 pass; of one twice as far, none."""
    generator, x, log = torch.Generator().manual_seed(0), [1.0, 2.0, 4.0, 8.0], torch.tensor([1.0, 2, 4, 8]).log()

    def verdict(exponent: float) -> str:
        rows: list[list[float]] = []
        wanted = 3
        while len(rows) < wanted:
            noise = 0.1 * torch.randn(wanted - len(rows), 4, generator=generator)
            rows += (exponent * log + noise).exp().tolist()
            row = judge("width", ("own", "w", "linear"), ("w",), "hidden", x, rows, 0.0, 0.1)
            if row.verdict == "cannot tell":
                wanted = min(24, wanted + row.more)
        return row.verdict

    passes = {exponent: sum(verdict(exponent) == "pass" for _ in range(300)) for exponent in (0.0, 0.1, 0.2)}
    assert passes[0.0] >= 0.98 * 300
    assert passes[0.1] <= 0.1 * 300
    assert passes[0.2] == 0


def test_a_verdict_says_how_many_and_how_to_go_on() -> None:
    found = transfer(FAMILIES["mlp"], 32, 64).check(seeds=1, most=1)
    assert found.verdict == "cannot tell"
    assert found.more > 0
    assert f"about {found.more} more seeds would tell" in found.summary()
    assert "(1 seed, 5 steps" in found.summary()
    with pytest.raises(GainstageError, match="at least one seed"):
        transfer(FAMILIES["mlp"], 32, 64).check(seeds=0)


# --- statistics -----------------------------------------------------------------------------------------------------


def test_quantiles_are_those_of_the_tables() -> None:
    found = [t_quantile(n) for n in (1, 2, 3, 5, 8, 30, 120, 1000)]
    assert found == pytest.approx([12.7062, 4.3027, 3.1824, 2.5706, 2.3060, 2.0423, 1.97993, 1.96234], abs=1e-4)


def test_intervals_hold_the_slope() -> None:
    """Of 400 draws with a level for each seed, 95 % hold the true exponent."""
    generator, x, held = torch.Generator().manual_seed(0), [1.0, 2.0, 4.0, 8.0], 0
    for _ in range(400):
        noise = 0.1 * torch.randn(3, 4, generator=generator) + torch.randn(3, 1, generator=generator)
        y = [[(0.3 * log2(v) * 0.6931 + float(e)) for v, e in zip(x, row, strict=True)] for row in noise]
        found = slope(x, [[2.718281828**v for v in row] for row in y])
        held += found.low <= 0.3 <= found.high
    assert 0.92 <= held / 400 <= 0.98
    assert more_seeds(found, x, found.half / 2) > 3


def test_a_study_finds_the_bottom_the_drift_and_the_cost() -> None:
    """Parabolas in octaves, of curvature 2, whose bottom moves by half an octave a doubling."""
    rates = tuple(2.0**k for k in range(-5, 6))

    def curve(arm: str, ratio: float, drift: float) -> Curve:
        rows = tuple(
            tuple((log2(r) - drift * log2(ratio) - shift) ** 2 for r in rates) for shift in (-0.1, 0.0, 0.1)
        )  # fmt: skip
        return Curve("width", arm, str(ratio), ratio, rates, rows)

    study = Rates(
        "adam",
        tuple(curve(arm, ratio, d) for arm, d in (("mup", 0.0), ("standard", -0.5)) for ratio in (1, 2, 4)),
        3,
        9,
    )
    assert study.of("mup")[0].best.mean == pytest.approx(0, abs=1e-9)
    assert study.of("mup")[0].curvature == pytest.approx(2)
    assert study.drift("standard").mean == pytest.approx(-0.5)
    assert study.drift("standard").half == pytest.approx(0, abs=1e-9)
    assert study.excess("standard").mean == pytest.approx(1, abs=0.1)
    assert study.excess("mup").mean == pytest.approx(0, abs=0.02)
    assert not any("transfers as well" in said for said in study.sentences())
    lifted = [replace(c, losses=tuple(tuple(v + 9 for v in row) for row in c.losses)) for c in study.of("mup")]
    alike = replace(study, curves=(*lifted, *(replace(c, arm="standard") for c in lifted)))
    assert any("transfers as well" in said for said in alike.sentences())
    assert Interval.of([1.0, 2.0, 3.0]).half == pytest.approx(4.3027 / 3**0.5, abs=1e-3)


def test_a_study_trains_and_says_what_it_found() -> None:
    move = transfer(FAMILIES["mlp"], 16, 32)
    study = move.study(widths=[16, 32], rates=[1e-3, 1e-2, 1e-1], seeds=2, steps=30, compare=("standard",))
    assert study.arms == ("mup", "standard")
    assert [c.label for c in study.of("mup")] == ["16", "32"]
    assert study.of("mup")[0].losses == study.of("standard")[0].losses
    assert "the best rate moves by" in study.table()


def test_a_study_trains_with_muon_as_well() -> None:
    """Hidden matrices by Muon, the rest by AdamW; a rate that is far too large is told as infinite or worse."""
    move = transfer(FAMILIES["mlp"], 16, 32, optimizer="muon")
    study = move.study(widths=[16, 32], rates=[1e-5, 3e-3, 1e-2], seeds=1, steps=20, compare=())
    assert study.optimizer == "muon"
    for curve in study.of("mup"):
        assert curve.means[0] > curve.means[1]
