"""Models without values: what theory foresees is judged by the rules that measure it elsewhere."""

import pytest
import torch
from healthy import HEALTHY
from healthy_hf import HUGGING_FACE
from torch import nn

import gainstage as gs

X = torch.randn(32, 64, generator=torch.Generator().manual_seed(0))


def chain(depth: int, act: type[nn.Module], norm: bool = False) -> nn.Module:
    parts = [part for _ in range(depth) for part in (nn.Linear(64, 64), *([nn.LayerNorm(64)] if norm else []), act())]
    return nn.Sequential(*parts, nn.Linear(64, 10))


@pytest.mark.parametrize("act", [nn.ReLU, nn.Tanh, nn.Sigmoid])
def test_a_collapse_is_foreseen_and_is_the_one_that_is_measured(act: type[nn.Module]) -> None:
    torch.manual_seed(0)
    levels = ("FWD201", "FWD202", "FWD203")
    found = gs.check(chain(20, act), X, select=levels).findings[0]
    with torch.device("meta"):
        empty = chain(20, act)
    report = gs.check(empty, X)
    foreseen = report.findings[0]
    assert foreseen.code == found.code == "FWD201"
    assert foreseen.measured.startswith("predicted: ")
    assert set(report.judged) == set(levels)
    assert all("no values" in left.why for left in report.not_judged)


@pytest.mark.parametrize("norm", [True, False])
def test_a_healthy_chain_is_foreseen_as_healthy(norm: bool) -> None:
    with torch.device("meta"):
        empty = chain(30 if norm else 3, nn.ReLU, norm)
    report = gs.check(empty, X)
    assert report.ok
    assert {"FWD201", "FWD202", "FWD203"} <= set(report.judged)


@pytest.mark.parametrize("name", ["unet", "transformer_pre_ln", "llama", "vit"])
def test_healthy_models_of_the_zoo_are_silent(name: str) -> None:
    torch.manual_seed(0)
    subject = (HEALTHY | HUGGING_FACE)[name]()
    report = gs.check(subject.model.to("meta"), subject.example, target=subject.target, loss=subject.loss)
    assert report.findings == ()
    assert "FWD201" in report.judged


def test_what_theory_does_not_know_is_not_judged() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(64, 64)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.fft.rfft(self.fc(x)).real

    with torch.device("meta"):
        empty = Odd()
    report = gs.check(empty, X)
    assert report.ok
    assert "FWD201" not in report.judged
