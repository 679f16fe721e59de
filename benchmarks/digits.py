"""scikit-learn's digits, and the short training run that the benchmarks behind the thresholds share.

1,797 images of 8 x 8, standardized by one mean and deviation, in a fixed random order: 1,400 to train on, 397 to test.
"""

import itertools
from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.optim import Optimizer

Split = tuple[Tensor, Tensor]
Loss = Callable[[Tensor, Tensor], Tensor]
Stepper = Callable[[Iterable[nn.Parameter]], Optimizer]

_digits = load_digits()
_order = torch.randperm(len(_digits.data), generator=torch.Generator().manual_seed(0))
RAW, Y = torch.tensor(_digits.data).float()[_order], torch.tensor(_digits.target)[_order]
X = (RAW - RAW.mean()) / RAW.std()
TRAIN, TEST = (X[:1400], Y[:1400]), (X[1400:], Y[1400:])


def mlp(depth: int, width: int = 64, act: Callable[[], nn.Module] = nn.ReLU) -> nn.Sequential:
    """A plain network with this many weights."""
    sizes = [64] + [width] * (depth - 1)
    layers = [part for into, out in itertools.pairwise(sizes) for part in (nn.Linear(into, out), act())]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], 10))


def fit(
    make: Callable[[], nn.Module],
    optimizer: Stepper,
    *,
    seed: int = 0,
    data: Split = TRAIN,
    loss: Loss = F.cross_entropy,
    steps: int = 300,
    batch: int = 64,
    zero_grad: bool = True,
) -> nn.Module:
    """A network trained on random batches; in evaluation mode."""
    torch.manual_seed(seed)
    model = make().train()
    stepper = optimizer(model.parameters())
    for _ in range(steps):
        rows = torch.randint(len(data[0]), (batch,))
        value = loss(model(data[0][rows]), data[1][rows])
        if zero_grad:
            stepper.zero_grad()
        value.backward()
        stepper.step()
    return model.eval()


@torch.no_grad()
def accuracy(model: nn.Module, test: Split = TEST) -> float:
    """Share of the right answers."""
    return float((model(test[0]).argmax(1) == test[1]).float().mean())


def mean_accuracy(make: Callable[[], nn.Module], optimizer: Stepper, *, seeds: int = 2, **given: object) -> float:
    """The same of trained networks, mean over seeds."""
    return sum(accuracy(fit(make, optimizer, seed=s, **given)) for s in range(seeds)) / seeds  # type: ignore[arg-type]
