"""What the programs share: small real data, the usual loop, a few networks. A file of `programs/` holds the rest."""

import math
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Loss = Callable[[Any, Any], Tensor]
Error = Callable[[], float]


@dataclass(frozen=True)
class Program:
    """One training program, ready to take its first step."""

    model: nn.Module
    example: Any
    target: Any
    loss: Loss
    optimizer: torch.optim.Optimizer
    train_step: Callable[[], Tensor]  # one step of the program's own loop
    error: Error  # after training: smaller is better, 0 is perfect
    steps: int = 200

    def parts(self) -> dict[str, Any]:
        """As `gs.check(**parts)` takes them."""
        names = "model", "example", "target", "loss", "optimizer", "train_step"
        return {name: getattr(self, name) for name in names}


class Split(NamedTuple):
    x: Tensor
    y: Tensor
    x_test: Tensor
    y_test: Tensor


# --- data ------------------------------------------------------------------------------------------------------------


def split(x: Tensor, y: Tensor, test: float = 0.25) -> Split:
    """Rows shuffled by a fixed seed, the last ones for the test."""
    rows = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    cut = int(len(x) * (1 - test))
    return Split(x[rows[:cut]], y[rows[:cut]], x[rows[cut:]], y[rows[cut:]])


def standardized(x: Tensor) -> Tensor:
    return (x - x.mean(0)) / (x.std(0) + 1e-6)


@cache
def stored(name: str) -> tuple[Tensor, Tensor]:
    from sklearn import datasets

    data = getattr(datasets, f"load_{name}")()
    return torch.tensor(data.data, dtype=torch.float32), torch.tensor(data.target)


@cache
def digits(shape: tuple[int, ...] = (64,), raw: bool = False) -> Split:
    """1,797 digits of 8x8 pixels, 0 to 16 raw, else standardized with one mean for all pixels."""
    x, y = stored("digits")
    x = x if raw else (x - 4.884) / 6.017
    return split(x.view(-1, *shape), y)


@cache
def measured(name: str, raw: bool = False) -> Split:
    """wine, breast_cancer, iris (labels) or diabetes (a number, standardized), by column."""
    x, y = stored(name)
    x = x if raw else standardized(x)
    return split(x, standardized(y.float())[:, None] if name == "diabetes" else y)


@cache
def springs(n: int = 3000, dim: int = 2) -> Split:
    """Three bodies joined by stiffening springs: positions and velocities in, accelerations out."""
    g = torch.Generator().manual_seed(1)
    position, velocity = torch.randn(n, 3, dim, generator=g), torch.randn(n, 3, dim, generator=g)
    between = position[:, None] - position[:, :, None]
    length = between.norm(dim=-1, keepdim=True)
    force = (between * (length - 1).clamp(min=0)).sum(2) - velocity * velocity.norm(dim=-1, keepdim=True)
    return split(torch.cat([position.flatten(1), velocity.flatten(1)], 1), standardized(force.flatten(1)))


@cache
def discs(n: int = 500) -> Split:
    """Noisy pictures of one disc, 16x16, and the mask of the disc."""
    g = torch.Generator().manual_seed(2)
    rows, columns = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    centre, radius = 3 + 10 * torch.rand(n, 2, 1, 1, generator=g), 2 + 3 * torch.rand(n, 1, 1, generator=g)
    mask = (((rows - centre[:, 0]) ** 2 + (columns - centre[:, 1]) ** 2) < radius**2).float()[:, None]
    return split(mask + 0.7 * torch.randn(mask.shape, generator=g), mask)


ALPHABET = " abcdefghijklmnopqrstuvwxyz.,()'"  # and one more symbol for everything else
VOCABULARY = len(ALPHABET) + 1


