"""On architectures that no threshold was tuned on, a check is silent above a note, or says what is deserved.

Nothing here may be made to pass by moving a limit: see `tests/helpers/held_out.py`.
"""

import pytest
import torch
from healthy import HEALTHY
from healthy_hf import HUGGING_FACE
from held_out import HELD_OUT

import gainstage as gs
from gainstage.check._engine import FAILED

# What a check says above a note, by name and seed: deserved, or a false alarm that is open.
DESERVED: dict[tuple[str, int], set[str]] = {}
FALSE_ALARMS: dict[tuple[str, int], set[str]] = {
    # A Wasserstein critic's penalty is no decay: it is meant to be as large as the rest.
    ("patch_discriminator_with_a_gradient_penalty", 0): {"REG704"},
    ("patch_discriminator_with_a_gradient_penalty", 2): {"REG704"},
    # Features that start within 1e-4 are their authors' choice: Adam moves them at once.
    ("hash_grid_field", 0): {"BWD301"},
    ("hash_grid_field", 2): {"BWD301"},
    # Targets of standard deviation 1, 9,000 steps away by the slope at the start, which does not stay so small.
    ("fourier_operator", 2): {"DAT603"},
}


@pytest.mark.parametrize("seed", [0, 2])
@pytest.mark.parametrize("name", HELD_OUT)
def test_a_held_out_architecture_gets_what_it_deserves(name: str, seed: int) -> None:
    torch.manual_seed(seed)
    subject = HELD_OUT[name]()
    report = gs.check(subject.model, subject.example, target=subject.target, loss=subject.loss)
    said = {f.code for f in report.findings if f.severity != "note"}
    assert said == DESERVED.get((name, seed), set()) | FALSE_ALARMS.get((name, seed), set()), str(report)
    assert not [n for n in report.not_judged if FAILED in n.why]


def test_it_is_large_enough_and_shares_no_name_with_the_zoo() -> None:
    assert len(HELD_OUT) >= 50
    assert not set(HELD_OUT) & set(HEALTHY | HUGGING_FACE)
    assert {name for name, _ in [*DESERVED, *FALSE_ALARMS]} <= set(HELD_OUT)
