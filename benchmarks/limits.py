"""What bad starts, layers, regularizers and steps cost: the measurements behind most thresholds of the rules.

python benchmarks/limits.py               # every table, about ten minutes
python benchmarks/limits.py dropout head  # some of them

Networks of width 64 on scikit-learn's digits, 300 steps of batch 64 (`digits.py`), accuracy on the test images; chance
is 0.10. Where a rule measures a quantity, the row gives that as well, by the rule's own function.
Unscaled data and wrong losses are in `data_and_loss.py`, the healthy models in `healthy_distribution.py`.
"""

import itertools
import sys
import warnings
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam

from digits import Stepper, X, Y, accuracy, fit, mean_accuracy, mlp
from gainstage.check import Evidence
from gainstage.check.experiments.redraw import redraw
from gainstage.check.facts.limits import COLLAPSE
from gainstage.check.facts.penalty import of_optimizer
from gainstage.check.facts.steps import stepping
from gainstage.check.rules.trainability.control import _score
from gainstage.check.rules.trainability.seeds import REDRAWS
from healthy_distribution import numbers

Make = Callable[[], nn.Module]
LEVELS = ("FWD201", "FWD202", "FWD203", "FWD204", "FWD205", "BWD301", "BWD302")
ADAM: Stepper = partial(Adam, lr=1e-3)
MOMENTUM: Stepper = partial(SGD, lr=0.05, momentum=0.9)


def evidence(make: Make, optimizer: Stepper | None = None) -> Evidence:
    """A check of a fresh network on 64 images."""
    torch.manual_seed(0)
    model = make()
    stepper = optimizer(model.parameters()) if optimizer else None
    return Evidence(model, X[:64], target=Y[:64], loss=F.cross_entropy, optimizer=stepper)


def started(depth: int, act: type[nn.Module], law: str, scale: float) -> nn.Module:
    """A plain network, its weights drawn by torch's default, He's law or orthogonal, times a number."""
    model = mlp(depth, act=act)
    for layer in model:
        if law != "default" and isinstance(layer, nn.Linear):
            {"he": nn.init.kaiming_normal_, "orthogonal": nn.init.orthogonal_}[law](layer.weight)
            layer.weight.data *= scale
            nn.init.zeros_(layer.bias)
    return model


def starts() -> None:
    """Depth, scale and activation: what the forward and backward rules measure, and the better of two rates."""
    cases = [(d, act, "default", 1.0) for act in (nn.ReLU, nn.Tanh, nn.GELU) for d in (3, 6, 8, 10, 12, 16, 20, 30)]
    cases += [(10, nn.ReLU, "he", s) for s in (0.7, 0.5, 0.35, 0.25, 0.15, 1.5, 2.0, 3.0)]
    cases += [(d, nn.ReLU, "he", 1.0) for d in (30, 50)]
    cases += [(d, nn.Tanh, "orthogonal", s) for d, s in ((50, 1.0), (10, 2.0), (20, 2.0), (20, 3.0), (20, 5.0))]
    for depth, act, law, scale in cases:
        make = partial(started, depth, act, law, scale)
        torch.manual_seed(0)
        found = numbers(Evidence(make(), X[:128], target=Y[:128], loss=F.cross_entropy), LEVELS)
        runs = [max(accuracy(fit(make, partial(Adam, lr=r), seed=s)) for r in (1e-3, 1e-4)) for s in (0, 1)]
        shown = "  ".join(f"{code} {value:.1e}" for code, _, value in found)
        print(f"{depth:3} {act.__name__:5}{law:11}{scale:<5}{runs[0]:.2f} {runs[1]:.2f}  {shown}", flush=True)


def residual() -> None:
    """Bottleneck ResNets with batch normalization, 32 and 64 wide, digits enlarged to 32 x 32, 150 steps of 32."""
    from transformers import ResNetConfig, ResNetForImageClassification

    class Net(nn.Module):
        def __init__(self, depths: list[int]) -> None:
            super().__init__()
            sizes = {"embedding_size": 32, "hidden_sizes": [32, 32, 64, 64], "depths": depths}
            self.body = ResNetForImageClassification(ResNetConfig(num_channels=1, num_labels=10, **sizes))

        def forward(self, x: Tensor) -> Tensor:
            return self.body(F.interpolate(x.view(-1, 1, 8, 8), scale_factor=4)).logits

    for depths in ([3, 4, 6, 3], [3, 4, 23, 3], [3, 8, 36, 3]):
        make = partial(Net, depths)
        ratio = next(value for _, _, value in numbers(evidence(make), ["BWD302"]))
        found = accuracy(fit(make, MOMENTUM, steps=150, batch=32))
        print(f"{3 * sum(depths) + 2:3} layers  gradient ratio over its room {ratio:5.3g}  {found:.2f}", flush=True)


