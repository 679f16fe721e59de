"""Every rule of a watch: on histories in which its cause is, found with the step it began; on healthy ones, silent."""

from collections.abc import Callable
from math import inf, nan

import pytest

from gainstage.check import RULES, Finding, Fix
from gainstage.watch import WATCHED, History, Reading, findings, folded
from gainstage.watch.reading import Attention, Group, Norm, Parameter, Place, Router

EVERY = 10


def reading(number: int, **changes: object) -> Reading:
    """The healthy report number `number`, ten steps each: the loss falls from 2.3 with a small ripple."""
    steps = range(EVERY * number + 1, EVERY * number + EVERY + 1)
    made = Reading(
        step=EVERY * (number + 1),
        losses=[2.3 / (1 + step / 100) + 0.03 * ((step * 7) % 5 - 2) for step in steps],
        levels=[1.0 + 0.01 * ((step * step) % 97 + step / 1000) for step in steps],
        same=[False] * EVERY,
        rates=[0.01] * EVERY,
        rate=[0.01],
        decay=[0.01],
        momentum=[0.9],
        training=True,
        parameters={name: Parameter(1.0, 1.0, 10.0, 0.02, 0.0) for name in ("a", "b", "c", "d")},
        sites={
            "a/linear#0": Place(1.0, 0.5, 0.0, nan, 4.0, 0.0, nan, 0.1),
            "relu#0": Place(1, 0.5, 0.5, nan, 4, 0, 0.1, 0.1),
        },
        attentions={"attend": Attention(0.8, 2.0)},
        routers={"router": Router(1.2, 0.0)},
        norms={"norm": Norm(1.0, 5.0 + number)},
    )
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def history(change: Callable[[int, Reading], None] = lambda number, r: None, reports: int = 20) -> list[Finding]:
    """What is found over the reports, each changed by its number; the cause comes with report 10, step 101."""
    run, found = History(), dict[tuple[str, str], Finding]()
    for number in range(reports):
        r = reading(number)
        change(number, r)
        run.add(r)
        for finding in findings(run):
            found.setdefault((finding.code, finding.where), finding)
    return list(found.values())


def from_ten(**values: object) -> Callable[[int, Reading], None]:
    def change(number: int, r: Reading) -> None:
        if number >= 10:
            for name, value in values.items():
                setattr(r, name, value)

    return change


def rate(number: int, r: Reading) -> None:
    if number >= 10:
        r.rates, r.rate = [0.1] * EVERY, [0.1]
        r.parameters = {name: Parameter(1.0, 1.0, 10.0, 0.2, 0.0) for name in r.parameters}


def bad(number: int, r: Reading) -> None:
    if number == 10:
        r.losses[3], r.levels[3] = 9.0, 30.0


def shifted(number: int, r: Reading) -> None:
    if number >= 10:
        r.losses = [loss + 1.5 for loss in r.losses]


def stuck(number: int, r: Reading) -> None:
    r.same = [number >= 10] * EVERY


def broken(number: int, r: Reading) -> None:
    if number == 10:
        r.broken, r.nonfinite = "b/log#0", [r.step - 4]
        r.losses = [*r.losses[:5], inf, *[nan] * 4]


def skipping(number: int, r: Reading) -> None:
    r.skipped = max(0, number - 9) * EVERY


def one(name: str, field: str, value: float) -> Callable[[int, Reading], None]:
    def change(number: int, r: Reading) -> None:
        if number >= 10:
            setattr(getattr(r, name)[next(reversed(getattr(r, name)))], field, value)

    return change


def flat(number: int, r: Reading) -> None:
    r.losses = [2.3] * EVERY


def overfit(number: int, r: Reading) -> None:
    r.metrics = {"validation": 1.0 - 0.05 * number if number < 10 else 0.5 + 0.05 * (number - 9)}


def gone(number: int, r: Reading) -> None:
    if number >= 10:
        r.parameters = {name: Parameter(1e-6, 1e-6, 10.0, 1e-6, 0.0) for name in r.parameters}
    r.losses = [2.3] * EVERY


def grown(number: int, r: Reading) -> None:
    if number >= 10:
        r.parameters = {name: Parameter(1.0, 500.0, 10.0, 0.02, 0.0) for name in r.parameters}


