"""The right cause first, at the severity that it deserves."""

import faulty_data  # noqa: F401
import faulty_experiments  # noqa: F401
import faulty_forward  # noqa: F401
import faulty_init  # noqa: F401
import faulty_norm  # noqa: F401
import faulty_optimizer  # noqa: F401
import faulty_output  # noqa: F401
import faulty_programs  # noqa: F401
import pytest
import torch
from faulty import FAULTY

import gainstage as gs
from gainstage.check import RULES
from gainstage.check._engine import FAILED


@pytest.mark.parametrize(("seed", "name"), [(number % 2, name) for number, name in enumerate(FAULTY)])
def test_the_cause_is_named_first(seed: int, name: str) -> None:
    fault = FAULTY[name]
    torch.manual_seed(seed)
    subject = fault.build()
    steps = {"optimizer": subject.optimizer, "train_step": subject.train_step, "train": fault.code.startswith("TRN")}
    report = gs.check(subject.model, subject.example, target=subject.target, loss=subject.loss, **steps)
    assert [(f.code, f.severity) for f in report.findings][:1] == [(fault.code, fault.severity)], str(report)
    assert report.ok == (fault.severity == "note")
    assert not [n for n in report.not_judged if FAILED in n.why]


def test_every_rule_has_a_fault() -> None:
    assert {fault.code for fault in FAULTY.values()} == set(RULES)
