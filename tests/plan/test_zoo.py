"""On every model of the zoo: `initialize` names every parameter, and the check afterwards has nothing to say."""

from math import log

import healthy_any  # noqa: F401
import healthy_norm  # noqa: F401
import healthy_optimizer  # noqa: F401
import healthy_output  # noqa: F401
import pytest
import torch
from healthy import HEALTHY
from healthy_hf import HUGGING_FACE

import gainstage as gs
from gainstage.run import named_parameters

ZOO = {name: build for name, build in (HEALTHY | HUGGING_FACE).items() if name != "on_the_meta_device"}
NO_CLASSES = {"clipmodel", "siglipmodel", "vitmaeforpretraining"}  # they compare images with texts or with images


@pytest.mark.parametrize("name", ZOO)
def test_an_initialized_model_is_healthy(name: str) -> None:
    torch.manual_seed(0)
    subject = ZOO[name]()
    plan = gs.initialize(subject.model, subject.example)
    assert set(plan) == {name for name, _ in named_parameters(subject.model)}
    assert all(assignment.role and assignment.reason for assignment in plan.values())
    report = gs.check(subject.model, subject.example, target=subject.target, loss=subject.loss)
    assert report.ok, str(report)


@pytest.mark.parametrize("name", [name for name in HUGGING_FACE if name not in NO_CLASSES])
def test_language_and_vision_models_start_near_chance(name: str) -> None:
    torch.manual_seed(0)
    subject = HUGGING_FACE[name]()
    gs.initialize(subject.model, subject.example)
    tape = gs.record(subject.model, subject.example, target=subject.target, loss=subject.loss)
    assert not tape.surrogate
    labels = subject.example["labels"]
    classes = 500 if labels.dim() > 1 else subject.model.config.num_labels
    assert tape.loss == pytest.approx(log(classes), rel=0.1)
