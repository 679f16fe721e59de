"""The engine: no trace, determinism, selection, folding, coverage, errors."""

import json
import pickle
import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from faulty import FAULTY
from healthy import HEALTHY
from healthy_hf import HUGGING_FACE
from torch import Tensor, nn

import gainstage as gs
from gainstage.check import RULES, Finding, Fix, NotMeasured, Rule, evidence, findings
from gainstage.check._fold import fold
from gainstage.check._registry import effects
from gainstage.init.stored import law_from_json


def state(model: nn.Module) -> dict[str, object]:
    """Everything that a check must leave alone, as comparable values."""
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {
        "bits": {n: t.detach().clone().view(torch.uint8).flatten().tolist() for n, t in tensors.items() if t.dim()},
        "ids": {n: id(t) for n, t in tensors.items()},
        "grads": {n: None if p.grad is None else (id(p.grad), p.grad.tolist()) for n, p in model.named_parameters()},
        "flags": {n: (m.training, len(m._forward_hooks), len(m._forward_pre_hooks)) for n, m in model.named_modules()},
        "requires_grad": {n: p.requires_grad for n, p in model.named_parameters()},
        "tensor hooks": {n: len(p._backward_hooks or ()) for n, p in model.named_parameters()},
        "random": (
            random.getstate(),
            str(np.random.get_state()),
            torch.get_rng_state().tolist(),
            torch.is_grad_enabled(),
        ),
    }


def tiny(name: str) -> gs.Subject:
    return HEALTHY[name]() if name in HEALTHY else FAULTY[name].build()


@pytest.mark.parametrize(
    "name", ["fixup", "mixture_of_experts", "lora", "vae", "dropout_mlp", "frozen_backbone", "all_zeros"]
)
def test_no_trace(name: str) -> None:
    subject = tiny(name)
    next(iter(p for p in subject.model.parameters() if p.requires_grad)).grad = None
    before = state(subject.model)
    gs.check(subject.model, subject.example, target=subject.target, loss=subject.loss)
    assert state(subject.model) == before


def test_kept_gradients_stay() -> None:
    subject = tiny("small_cnn")
    subject.loss(subject.model(subject.example), subject.target).backward()
    before = state(subject.model)
    gs.check(subject.model, subject.example, target=subject.target, loss=subject.loss)
    assert state(subject.model) == before


class Counting(nn.Module):
    """Raises in its `raise_in`-th call; zero-initialized, so that virtual steps are taken."""

    def __init__(self, raise_in: int) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(4, 4), nn.Linear(4, 4)
        nn.init.zeros_(self.head.weight)
        self.raise_in = raise_in

    def forward(self, x: Tensor) -> Tensor:
        CALLS.append(None)
        if len(CALLS) == self.raise_in:
            raise RuntimeError("no more")
        return self.head(torch.tanh(self.first(x)))


CALLS: list[None] = []


def test_no_trace_when_the_model_raises() -> None:
    CALLS.clear()
    model, x = Counting(raise_in=1), torch.randn(8, 4)
    before = state(model)
    with pytest.raises(gs.GainstageError, match="no more"):
        gs.check(model, x)
    assert state(model) == before


def test_no_trace_when_the_virtual_step_raises_and_the_report_says_so() -> None:
    CALLS.clear()
    model, x = Counting(raise_in=2), torch.randn(8, 4)
    before = state(model)
    report = gs.check(model, x)
    assert state(model) == before
    assert "BWD303" in {n.code for n in report.not_judged}
    assert any("no more" in n.why for n in report.not_judged)


def test_the_model_runs_five_times_at_most() -> None:
    CALLS.clear()  # observed, after a virtual step, with gradients, in evaluation mode, and with samples exchanged
    gs.check(Counting(raise_in=0), torch.randn(8, 4))
    assert len(CALLS) == 5


def test_with_a_loss_it_runs_four_times_at_most() -> None:
    CALLS.clear()  # what gradients end at is read off the observed pass
    gs.check(Counting(raise_in=0), torch.randn(8, 4), target=torch.randn(8, 4), loss=torch.nn.functional.mse_loss)
    assert len(CALLS) <= 4


@pytest.mark.parametrize("name", ["default_relu_30", "constant_weights", "dropout_mlp", "vae"])
def test_the_same_check_says_the_same(name: str) -> None:
    subject = tiny(name)

    def run() -> dict[str, object]:
        return gs.check(subject.model, subject.example, target=subject.target, loss=subject.loss).to_json()

    first = run()
    torch.manual_seed(99)
    assert run() == first


