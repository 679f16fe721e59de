"""Silence is earned: no error and no warning on any model of the healthy zoo."""

import healthy_any  # noqa: F401
import healthy_norm  # noqa: F401
import healthy_optimizer  # noqa: F401
import healthy_output  # noqa: F401
import pytest
import torch
from healthy import HEALTHY
from healthy_hf import HUGGING_FACE

import gainstage as gs
from gainstage.check._engine import FAILED

ZOO = {**HEALTHY, **HUGGING_FACE}


@pytest.mark.parametrize("name", ZOO)
def test_a_healthy_model_is_passed(name: str) -> None:
    for seed, with_loss in ((0, True), (1, False)):
        torch.manual_seed(seed)
        subject = ZOO[name]()
        example, given = subject.example, {"target": subject.target, "loss": subject.loss}
        given |= {"optimizer": subject.optimizer, "train_step": subject.train_step}
        if not with_loss:
            given = {}
            if name in HUGGING_FACE and not subject.model.config.is_encoder_decoder:
                example = {key: value for key, value in example.items() if key != "labels"}
        report = gs.check(subject.model, example, **given)
        said = [f"{f.code} {f.severity} {f.where}: {f.measured}" for f in report.findings if f.severity != "note"]
        assert said == [], (seed, with_loss)
        assert not [n for n in report.not_judged if FAILED in n.why]


def test_the_zoo_is_large_enough_to_mean_something() -> None:
    assert len(ZOO) >= 60