def pulled(number: int, r: Reading) -> None:
    """From report 5 on decay takes 8 % of the weights a report, and the loss stands still."""
    if number >= 5:
        weight = 10 * 0.92 ** (number - 4)
        r.parameters = {name: Parameter(0.1, 0.1, weight, 0.008 * weight, 0.0) for name in r.parameters}
        r.losses, r.decay, r.decoupled = [1.5] * EVERY, [0.8], True


def goes_round(number: int, r: Reading) -> None:
    steps = range(EVERY * number, EVERY * number + EVERY)
    r.levels = [1.0 + 0.01 * (step % 7 if number >= 10 else step) for step in steps]


def drifting(number: int, r: Reading) -> None:
    r.norms = {"norm": Norm(1.0, 5.0 + number, 2.0 if number >= 10 else 0.1)}


CASES = {
    "OPT804": (rate, "until step 100, 0.1 since"),
    "RUN002": (bad, "loss 9 at step 104"),
    "RUN003": (shifted, "before step 101"),
    "OPT818": (stuck, "the batch of step 100"),
    "RUN005": (from_ten(decay=[1.0]), "weight decay 0.01 until step 100, 1 at step 110"),
    "RUN006": (flat, "2.3 in the first steps"),
    "RUN007": (one("routers", "unused", 0.75), "75% of the experts"),
    "OPT819": (one("parameters", "lost", 0.99), "99% of its entries"),
    "RUN009": (one("parameters", "weight", 500.0), "norm 50 times"),
    "RUN010": (pulled, "since step 130"),
    "RUN012": (goes_round, "since step 101"),
    "NRM410": (drifting, "stored means are 2 standard deviations"),
    "RUN011": (overfit, "training loss"),
    "FWD201": (one("sites", "between", 1e-8), "1.0e-08 of the mean square"),
    "FWD203": (one("sites", "rms", 500.0), "level 500, 1 at the start; so at 1 of 2 sites"),
    "FWD204": (one("sites", "dead", 1.0), "100% of the units are dead since about step 110"),
    "FWD206": (broken, "at step 106"),
    "FWD208": (one("attentions", "entropy", 0.01), "since about step 110"),
    "BWD301": (gone, "norm 2e-06"),
    "BWD302": (grown, "beyond 100 times since step 110"),
    "BWD303": (one("parameters", "gradient", 0.0), "no gradient since step 110, in 1 of 4"),
    "BWD304": (skipping, "were left out"),
    "NRM404": (one("norms", "stored", 7.0), "have not moved since step 110"),
    "OPT809": (from_ten(training=False), "training mode until step 100"),
    "OPT815": (broken, "not finite at step 106"),
}


def test_every_rule_has_a_case() -> None:
    assert set(CASES) == set(WATCHED)


@pytest.mark.parametrize("code", CASES)
def test_a_rule_finds_its_cause_and_the_step_at_which_it_began(code: str) -> None:
    change, said = CASES[code]
    found = [f for f in history(change, 31 if code == "RUN006" else 20) if f.code == code]
    assert found, f"{code} is silent"
    assert said in found[0].measured


def of_a_group(number: int, r: Reading) -> None:
    """The rate of a group that is not the fastest becomes five times as large, and so do its steps."""
    faster = number >= 10
    r.groups = {"body": Group(0.001 * (5 if faster else 1), 0.001, 900), "head": Group(0.01, 0.01, 100)}
    r.parameters = {name: Parameter(1.0, 1.0, 10.0, 0.1 if faster else 0.02, 0.0) for name in r.parameters}


def test_a_rate_that_jumps_in_one_group_is_named_by_its_group() -> None:
    (found,) = history(of_a_group)
    assert (found.code, found.where) == ("OPT804", "group body")
    assert "rate 0.001 until step 109, 0.005 since" in found.measured


def from_the_first(number: int, r: Reading) -> None:
    """The first report is of step 1 alone, as a watch makes it; the loss leaves its start at once."""
    r.parameters = {name: Parameter(1.0, 1.0, 10.0, 3.0, 0.0) for name in r.parameters}
    if number == 0:
        r.step, r.losses, r.levels, r.same, r.rates = 1, [2.0], [1.0], [False], [0.5]
    else:
        r.step, r.losses = EVERY * number + 1, [8.0 + 0.1 * (i % 3) for i in range(EVERY)]


