"""Eight small trainings that are healthy: what to build, what to feed, how to train it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn

Batch = tuple[Tensor, Tensor]
TUNED = ("mlp", "cnn", "gpt", "moe")  # limits were set while looking at these
JUDGED = ("resnet", "lstm", "encoder", "autoencoder")  # and judged on these


@dataclass
class Net:
    """A training: batches are random samples without repetition of one data set."""

    build: Callable[[], nn.Module]
    batch: Callable[[torch.Generator], Batch]
    loss: Callable[[Tensor, Tensor], Tensor]
    optimizer: Callable[[nn.Module], torch.optim.Optimizer]


@cache
def digits() -> Batch:
    data = load_digits()
    return torch.tensor(data.data, dtype=torch.float32) / 8 - 1, torch.tensor(data.target)


def rows(shape: tuple[int, ...], size: int = 64) -> Callable[[torch.Generator], Batch]:
    def batch(generator: torch.Generator) -> Batch:
        x, y = digits()
        chosen = torch.randint(0, len(x), (size,), generator=generator)
        return x[chosen].reshape(size, *shape), y[chosen]

    return batch


def text(generator: torch.Generator) -> Batch:
    """Sequences that count by a step of their own, modulo 48, with one token in eight at random."""
    start, step = (torch.randint(0, high, (16, 1), generator=generator) for high in (48, 5))
    ids = (start + (step + 1) * torch.arange(33)) % 48
    noise = torch.rand(16, 33, generator=generator) < 0.125
    ids = torch.where(noise, torch.randint(0, 48, (16, 33), generator=generator), ids)
    return ids[:, :-1], ids[:, 1:]


class Attend(nn.Module):
    def __init__(self, width: int, heads: int, causal: bool, by_hand: bool = False) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.heads, self.causal, self.by_hand = heads, causal, by_hand
        self.sharpness = 1.0

    def forward(self, x: Tensor) -> Tensor:
        b, t, c = x.shape
        q, k, v = (part.view(b, t, self.heads, -1).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        q = q * self.sharpness
        if self.by_hand:
            y = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1) @ v
        else:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        return self.out(y.transpose(1, 2).reshape(b, t, c))


class Block(nn.Module):
    def __init__(self, width: int, causal: bool, by_hand: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm1, self.attend = nn.LayerNorm(width), Attend(width, 4, causal, by_hand)
        self.norm2, self.mlp = (
            nn.LayerNorm(width),
            nn.Sequential(nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, width), nn.Dropout(dropout)),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attend(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class GPT(nn.Module):
    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.tokens, self.places = nn.Embedding(48, width), nn.Embedding(32, width)
        self.blocks = nn.Sequential(Block(width, True), Block(width, True))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 48)
        for table in (self.tokens, self.places):
            nn.init.normal_(table.weight, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.tokens(ids) + self.places(torch.arange(ids.shape[1]))
        return self.head(self.norm(self.blocks(x)))


class Encoder(nn.Module):
    """Rows of a digit as eight tokens."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.inside = nn.Linear(8, width)
        self.places = nn.Parameter(torch.randn(8, width) * 0.02)
        self.blocks = nn.Sequential(Block(width, False, True, 0.1), Block(width, False, True, 0.1))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.blocks(self.inside(x) + self.places)).mean(1))


class Experts(nn.Module):
    def __init__(self, width: int = 64, experts: int = 4) -> None:
        super().__init__()
        self.inside = nn.Linear(64, width)
        self.router = nn.Linear(width, experts)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width)) for _ in range(experts)
        )
        self.head = nn.Linear(width, 10)
        self.balance = torch.zeros(())

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.inside(x))
        p = self.router(h).softmax(-1)
        top, chosen = p.topk(1, dim=-1)
        share = F.one_hot(chosen[:, 0], p.shape[-1]).float().mean(0)
        self.balance = (share * p.mean(0)).sum() * p.shape[-1]
        y = torch.zeros_like(h)
        for number, expert in enumerate(self.experts):
            mine = chosen[:, 0] == number
            y = y + expert(h) * (mine[:, None] * top)
        return self.head(h + y)


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.norm2 = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x))))))


class LSTM(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.rnn = nn.Embedding(48, 48), nn.LSTM(48, 64, batch_first=True)
        self.drop, self.middle, self.head = nn.Dropout(0.1), nn.Linear(64, 64), nn.Linear(64, 48)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(torch.relu(self.middle(self.drop(self.rnn(self.tokens(ids))[0]))))


def mlp() -> nn.Module:
    return nn.Sequential(
        nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.1), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10)
    )


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.Flatten(), nn.Linear(512, 10),
    )  # fmt: skip


def resnet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), Residual(16), Residual(16), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(16, 10),
    )  # fmt: skip


def autoencoder() -> nn.Module:
    return nn.Sequential(
        nn.Linear(64, 64),
        nn.BatchNorm1d(64),
        nn.ReLU(),
        nn.Linear(64, 8),
        nn.Linear(8, 64),
        nn.ReLU(),
        nn.Linear(64, 64),
    )


def images(generator: torch.Generator) -> Batch:
    x, _ = rows((64,))(generator)
    return x, x


def next_token(output: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(output.flatten(0, 1), target.flatten())


def adamw(rate: float, decay: float = 0.01) -> Callable[[nn.Module], torch.optim.Optimizer]:
    return lambda model: torch.optim.AdamW(model.parameters(), rate, weight_decay=decay)


def sgd(rate: float) -> Callable[[nn.Module], torch.optim.Optimizer]:
    return lambda model: torch.optim.SGD(model.parameters(), rate, momentum=0.9, weight_decay=5e-4)


NETS = {
    "mlp": Net(mlp, rows((64,)), F.cross_entropy, adamw(1e-3)),
    "cnn": Net(cnn, rows((1, 8, 8)), F.cross_entropy, sgd(0.05)),
    "gpt": Net(GPT, text, next_token, adamw(3e-3, 0.1)),
    "moe": Net(Experts, rows((64,)), F.cross_entropy, adamw(1e-3)),
    "resnet": Net(resnet, rows((1, 8, 8)), F.cross_entropy, sgd(0.05)),
    "lstm": Net(LSTM, text, next_token, adamw(3e-3)),
    "encoder": Net(Encoder, rows((8, 8)), F.cross_entropy, adamw(1e-3, 0.05)),
    "autoencoder": Net(autoencoder, images, F.mse_loss, adamw(1e-3)),
}