@cache
def text(length: int = 24, n: int = 2000) -> tuple[Tensor, Tensor]:
    """Windows of Python's own reference, as it comes with the standard library: ids to train and to test on."""
    from pydoc_data.topics import topics

    letters = " ".join(" ".join(topics[k].lower().split()) for k in sorted(topics))
    table = torch.full((128,), len(ALPHABET))
    for i, letter in enumerate(ALPHABET):
        table[ord(letter)] = i
    ids = table[torch.tensor(list(letters.encode("ascii", "replace")), dtype=torch.long)]
    windows = ids[: len(ids) // length * length].view(-1, length)
    rows = torch.randperm(len(windows), generator=torch.Generator().manual_seed(3))[: n + 300]
    return windows[rows[:n]], windows[rows[n:]]


@cache
def remembered(n: int = 3000, length: int = 10) -> Split:
    """Sequences of 6 numbers a step: the class is told by the first steps, the rest is noise."""
    g = torch.Generator().manual_seed(4)
    x = torch.randn(n, length, 6, generator=g)
    y = (x[:, 0, 0] + x[:, 1, 1] > 0).long() * 2 + (x[:, 0, 2] - x[:, 1, 3] > 0).long()
    return split(x, y)


@cache
def bags(n: int = 3000, length: int = 12) -> tuple[Tensor, Tensor, Tensor]:
    """Sequences of random length: ids, which positions are real, and whether 1 is more frequent than 2."""
    g = torch.Generator().manual_seed(5)
    size = torch.randint(3, length + 1, (n, 1), generator=g)
    real = torch.arange(length) < size
    ids = torch.randint(1, 8, (n, length), generator=g)
    y = (((ids == 1) & real).sum(1) > ((ids == 2) & real).sum(1)).long()
    filler = torch.randint(1, 3, (n, length), generator=g)  # what happened to be in the buffer
    return torch.where(real, ids, filler), real, y


@cache
def photo(size: int = 48) -> tuple[Tensor, Tensor]:
    """A real photograph that scikit-learn ships, as coordinates in -1..1 and grey levels in -1..1."""
    from sklearn.datasets import load_sample_image

    grey = torch.tensor(load_sample_image("flower.jpg"), dtype=torch.float32).mean(-1)
    grey = F.adaptive_avg_pool2d(grey[None, None], size)[0, 0] / 127.5 - 1
    line = torch.linspace(-1, 1, size)
    return torch.stack(torch.meshgrid(line, line, indexing="ij"), -1).view(-1, 2), grey.view(-1, 1)


# --- the loop --------------------------------------------------------------------------------------------------------


def batches(*tensors: Tensor, size: int = 64) -> Iterator[tuple[Tensor, ...]]:
    """Endless random batches: the same rows of each tensor."""
    g = torch.Generator().manual_seed(torch.initial_seed() % 2**31)
    while True:
        rows = torch.randperm(len(tensors[0]), generator=g)
        for some in rows.split(size)[: max(1, len(rows) // size)]:
            yield tuple(t[some] for t in tensors)


def plain_step(
    model: nn.Module, loss: Loss, optimizer: torch.optim.Optimizer, data: Iterator[tuple[Tensor, ...]]
) -> Callable[[], Tensor]:
    """Zero, forward, backward, step. A batch is the inputs and, last, the target."""

    def train_step() -> Tensor:
        *inputs, target = next(data)
        optimizer.zero_grad()
        value = loss(model(*inputs), target)
        value.backward()
        optimizer.step()
        return value.detach()

    return train_step


def program(
    model: nn.Module,
    data: Split,
    loss: Loss,
    optimizer: torch.optim.Optimizer,
    error: Error,
    *,
    train_step: Callable[[], Tensor] | None = None,
    size: int = 64,
    steps: int = 200,
) -> Program:
    """The usual program: one input, one target, the plain step unless another is given."""
    step = train_step or plain_step(model, loss, optimizer, batches(data.x, data.y, size=size))
    return Program(model, data.x[:size], data.y[:size], loss, optimizer, step, error, steps)


def adam(model: nn.Module, lr: float = 3e-3, **options: Any) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr, **options)


def sgd(model: nn.Module, lr: float = 0.1, momentum: float = 0.9, **options: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr, momentum, **options)


# --- errors ----------------------------------------------------------------------------------------------------------


def predicted(model: nn.Module, *inputs: Tensor, training: bool = False) -> Any:
    """The output in evaluation mode; the model is left in its mode."""
    mode = model.training
    model.train(training)
    with torch.no_grad():
        out = model(*inputs)
    model.train(mode)
    return out


def wrong(model: nn.Module, data: Split, decide: Callable[[Tensor], Tensor] | None = None) -> Error:
    """Share of wrong classes on the test rows."""

    def error() -> float:
        out = predicted(model, data.x_test)
        said = decide(out) if decide else out.argmax(-1)
        return float((said.flatten() != data.y_test.flatten()).float().mean()) if out.isfinite().all() else math.inf

    return error


def unexplained(model: nn.Module, data: Split, read: Callable[[Any], Tensor] = lambda out: out) -> Error:
    """Squared error on the test rows over the variance of the targets."""

    def error() -> float:
        out = read(predicted(model, data.x_test)).view_as(data.y_test)
        return float((out - data.y_test).square().mean() / data.y_test.var())

    return error


# --- networks --------------------------------------------------------------------------------------------------------


def mlp(*sizes: int, act: Callable[[], nn.Module] = nn.ReLU, end: nn.Module | None = None) -> nn.Sequential:
    layers = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), act())][:-1]
    return nn.Sequential(*layers, *([end] if end else []))