def test_the_report_survives_json() -> None:
    subject = tiny("constant_weights")
    report = gs.check(subject.model, subject.example, target=subject.target, loss=subject.loss)
    document = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert document == report.to_json()
    read = [law_from_json(law) for f in document["findings"] for law in f["fix"]["laws"].values()]
    assert read == [law for f in report.findings for law in f.fix.laws.values()]


# --- selection ---------------------------------------------------------------------------------------------------


def codes(report: gs.Report) -> set[str]:
    return {*report.judged, *(n.code for n in report.not_judged)}


def test_select_and_ignore_take_beginnings() -> None:
    subject = tiny("relu_mlp_3")
    everything = codes(gs.check(subject.model, subject.example))
    assert everything == set(RULES)
    assert codes(gs.check(subject.model, subject.example, select=["INI"])) == {c for c in RULES if c.startswith("INI")}
    assert codes(gs.check(subject.model, subject.example, select="FWD201")) == {"FWD201"}
    chosen = gs.check(subject.model, subject.example, select=("INI", "BWD"), ignore=["INI103"])
    assert codes(chosen) == {c for c in RULES if c.startswith(("INI", "BWD"))} - {"INI103"}


@pytest.mark.parametrize(
    ("given", "near"), [("INI1011", "INI101"), ("fwd", "FWD"), ("identical", "families"), ("", "fam")]
)
def test_unknown_codes_are_refused_with_the_nearest(given: str, near: str) -> None:
    for option in ({"select": [given]}, {"ignore": [given]}):
        with pytest.raises(gs.GainstageError, match=near):
            gs.check(nn.Linear(2, 2), torch.randn(4, 2), **option)


# --- coverage ----------------------------------------------------------------------------------------------------


def why(report: gs.Report) -> dict[str, str]:
    return {n.code: n.why for n in report.not_judged}


@pytest.mark.parametrize(
    ("name", "change", "code", "reason"),
    [
        ("relu_mlp_3", lambda s: gs.Subject(s.model, s.example), "OUT501", "no loss was given"),
        ("regression", lambda s: s, "OUT512", "no cross-entropy"),
        ("relu_mlp_3", lambda s: gs.Subject(s.model, s.example[:1]), "FWD201", "one sample"),
        (
            "relu_mlp_3",
            lambda s: gs.Subject(s.model, torch.ones(8, 20)),
            "FWD201",
            "all samples of the example are equal",
        ),
        ("relu_mlp_3", lambda s: gs.Subject(s.model, s.example[:8]), "FWD204", "at least 32"),
        (
            "relu_mlp_3",
            lambda s: gs.Subject(s.model.requires_grad_(False), s.example),
            "BWD303",
            "no parameter is trainable",
        ),
        ("relu_mlp_3", lambda s: gs.Subject(s.model.to("meta"), s.example), "INI101", "meta device"),
    ],
)
def test_what_cannot_be_measured_is_named(
    name: str, change: Callable[[gs.Subject], gs.Subject], code: str, reason: str
) -> None:
    subject = change(tiny(name))
    report = gs.check(subject.model, subject.example, target=subject.target, loss=subject.loss)
    assert reason in why(report)[code]
    assert code not in report.judged
    assert report.ok


def test_judged_and_not_judged_make_the_catalogue() -> None:
    torch.manual_seed(0)
    subject = HUGGING_FACE["gpt2"]()
    report = gs.check(subject.model, subject.example)
    assert sorted([*report.judged, *why(report)]) == sorted(RULES)
    assert {"OUT501", "FWD207", "BWD301"} <= set(report.judged)


def test_a_rule_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(evidence: object) -> object:
        raise NotMeasured("no reason")
        yield

    monkeypatch.setitem(RULES, "ZZZ999", Rule("ZZZ999", "never", "note", "", never))
    assert why(gs.check(nn.Linear(2, 2), torch.randn(4, 2)))["ZZZ999"] == "no reason"


def test_a_rule_that_fails_is_named_and_hides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(evidence: object) -> object:
        yield 1 / 0

    monkeypatch.setitem(RULES, "AAA000", Rule("AAA000", "fails", "note", "", fails))
    subject = tiny("constant_weights")
    report = gs.check(subject.model, subject.example)
    assert "ZeroDivisionError" in why(report)["AAA000"]
    assert report.findings[0].code == "INI101"