def test_steps_that_overshoot_from_the_first_on_are_found_within_twenty() -> None:
    (found,) = history(from_the_first, 3)
    assert found.code == "OPT804"
    assert "changes the weights by 0.3 of their norm; loss 2 at step 1, 8.1" in found.measured


@pytest.mark.parametrize(("later", "said"), [(1.0, "gradients are alive"), (1e-6, "gradients are dead")])
def test_a_plateau_has_one_of_two_causes(later: float, said: str) -> None:
    def change(number: int, r: Reading) -> None:
        r.losses = [2.3] * EVERY
        if number > 4:
            r.parameters = {name: Parameter(later, later, 10.0, 0.02, 0.0) for name in r.parameters}

    (found,) = [f for f in history(change, 31) if f.code == "RUN006"]
    assert said in found.message


def test_an_order_that_repeats_from_the_start_is_a_note() -> None:
    def unshuffled(number: int, r: Reading) -> None:
        r.levels = [1.0 + 0.01 * (step % 7) for step in range(EVERY * number, EVERY * number + EVERY)]

    (found,) = history(unshuffled)
    assert (found.code, found.severity) == ("RUN012", "note")
    assert "the same 7 batches in the same order" in found.measured


def test_a_healthy_run_is_silent() -> None:
    assert history(reports=60) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda n, r: setattr(r, "rates", [0.001 * (1 + EVERY * n + i) for i in range(EVERY)]),  # warm-up
        lambda n, r: setattr(r, "rates", [0.01 if (n // 5) % 2 else 0.1] * EVERY),  # restarts
        lambda n, r: setattr(r, "same", [True] * EVERY),  # the whole data set in one batch
        lambda n, r: setattr(r, "skipped", min(n * EVERY, 12)),  # a scaler that looks for its scale
        lambda n, r: setattr(r, "training", False),  # a frozen backbone
        lambda n, r: setattr(r, "norms", {"norm": Norm(1.0, 5.0)}),  # statistics that never moved
        lambda n, r: setattr(r, "losses", [loss * 1e-3 for loss in r.losses]),  # a small loss
        lambda n, r: setattr(r, "momentum", [0.85 + 0.1 * (n % 10) / 10]),  # a cycle
        lambda n, r: setattr(r, "losses", [nan] * EVERY),  # a loss that was not seen
    ],
)
def test_what_only_looks_like_a_cause_is_silent(change: Callable[[int, Reading], None]) -> None:
    assert [f.code for f in history(change, 40) if f.code != "OPT804" or "restarts" in f.message] == []


def test_codes_and_names_are_those_of_check_where_the_cause_is_the_same() -> None:
    for code, rule in WATCHED.items():
        assert code.startswith("RUN") or code in RULES
        assert code not in RULES or rule.name == RULES[code].name
        for heading in ("## What it does", "## Why is this bad?", "## References"):
            assert heading in rule.doc, code


def finding(code: str, severity: str = "warning") -> Finding:
    return Finding(code, WATCHED[code].name, severity, "x", "m", "e", "w", Fix("f"))  # type: ignore[arg-type]


def test_a_cause_is_told_first_and_its_effects_under_it_whichever_came_first() -> None:
    (first,) = folded([(20, finding("RUN003")), (30, finding("OPT804", "error"))], every=10)
    assert first.code == "OPT804"
    assert first.symptoms == ("RUN003 shifted-loss at x: m",)


def test_what_came_long_after_is_no_effect() -> None:
    assert len(folded([(20, finding("OPT804", "error")), (900, finding("RUN003"))], every=10)) == 2


def test_a_note_hides_nothing_that_is_worse() -> None:
    found = [(20, finding("RUN009", "note")), (30, finding("FWD203"))]
    assert [f.code for f in folded(found, every=10)] == ["FWD203", "RUN009"]
    assert [f.code for f in folded([(20, finding("RUN009")), (30, finding("FWD203"))], every=10)] == ["RUN009"]