def dropout() -> None:
    """Rate and width: how many units are kept. Two hidden layers, dropout behind both; then behind the output head."""
    for width, rate in itertools.product((16, 64, 512), (0.0, 0.5, 0.7, 0.8, 0.9, 0.95)):
        act = lambda rate=rate: nn.Sequential(nn.ReLU(), nn.Dropout(rate))  # noqa: E731
        found = mean_accuracy(partial(mlp, 3, width, act), ADAM)
        print(f"width {width:<4} rate {rate:<5} keeps {width * (1 - rate):5.1f}  {found:.2f}", flush=True)
    for rate in (0.0, 0.1, 0.3, 0.5):
        found = mean_accuracy(lambda rate=rate: nn.Sequential(mlp(3), nn.Dropout(rate)), ADAM)
        print(f"behind the output, rate {rate:<4} {found:.2f}", flush=True)


def normalized(depth: int, norm: Callable[[int], nn.Module]) -> nn.Sequential:
    """A plain network with a normalization behind each hidden weight."""
    hidden = [p for i in range(depth) for p in (nn.Linear(64, 64, bias=not i), norm(64), nn.ReLU())]
    return nn.Sequential(*hidden, nn.Linear(64, 10))


def batch_sizes() -> None:
    """Batch normalization by batch size, two hidden layers, with and without."""
    for batch in (2, 3, 4, 5, 6, 8, 16, 32):
        without = mean_accuracy(partial(mlp, 3), ADAM, batch=batch)
        found = mean_accuracy(lambda: normalized(2, nn.BatchNorm1d), ADAM, batch=batch)
        print(f"batch {batch:<3} batch norm {found:.2f}  without {without:.2f}", flush=True)


def penalty() -> None:
    """L2 weight decay: its gradient over that of the data at the start."""
    for decay in (0.0, 5e-4, 5e-3, 0.05, 0.1, 0.2, 1.0):
        cells = []
        for name, optimizer in (("SGD", MOMENTUM), ("Adam", ADAM)):
            decayed = partial(optimizer, weight_decay=decay)
            pull = of_optimizer(evidence(partial(mlp, 3), decayed))
            cells.append(f"{name} {mean_accuracy(partial(mlp, 3), decayed):.2f}")
        print(f"decay {decay:<7} ratio {pull.ratio if pull else 0:.2g}  {'  '.join(cells)}", flush=True)


def norm_scales() -> None:
    """Normalizations whose scale is drawn from N(0, 0.02), alone or with the weights; Adam, then SGD."""

    def make(depth: int, norm: Callable[[int], nn.Module], drawn: str) -> nn.Module:
        model = normalized(depth, norm)
        for module in model:
            if (drawn != "1" and hasattr(module, "eps")) or (drawn == "all drawn" and isinstance(module, nn.Linear)):
                nn.init.normal_(module.weight, 0, 0.02)
        return model

    for norm, depth in itertools.product((nn.BatchNorm1d, nn.LayerNorm), (1, 3, 6, 12)):
        for drawn in ("1", "scales drawn", "all drawn"):
            found = [mean_accuracy(partial(make, depth, norm, drawn), o) for o in (ADAM, MOMENTUM)]
            print(f"{depth:2} {norm.__name__:12} {drawn:13} Adam {found[0]:.2f}  SGD {found[1]:.2f}", flush=True)


def head() -> None:
    """The output head scaled up: the first loss, and the best of usual rates."""
    for scale in (1, 10, 20, 40, 80, 200, 1000):

        def make(scale: float = scale) -> nn.Module:
            model = mlp(3)
            model[-1].weight.data *= scale
            return model

        best = [
            max(mean_accuracy(make, partial(Adam, lr=lr)) for lr in (1e-3, 3e-3)),
            max(mean_accuracy(make, partial(SGD, lr=lr, momentum=0.9)) for lr in (0.1, 0.03, 0.01, 0.003)),
        ]
        loss = evidence(make).tape.loss
        print(f"head times {scale:<4} first loss {loss:5.3g}  Adam {best[0]:.2f}  SGD {best[1]:.2f}", flush=True)


def best_of_rates(make: Make) -> str:
    """Accuracy with Adam at 1e-3 and 1e-2 and SGD at 0.1."""
    rates = (("Adam 1e-3", ADAM), ("Adam 1e-2", partial(Adam, lr=1e-2)), ("SGD 0.1", partial(SGD, lr=0.1)))
    return "  ".join(f"{name} {mean_accuracy(make, optimizer):.2f}" for name, optimizer in rates)


def narrow() -> None:
    """A layer of few units between two of 64."""
    print(f"no narrow layer  {best_of_rates(partial(mlp, 3))}", flush=True)
    for units in (1, 2, 4, 8):
        layers = (64, 64, units, 64)
        make = lambda sizes=layers: nn.Sequential(  # noqa: E731
            *[p for a, b in itertools.pairwise(sizes) for p in (nn.Linear(a, b), nn.ReLU())], nn.Linear(64, 10)
        )
        print(f"{units} units          {best_of_rates(make)}", flush=True)


