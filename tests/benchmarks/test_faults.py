"""The public fault suite: each program builds, takes a step and has a cause from the vocabulary."""

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import gainstage as gs

HERE = Path(__file__).parents[2] / "benchmarks" / "faults"
sys.path.insert(0, str(HERE))

from causes import CAUSES, NAMES, named  # noqa: E402
from suite import Case, faulty, files, module, repaired, suspicious  # noqa: E402

FAULTY, REPAIRED, SUSPICIOUS = faulty(), repaired(), suspicious()
KINDS = sorted({case.name.split("/")[0] for case in [*FAULTY, *SUSPICIOUS]})


def takes_a_step(case: Case) -> None:
    program = case.fresh()
    assert isinstance(program.model, nn.Module)
    value = program.loss(program.model(*inputs(program.example)), program.target)
    assert value.ndim == 0
    assert torch.as_tensor(program.train_step()).numel() == 1
    assert program.steps <= 800


def inputs(example: object) -> tuple[object, ...]:
    return example if isinstance(example, tuple) else (example,)


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch notices some of the faults too
@pytest.mark.parametrize("kind", KINDS)
def test_every_program_builds_and_takes_a_step(kind: str) -> None:
    for case in [*FAULTY, *REPAIRED, *SUSPICIOUS]:
        if case.name.startswith(kind + "/"):
            takes_a_step(case)


def test_there_are_enough_of_them() -> None:
    assert len(FAULTY) >= 60
    assert len(REPAIRED) + len(SUSPICIOUS) >= 60
    assert len(SUSPICIOUS) >= 20


def test_every_cause_is_of_the_vocabulary_and_every_word_of_it_is_used() -> None:
    assert {case.cause for case in FAULTY} == set(CAUSES)
    assert all(set(names) <= set(CAUSES) for names in NAMES.values())


def test_the_codes_that_name_a_cause_exist() -> None:
    codes = {rule.code for rule in gs.check.RULES.values()}
    assert {code for names in NAMES["gainstage"].values() for code in names.split()} <= codes


def test_a_cause_is_named_by_its_codes_only() -> None:
    assert named("gainstage", "rate-too-high", "OPT804")
    assert not named("gainstage", "rate-too-high", "OPT805")
    assert not named("a tool without a column", "rate-too-high", "OPT804")


def test_every_file_says_its_cause_in_a_sentence() -> None:
    for name, program in [*files("programs").items(), *files("healthy").items()]:
        first = (program.__doc__ or "").strip().split("\n\n")[0]
        assert first.endswith("."), name
        assert len(first.split()) > 6, name


def test_intervals_are_wilsons() -> None:
    low, high = module(HERE / "__main__.py").wilson(50, 100)
    assert (low, high) == pytest.approx((0.4038, 0.5962), abs=1e-4)
    assert module(HERE / "__main__.py").wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
