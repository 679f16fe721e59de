"""What unscaled data and wrong losses cost: the measurements behind the thresholds of the rules OUT and DAT.

python benchmarks/data_and_loss.py              # all five tables, about four minutes
python benchmarks/data_and_loss.py targets      # one of them: targets, losses, inputs, columns, raw

A ReLU network with two hidden layers of 64 on scikit-learn's digits (or a smooth function of them), 300 steps of batch
64 (`digits.py`), mean over two seeds. A row gives the score at every learning rate (accuracy; R^2 for targets, cut at
-9), the loss of the first step, and the steps of 1e-3 in every parameter that would take this loss away to first order.
"""

import sys
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from digits import RAW, Loss, Split, X, Y, fit, mlp

Score = Callable[[Tensor, Tensor], float]
ADAM, SGD = (torch.optim.Adam, (1e-3, 1e-4)), (torch.optim.SGD, (0.1, 0.01, 0.001))
SAME: Callable[[Tensor], Tensor] = lambda z: z  # noqa: E731


class Network(nn.Module):
    def __init__(self, outputs: int, act: type[nn.Module], end: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(64, 64), act(), nn.Linear(64, 64), act(), nn.Linear(64, outputs))
        self.end = end

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.body(x))


def accuracy(z: Tensor, y: Tensor) -> float:
    return float((z.argmax(1) == y).float().mean())


def explained(z: Tensor, y: Tensor) -> float:
    return max(-9.0, float(1 - (z - y).square().mean() / y.var())) if z.isfinite().all() else -9.0


def first_step(make: Callable[[], Network], data: Split, loss: Loss) -> tuple[float, float]:
    """The loss of the first batch of seed 0, and the steps of 1e-3 that would take it away to first order."""
    torch.manual_seed(0)
    model = make()
    rows = torch.randint(len(data[0]), (64,))
    value = loss(model(data[0][rows]), data[1][rows])
    value.backward()
    pull = sum(float(p.grad.abs().sum()) for p in model.parameters() if p.grad is not None)
    return value.item(), value.item() / (1e-3 * pull)


def row(
    name: str,
    x: Tensor,
    y: Tensor,
    loss: Loss,
    *,
    outputs: int = 10,
    act: type[nn.Module] = nn.ReLU,
    end: Callable[[Tensor], Tensor] = SAME,
    score: Score = accuracy,
    test_y: Tensor | None = None,
) -> None:
    train, test = (x[:1400], y[:1400]), (x[1400:], (y if test_y is None else test_y)[1400:])
    start, steps = first_step(lambda: Network(outputs, act, end), train, loss)

    def trained(optimizer: type, lr: float) -> float:
        stepper = partial(optimizer, lr=lr)
        models = [fit(lambda: Network(outputs, act, end), stepper, seed=s, data=train, loss=loss) for s in (0, 1)]
        with torch.no_grad():
            return sum(score(model(test[0]), test[1]) for model in models) / len(models)

    for optimizer, rates in (ADAM, SGD):
        cells = "  ".join(f"{lr:g}: {trained(optimizer, lr):5.2f}" for lr in rates)
        print(f"{name:28} {optimizer.__name__:5} {cells:34} loss {start:8.3g}  steps {steps:8.3g}", flush=True)


def targets() -> None:
    direction = torch.randn(64, generator=torch.Generator().manual_seed(1)) / 8
    t = torch.tanh(X @ direction) + 0.5 * (X @ direction).cos()
    t = ((t - t.mean()) / t.std())[:, None]
    for spread in (0.001, 0.01, 0.1, 1, 10, 30, 100, 300, 1000, 1e4):
        row(f"std {spread:g}", X, t * spread, F.mse_loss, outputs=1, score=explained)
    for spread, mean in ((1, 3), (1, 10), (1, 30), (1, 100), (10, 30), (30, 100), (100, 200)):
        row(f"std {spread} mean {mean}", X, t * spread + mean, F.mse_loss, outputs=1, score=explained)


def losses() -> None:
    ends = {"none": SAME, "softmax": lambda z: z.softmax(1), "sigmoid": torch.sigmoid, "tanh": torch.tanh}
    ends |= {
        "relu": torch.relu,
        "log_softmax": lambda z: z.log_softmax(1),
        "softmax over samples": lambda z: z.softmax(0),
    }
    for name, end in ends.items():
        row(f"cross_entropy {name}", X, Y, F.cross_entropy, end=end)
    for name in ("none", "softmax", "sigmoid"):
        row(f"nll_loss {name}", X, Y, F.nll_loss, end=ends[name])
    for name in ("none", "softmax", "sigmoid", "relu"):
        row(f"mse of one-hot {name}", X, F.one_hot(Y, 10).float(), F.mse_loss, end=ends[name], test_y=Y)
    large = (Y > 4).float()[:, None]
    for name, cut in (("none", 0.0), ("sigmoid", 0.5), ("relu", 0.0), ("tanh", 0.0)):
        right: Score = lambda z, y, cut=cut: float(((z > cut).float() == y).float().mean())  # type: ignore[misc]  # noqa: E731
        row(
            f"bce with logits {name}",
            X,
            large,
            F.binary_cross_entropy_with_logits,
            outputs=1,
            end=ends[name],
            score=right,
        )


def inputs() -> None:
    for act in (nn.ReLU, nn.Tanh):
        for scale in (1e-4, 1e-3, 1e-2, 0.1, 1, 10, 30, 100, 1000, 1e4):
            row(f"{act.__name__} times {scale:g}", X * scale, Y, F.cross_entropy, act=act)
        for offset in (3, 10, 30, 100, 1000):
            row(f"{act.__name__} plus {offset}", X + offset, Y, F.cross_entropy, act=act)


def columns() -> None:
    shuffled = torch.randperm(64, generator=torch.Generator().manual_seed(1))
    for number in (1, 4, 16, 32):
        for scale in (10, 30, 100, 1000):
            factors = torch.ones(64)
            factors[shuffled[:number]] = scale
            row(f"{number} columns times {scale}", X * factors / factors.square().mean().sqrt(), Y, F.cross_entropy)


def raw() -> None:
    """The first loss on pixels of 0 to 16, with the weights that Keras starts from."""
    for width in (32, 64, 128, 512):
        for name, x in (("0 to 16", RAW), ("0 to 1", RAW / 16)):
            losses = []
            for seed in range(5):
                torch.manual_seed(seed)
                model = mlp(3, width)
                for p in model.parameters():
                    nn.init.xavier_uniform_(p) if p.dim() > 1 else nn.init.zeros_(p)
                losses.append(F.cross_entropy(model(x), Y).item())
            rms = float(x.square().mean().sqrt())
            print(f"width {width:<4} {name:8} RMS {rms:.3g}  initial loss {min(losses):.3g} to {max(losses):.3g}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    for table in sys.argv[1:] or ["targets", "losses", "inputs", "columns", "raw"]:
        {"targets": targets, "losses": losses, "inputs": inputs, "columns": columns, "raw": raw}[table]()
