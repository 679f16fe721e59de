"""A start is kept only where it is not worse than the one that was found; else the part at fault goes back."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import gainstage as gs


class Graph(nn.Module):
    """A deep graph convolution over a fixed matrix: its rows are no average of independent ones."""

    def __init__(self, depth: int = 16) -> None:
        super().__init__()
        links = (torch.rand(50, 50, generator=torch.Generator().manual_seed(1)) < 0.1).float() + torch.eye(50)
        links = ((links + links.T) > 0).float()
        root = links.sum(1) ** -0.5
        self.layers = nn.ModuleList(nn.Linear(32, 32) for _ in range(depth))
        self.head = nn.Linear(32, 4)
        self.register_buffer("links", root[:, None] * links * root)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.relu(self.links @ layer(x))
        return self.head(x)


def test_levels_that_theory_does_not_know_are_measured() -> None:
    torch.manual_seed(0)
    model, x = Graph(), torch.randn(50, 32)
    plan = gs.initialize(model, x, target=torch.arange(50) % 4, loss=F.cross_entropy)
    assert plan.proof is not None
    assert plan.proof.undone == ""
    assert plan.proof.after.loss < 1.6  # chance is 1.386
    tape = gs.record(model, x)
    for name in ("layers.3", "layers.9", "layers.15"):
        assert 0.2 < tape[f"{name}/linear#0"].forward.mean_square / plan[f"{name}.weight"].level < 5


class Explodes(nn.Module):
    """Its second weight is read by an exponential, ten times over: only a small one is bearable."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.inner, self.head = nn.Linear(16, 64), nn.Linear(64, 64), nn.Linear(64, 4)
        nn.init.uniform_(self.inner.weight, -0.06, 0.06)

    def forward(self, x: Tensor) -> Tensor:
        h = self.inner(torch.relu(self.first(x)))
        return self.head(torch.sinh(12 * h))


def test_the_part_at_fault_goes_back_and_the_rest_stays_new() -> None:
    torch.manual_seed(0)
    model, x, y = Explodes(), torch.randn(64, 16), torch.arange(64) % 4
    model.requires_grad_(True)
    found = {name: p.clone() for name, p in model.named_parameters()}
    first = F.cross_entropy(model(x), y).item()
    plan = gs.initialize(model, x, target=y, loss=F.cross_entropy)
    assert F.cross_entropy(model(x), y).item() <= 1.25 * first + 0.03
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, found[name]) == (plan[name].law is None)
    lines = str(plan).splitlines()
    assert any(line.startswith("first loss") for line in lines)


def test_all_or_nothing_where_the_second_pass_raises() -> None:
    class Once(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)
            self.start = self.fc.weight.detach().clone()

        def forward(self, x: Tensor) -> Tensor:
            if not torch.equal(self.fc.weight, self.start):
                raise RuntimeError("only the found weights")
            return self.fc(x)

    model = Once()
    before = {name: p.clone() for name, p in model.named_parameters()}
    plan = gs.initialize(model, torch.randn(8, 4))
    assert "the model raised" in plan.proof.undone
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())


def test_twice_is_once() -> None:
    for model, x in ((Graph(4), torch.randn(50, 32)), (Explodes(), torch.randn(64, 16))):
        gs.initialize(model, x)
        once = [p.clone() for p in model.parameters()]
        gs.initialize(model, x)
        assert all(torch.equal(a, b) for a, b in zip(once, model.parameters(), strict=True))


def test_the_proof_can_be_switched_off_and_says_where_there_is_none() -> None:
    runs: list[int] = []
    model, x = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)), torch.randn(32, 64)
    model.register_forward_hook(lambda *_: runs.append(1))
    assert gs.initialize(model, x, proof=False).proof.text == "switched off"
    without = len(runs)
    gs.initialize(model, x)
    assert without == 2  # as found, and a trial of the plan
    assert len(runs) - without == 4  # besides: after, and on other rows
    runs.clear()
    nn.init.normal_(model[0].weight, std=0.3)
    gs.initialize(model, x)
    assert len(runs) == 6  # besides: theory and the scale that somebody chose, each drawn once
    empty = nn.Sequential(nn.Linear(8, 16, device="meta"))
    with pytest.raises(gs.GainstageError, match="meta"):
        gs.initialize(empty, torch.randn(32, 8))


def test_what_reads_next_to_nothing_is_not_made_so_large_that_it_cannot_learn() -> None:
    class Faint(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.head = nn.Linear(32, 64), nn.Linear(64, 10)

        def forward(self, x: Tensor) -> Tensor:
            h = torch.tanh(self.first(x))
            for _ in range(52):
                h = torch.fft.ifft(torch.fft.fft(h)).real / 2  # no plan knows what this does to a level
            return self.head(h)

    torch.manual_seed(0)
    model = Faint()
    gs.initialize(model, torch.randn(64, 32))
    assert float(model.head.weight.detach().std()) < 30