def hidden_softmax() -> None:
    """A softmax over 64 units in the place of an activation, and its variance between samples times 64^2 (FWD210)."""
    parts = {"ReLU": nn.ReLU, "Softmax": partial(nn.Softmax, -1)}
    for acts in (("ReLU",), ("Softmax",), ("ReLU", "ReLU"), ("ReLU", "Softmax"), ("Softmax", "Softmax")):
        make = lambda acts=acts: nn.Sequential(  # noqa: E731
            *[p for act in acts for p in (nn.Linear(64, 64), parts[act]())], nn.Linear(64, 10)
        )
        tape = evidence(make).tape
        spread = [s.forward.variance_between * 64**2 for s in tape if s.op == "softmax" and s.forward]
        shown = ", ".join(f"{value:.2g}" for value in spread) or "none"
        print(f"{' '.join(acts):16} {best_of_rates(make)}  spread {shown}", flush=True)


def rates() -> None:
    """Learning rates from usual to absurd: the loss on one batch over 17 steps, relative to its start."""
    choices = [("Adam", Adam, {}, (1e-3, 0.01, 0.03, 0.1, 0.3, 1.0)), ("SGD", SGD, {}, (0.1, 0.3, 1.0, 3.0, 10.0))]
    choices += [("momentum", SGD, {"momentum": 0.9}, (0.1, 0.3, 1.0, 3.0))]
    for depth, (name, kind, given, tried) in itertools.product((2, 4), choices):
        for lr in tried:
            make, optimizer = partial(mlp, depth), partial(kind, lr=lr, **given)
            step = stepping(evidence(make, optimizer), further=16)
            after = [loss / step.before for loss in step.losses]
            found = mean_accuracy(make, optimizer)
            print(
                f"{depth} layers {name:8} {lr:<5}  one step {after[0]:8.3g}  highest {max(after):8.3g}  "
                f"lowest of the second half {min(after[len(after) // 2 :]):8.3g}  accuracy {found:.2f}",
                flush=True,
            )


def kept_gradients() -> None:
    """Gradients that nothing zeroes."""
    for name, optimizer in (
        ("SGD 0.1", partial(SGD, lr=0.1)),
        ("SGD 0.01", partial(SGD, lr=0.01)),
        ("momentum 0.01", partial(SGD, lr=0.01, momentum=0.9)),
        ("Adam 1e-3", ADAM),
        ("Adam 1e-2", partial(Adam, lr=1e-2)),
    ):
        found = [mean_accuracy(partial(mlp, 2), optimizer, zero_grad=zero) for zero in (True, False)]
        print(f"{name:14} zeroed {found[0]:.2f}  kept {found[1]:.2f}", flush=True)


def shuffled() -> None:
    """Trained on 32 images for 50 steps of Adam at 3e-3, as TRN902 does: accuracy on 32 others."""
    own, control = [], []
    for seed in range(5):
        found = evidence(partial(mlp, 3))
        generator = torch.Generator().manual_seed(seed)
        halves = torch.randperm(64, generator=generator).split(32)
        labels = Y[:64].clone()
        own.append(_score(found, halves, labels))
        labels[halves[0]] = labels[halves[0]][torch.randperm(32, generator=generator)]
        control.append(_score(found, halves, labels))
    print(f"labels {min(own):.2f} to {max(own):.2f}  shuffled {min(control):.2f} to {max(control):.2f}", flush=True)


def dead_starts() -> None:
    """15 ReLU layers of 5 units: how many of 100 starts are dead, redrawn by TRN903 and drawn afresh."""

    def make() -> nn.Module:
        model = mlp(15, 5)
        for p in model.parameters():
            nn.init.kaiming_normal_(p) if p.dim() > 1 else nn.init.zeros_(p)
        return model

    draws = int(REDRAWS)
    for seed in range(4):
        torch.manual_seed(seed)
        redrawn = redraw(make(), X[:256], batch=256, draws=draws, seed=0)
        fresh = sum(float(make()(X[:256]).std(0).max()) < 1e-6 for _ in range(draws))
        dead = sum(spread < COLLAPSE.error for spread in redrawn)
        print(f"seed {seed}: dead of {draws}: redrawn {dead}  fresh {fresh}", flush=True)


TABLES = (
    starts, residual, dropout, batch_sizes, penalty, norm_scales, head, narrow, hidden_softmax, rates, kept_gradients,
    shuffled, dead_starts,
)  # fmt: skip

if __name__ == "__main__":
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    for table in TABLES:
        if not sys.argv[1:] or table.__name__ in sys.argv[1:]:
            print(f"\n{table.__name__}. {table.__doc__}\n", flush=True)
            table()
