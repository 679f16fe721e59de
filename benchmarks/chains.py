"""From how many plain weights in a row does a structured start pay? The number behind `DEEP` in `plan/_auto.py`.

    python benchmarks/chains.py      (about ten minutes on 2 cores)

Digits, width 64, Adam, 300 steps of 64: mean test accuracy over two seeds at the better of two learning rates, the
structured start forced on and off. A structured start must not lose where it is used.
"""

from statistics import mean

import torch
import torch.nn.functional as F
from torch import nn

import gainstage as gs
from gainstage.plan import _auto
from gainstage.train import accuracy, fit, minibatches
from networks import mlp
from starts import data

DEPTHS = (4, 6, 8, 12, 20, 30)
RATES = (1e-3, 3e-3)


def trained(activation: type[nn.Module], depth: int, rate: float, seed: int) -> float:
    """Test accuracy of one network after training."""
    train, _, test = data()
    torch.manual_seed(seed)
    model = mlp(activation, depth)
    gs.initialize(model, train[0][:64], seed=seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    batches = minibatches(*train, batch_size=64, steps=300, seed=seed)
    fit(model, batches, loss=F.cross_entropy, optimizer=optimizer)
    return accuracy(model, *test)


def main() -> None:
    torch.set_num_threads(1)
    print("activation  depth  structured  random")
    for activation in (nn.ReLU, nn.GELU, nn.Tanh, nn.Sigmoid):
        for depth in DEPTHS:
            row = []
            for _auto.DEEP in (2, depth + 1):  # on for every chain, off for this one
                row.append(max(mean(trained(activation, depth, rate, seed) for seed in (0, 1)) for rate in RATES))
            print(f"{activation.__name__:<11} {depth:>5}  {row[0]:10.3f}  {row[1]:6.3f}", flush=True)


if __name__ == "__main__":
    main()
