"""Faults of the forward and backward signal that are not in `faulty`."""

import torch
import torch.nn.functional as F
from faulty import faulty, mlp, subject
from torch import Tensor, nn

from gainstage.run import Subject


class Attend(nn.Module):
    """One attention head over twelve steps, fused or written out."""

    def __init__(self, std: float, fused: bool = False, scaled: bool = True) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(20, 32, bias=False) for _ in range(3))
        self.head, self.fused, self.scale = nn.Linear(32, 10), fused, 32**-0.5 if scaled else 1.0
        for layer in (self.q, self.k):
            nn.init.normal_(layer.weight, std=std)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.q(x), self.k(x), self.v(x)
        if self.fused:
            return self.head(F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None]).mean((1, 2)))
        return self.head((torch.softmax(self.scale * q @ k.mT, -1) @ v).mean(1))


@faulty("FWD208", "warning")
def large_queries_and_keys() -> Subject:
    return subject(Attend(2.0), 12, 20)


@faulty("FWD208", "warning")
def large_queries_and_keys_in_fused_attention() -> Subject:
    return subject(Attend(2.0, fused=True), 12, 20)


@faulty("FWD208", "warning")
def logits_that_are_not_scaled() -> Subject:
    return subject(Attend(1.0, scaled=False), 12, 20)


@faulty("FWD209", "note")
def tiny_queries_and_keys() -> Subject:
    return subject(Attend(1e-4), 12, 20)


@faulty("FWD210", "warning")
def a_hidden_softmax() -> Subject:
    return subject(nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 64), nn.Softmax(-1), nn.Linear(64, 10)))


@faulty("FWD211", "warning")
def one_unit_in_the_middle() -> Subject:
    return subject(
        nn.Sequential(nn.Linear(20, 64), nn.Tanh(), nn.Linear(64, 1), nn.Linear(1, 64), nn.Tanh(), nn.Linear(64, 10))
    )


@faulty("FWD211", "note")
def a_plane_in_the_middle() -> Subject:
    x = torch.randn(64, 20)
    model = nn.Sequential(
        nn.Linear(20, 64), nn.Tanh(), nn.Linear(64, 2), nn.Linear(2, 64), nn.Tanh(), nn.Linear(64, 20)
    )
    return Subject(model, x, x.clone(), F.mse_loss)


class Clamped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(20, 64), nn.Linear(64, 64), nn.Linear(64, 10)
        nn.init.constant_(self.first.bias, -30.0)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.clamp(self.second(torch.clamp(self.first(x), min=0)), min=0))


@faulty("FWD204")
def a_dead_clamp() -> Subject:
    return subject(Clamped())


@faulty("FWD204")
def a_dead_conv1d() -> Subject:
    convs = [nn.Conv1d(4, 64, 3), nn.ReLU(), nn.Conv1d(64, 64, 3), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten()]
    nn.init.constant_(convs[2].bias, -30.0)
    return subject(nn.Sequential(*convs, nn.Linear(64, 10)), 4, 20)


@faulty("FWD204", "warning")
def most_channels_of_a_conv1d_dead() -> Subject:
    convs = [nn.Conv1d(4, 64, 3), nn.ReLU(), nn.Conv1d(64, 64, 3), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten()]
    with torch.no_grad():
        convs[2].bias[:58] = -30.0
    return subject(nn.Sequential(*convs, nn.Linear(64, 10)), 4, 20)


@faulty("BWD305", "note")
def towers_of_a_millionth() -> Subject:
    class Towers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wide, self.towers = nn.Linear(20, 10), nn.ModuleList(mlp(2) for _ in range(3))

        def forward(self, x: Tensor) -> Tensor:
            return self.wide(x) + 1e-6 * sum(tower(x) for tower in self.towers)

    return subject(Towers())


# --- samples alike -------------------------------------------------------------------------------------------------


@faulty("FWD201", "warning")
def default_relu_10() -> Subject:
    """Plain descent at 0.1 leaves it at chance after 1,000 steps on digits."""
    return subject(mlp(10))


# --- signs and sides of losses --------------------------------------------------------------------------------------


@faulty("FWD204", "warning")
def weights_of_one_sign_behind_a_relu() -> Subject:
    model = mlp(3)
    with torch.no_grad():
        [model[i].weight.abs_().neg_() for i in (0, 2)]
    return subject(model)


@faulty("OUT514")
def overlap_of_logits() -> Subject:
    model, mask = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 30)), (torch.rand(64, 30) < 0.2).float()

    def loss(out: Tensor, y: Tensor) -> Tensor:
        return 1 - (2 * (out * y).sum() + 1) / (out.sum() + y.sum() + 1)

    return Subject(model, torch.randn(64, 20), mask, loss)


class Coder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.into, self.out = nn.Linear(20, 8), nn.Linear(4, 20)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, spread = self.into(x).chunk(2, 1)
        return self.out(mean), mean, spread


@faulty("OUT514")
def divergence_subtracted() -> Subject:
    def loss(out: tuple[Tensor, Tensor, Tensor], x: Tensor) -> Tensor:
        made, mean, spread = out
        divergence = 0.5 * (mean.square() + spread.exp() - 1 - spread).sum(1).mean()
        return (made - x).square().sum(1).mean() - divergence

    x = torch.randn(64, 20)
    return Subject(Coder(), x, x, loss)