# --- folding -----------------------------------------------------------------------------------------------------


def finding(code: str, severity: findings.Severity = "error", where: str = "a") -> Finding:
    return Finding(code, RULES[code].name, severity, where, "measured", "expected", "message", Fix("fix"))


def test_symptoms_are_folded_under_their_cause() -> None:
    told = fold([finding("BWD303", where="b"), finding("FWD201"), finding("BWD303"), finding("INI102")])
    assert [f.code for f in told] == ["INI102"]
    assert told[0].symptoms == (
        "BWD303 no-gradient at b: measured (and 1 more)",
        "FWD201 collapsed-samples at a: measured",
    )


def test_a_note_explains_no_error() -> None:
    assert [f.code for f in fold([finding("INI102", "note"), finding("FWD201")])] == ["FWD201", "INI102"]


def test_findings_without_a_common_cause_stay() -> None:
    told = fold([finding("OUT501", "warning"), finding("INI103", "note"), finding("BWD303", "warning")])
    assert [f.code for f in told] == ["BWD303", "OUT501", "INI103"]
    assert not any(f.symptoms for f in told)


def test_no_rule_explains_what_explains_it() -> None:
    explained = effects()
    assert [code for code in RULES if code in explained[code]] == []


def test_every_effect_is_a_rule_and_none_is_named_twice() -> None:
    for code, rule in RULES.items():
        assert len(set(rule.explains)) == len(rule.explains)
        for begins in rule.explains:
            assert [other for other in RULES if other.startswith(begins) and other != code], (code, begins)


def test_an_effect_of_an_effect_is_folded_though_nothing_is_found_between() -> None:
    assert "FWD201" not in RULES["INI104"].explains
    assert "FWD201" in effects()["INI104"]
    assert [f.code for f in fold([finding("FWD201"), finding("INI104")])] == ["INI104"]


def test_of_two_causes_alike_the_one_that_is_usually_worse_is_told_first() -> None:
    told = fold([finding("DAT608", "note"), finding("OUT501", "note")])
    assert [f.code for f in told] == ["OUT501", "DAT608"]


CURED_BY_LAWS = ("FWD201", "FWD202", "FWD203", "FWD207", "BWD302", "INI101", "INI102")


# --- fixes --------------------------------------------------------------------------------------------------------


def test_a_report_keeps_tape_and_plan_and_travels_without_the_tape() -> None:
    model = nn.Linear(8, 4)
    model.register_forward_hook(lambda *given: torch.ops.aten.relu(given[2]))
    report = gs.check(model, torch.randn(32, 8))
    assert [site.op for site in report.tape] == ["linear", "relu"]
    assert report.plan == gs.plan(model, torch.randn(32, 8))
    assert "tape" not in report.to_json()
    assert "tape" not in repr(report)
    again = pickle.loads(pickle.dumps(report))
    assert again == report
    assert again.tape is None


def test_a_failing_plan_does_not_break_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> object:
        raise RuntimeError("no plan today")

    monkeypatch.setattr(evidence, "plan_from", refuse)
    subject = tiny("default_relu_30")
    report = gs.check(subject.model, subject.example)
    assert report.findings[0].code == "FWD201"
    assert report.findings[0].fix.text
    assert not report.findings[0].fix.laws
    assert report.plan is None


@pytest.mark.parametrize(
    "name",
    [n for n, f in FAULTY.items() if f.code in CURED_BY_LAWS and not n.startswith("batch_norm")],
)
def test_the_fix_of_the_cause_makes_the_model_healthy(name: str) -> None:
    subject = tiny(name)
    given = {"target": subject.target, "loss": subject.loss}
    report = gs.check(subject.model, subject.example, **given)
    laws = {k: v for f in reversed(report.findings) for k, v in f.fix.laws.items()}
    assert laws
    gs.plan(subject.model, subject.example).replace(laws).only(laws).apply(subject.model)
    cause = FAULTY[name].code
    assert cause not in {f.code for f in gs.check(subject.model, subject.example, **given).findings}


def test_an_own_loss_needs_no_target() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(8, 3)
            nn.init.normal_(self.head.weight, std=5.0)

        def forward(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
            logits = self.head(x)
            return {"loss": F.cross_entropy(logits, labels), "logits": logits}

    report = gs.check(Own(), {"x": torch.randn(32, 8), "labels": torch.arange(32) % 3})
    assert [f.code for f in report.findings] == ["OUT501"]
    assert "among 3 classes" in report.findings[0].expected