def cnn(classes: int = 10, channels: int = 1, width: int = 16) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, 2 * width, 3, 2, 1, bias=False),
        nn.BatchNorm2d(2 * width),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(8 * width, classes),
    )


class UNet(nn.Module):
    def __init__(self, end: nn.Module | None = None, width: int = 8) -> None:
        super().__init__()

        def conv(a: int, b: int) -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(a, b, 3, 1, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU())

        self.outer, self.inner = conv(1, width), conv(width, 2 * width)
        self.up, self.join = nn.ConvTranspose2d(2 * width, width, 2, 2), conv(2 * width, width)
        self.head, self.end = nn.Conv2d(width, 1, 1), end or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        outer = self.outer(x)
        up = self.up(self.inner(F.max_pool2d(outer, 2)))
        return self.end(self.head(self.join(torch.cat([outer, up], 1))))


class Attention(nn.Module):
    """Heads, written out; a subclass may change the scores or how heads are cut."""

    def __init__(self, width: int, heads: int = 4, causal: bool = False) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.heads, self.causal = heads, causal

    def split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def join(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2).flatten(2)

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.join(self.mix(*(self.split(part) for part in self.qkv(x).chunk(3, -1)))))


class Block(nn.Module):
    def __init__(self, width: int, attention: nn.Module) -> None:
        super().__init__()
        self.norm1, self.norm2, self.attention = nn.LayerNorm(width), nn.LayerNorm(width), attention
        self.mlp = mlp(width, 2 * width, width, act=nn.GELU)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Gpt(nn.Module):
    """A small decoder over `text()`; `attention()` makes the attention of a block."""

    def __init__(
        self, attention: Callable[[], nn.Module] | None = None, width: int = 48, depth: int = 2, std: float = 0.02
    ) -> None:
        super().__init__()
        self.token, self.place = nn.Embedding(VOCABULARY, width), nn.Embedding(32, width)
        make = attention or (lambda: Attention(width, causal=True))
        self.blocks = nn.Sequential(*(Block(width, make()) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, VOCABULARY, bias=False)
        for layer in self.modules():
            if isinstance(layer, nn.Linear | nn.Embedding):
                nn.init.normal_(layer.weight, 0, std)
                if getattr(layer, "bias", None) is not None:
                    nn.init.zeros_(layer.bias)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.norm(self.blocks(self.token(ids) + self.place(torch.arange(ids.shape[1])))))


def next_token(logits: Tensor, ids: Tensor) -> Tensor:
    """The loss of a language model: position t is judged by token t + 1."""
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())


def as_generated(model: nn.Module) -> Error:
    """Perplexity of the next letter, given only the letters before it, one call a position."""

    def error() -> float:
        ids, mode = text()[1], model.training
        model.eval()
        with torch.no_grad():
            nats = [F.cross_entropy(model(ids[:, :t])[:, -1], ids[:, t]).item() for t in (6, 12, 18, 23)]
        model.train(mode)
        return math.exp(min(50.0, sum(nats) / len(nats)))

    return error


def language(
    model: nn.Module, loss: Loss, optimizer: torch.optim.Optimizer, steps: int = 200, **options: Any
) -> Program:
    """A language model on `text()`; the labels are the ids."""
    ids, _ = text()
    step = options.get("train_step") or plain_step(model, loss, optimizer, batches(ids, ids, size=32))
    return Program(model, ids[:32], ids[:32], loss, optimizer, step, options.get("error") or as_generated(model), steps)


@cache
def _features() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = cnn(classes=5)
        x, y, *_ = digits((1, 8, 8))
        step = plain_step(model, F.cross_entropy, adam(model), batches(x[y < 5], y[y < 5]))
        for _ in range(150):
            step()
    return model


def pretrained(classes: int = 5) -> nn.Sequential:
    """`cnn()` trained on the digits 0 to 4, with a fresh head."""
    model = deepcopy(_features())
    model.zero_grad()
    model[-1] = nn.Linear(model[-1].in_features, classes)
    return model


@cache
def other_digits() -> Split:
    """The digits 5 to 9, as classes 0 to 4."""
    x, y, x_test, y_test = digits((1, 8, 8))
    return Split(x[y > 4], y[y > 4] - 5, x_test[y_test > 4], y_test[y_test > 4] - 5)
