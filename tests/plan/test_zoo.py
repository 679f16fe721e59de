"""On every model of the zoo: `initialize` names every parameter, and the check afterwards has nothing to say."""

from math import log

import pytest
import torch
from healthy import HEALTHY
from healthy_hf import HUGGING_FACE

import gainstage as gs

ZOO = HEALTHY | HUGGING_FACE


@pytest.mark.parametrize("name", ZOO)
def test_an_initialized_model_is_healthy(name: str) -> None:
    torch.manual_seed(0)
    subject = ZOO[name]()
    plan = gs.initialize(subject.model, subject.example)
    assert set(plan) == {name for name, _ in subject.model.named_parameters()}
    assert all(assignment.role and assignment.reason for assignment in plan.values())
    report = gs.check(subject.model, subject.example, target=subject.target, loss=subject.loss)
    assert report.ok, str(report)


@pytest.mark.parametrize("name", HUGGING_FACE)
def test_language_and_vision_models_start_near_chance(name: str) -> None:
    torch.manual_seed(0)
    subject = HUGGING_FACE[name]()
    gs.initialize(subject.model, subject.example)
    tape = gs.record(subject.model, subject.example, target=subject.target, loss=subject.loss)
    assert not tape.surrogate
    labels = subject.example["labels"]
    classes = 500 if labels.dim() > 1 else 10
    assert tape.loss == pytest.approx(log(classes), rel=0.1)
