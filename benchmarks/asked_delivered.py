"""What was asked for and what is delivered: regularization, statistics and stopping, ours beside others'.

    python benchmarks/asked_delivered.py [--write benchmarks/results/asked_delivered.md] [--only dropblock,cutmix]

A peer that cannot be imported is listed as not installed. Peers may lie anywhere on PYTHONPATH, for instance from
`pip install --no-deps --target DIR timm torchvision fvcore iopath yacs portalocker pytorch-ignite torchensemble`.
Seeds are fixed; rates are means over so many draws that their last digit may be off by one.
"""

import argparse
import itertools
import logging
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, nll_loss
from torch.utils.data import DataLoader, TensorDataset

from gainstage import train
from gainstage.nn import drop
from peers import Row, compare, peer, table, versions

TOPICS: dict[str, Callable[[], Iterator[Row]]] = {}


def topic(function: Callable[[], Iterator[Row]]) -> Callable[[], Iterator[Row]]:
    TOPICS[function.__name__] = function
    return function


# ------------------------------------------------------------------------------------------------------ dropping


@topic
def dropblock() -> Iterator[Row]:
    """The share that is dropped, on average and at the positions where it is least and most."""
    timm, vision = peer("timm.layers"), peer("torchvision.ops")
    for size, block, p in [*itertools.product([14], [7], [0.1, 0.25, 0.5]), (7, 7, 0.1), (32, 4, 0.1), (14, 1, 0.1)]:

        def rate(make: Callable[[float, int], nn.Module], size: int = size, block: int = block, p: float = p) -> str:
            layer, at, draws = make(p, block).train(), torch.zeros(size, size), 40
            for _ in range(draws):
                at += (layer(torch.ones(32, 32, size, size)) == 0).float().mean((0, 1)) / draws
            return f"{at.mean():.3f}, positions {at.min():.3f} to {at.max():.3f}"

        tools = {
            "gainstage": drop.DropBlock2d,
            "timm": timm and (lambda p, block: timm.DropBlock2d(p, block, couple_channels=False)),
            "torchvision": vision and vision.DropBlock2d,
        }
        yield from compare(f"DropBlock2d, block {block} on {size}x{size}", f"{p:.3f} everywhere", tools, rate)


@topic
def droppath() -> Iterator[Row]:
    """The share of branches that are 0; at rate 1 also where the branch overflowed."""
    timm, vision = peer("timm.layers"), peer("torchvision.ops")
    for name, p, branch in (("DropPath", 0.1, 1.0), ("DropPath of a branch that overflowed", 1.0, math.inf)):

        def rate(layer: nn.Module, branch: float = branch) -> str:
            y = layer.train()(torch.full((100_000, 1), branch))
            return f"{(y == 0).float().mean():.3f} are 0, {y.isnan().float().mean():.3f} NaN"

        tools = {
            "gainstage": drop.DropPath(p),
            "timm": timm and timm.DropPath(p),
            "torchvision": vision and vision.StochasticDepth(p, "row"),
        }
        yield from compare(name, f"{p:.3f} are 0", tools, rate)


@topic
def alpha() -> Iterator[Row]:
    """Mean and variance of a standard normal input afterwards."""

    def moments(layer: nn.Module) -> str:
        y = layer.train()(torch.randn(4_000_000))
        return f"mean {abs(y.mean()):.3f}, variance {y.var():.3f}"

    for p in (0.1, 0.5):
        tools = {"gainstage": drop.AlphaDropout(p), "torch": nn.AlphaDropout(p), "torch Dropout": nn.Dropout(p)}
        yield from compare(f"AlphaDropout({p}) of N(0, 1)", "mean 0, variance 1", tools, moments)


# -------------------------------------------------------------------------------------------------------- mixing

Mix = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def mixers(kind: str) -> dict[str, Mix | None]:
    """Functions of a batch and its classes (of 4) to mixed samples and soft targets."""
    timm, vision = peer("timm.data"), peer("torchvision.transforms.v2")
    mixer = train.Mixer(**{kind: 1.0})

    def ours(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        mixed, target = mixer(x, y)
        return mixed, target.soft(4)

    alphas = {"mixup_alpha": float(kind == "mixup"), "cutmix_alpha": float(kind == "cutmix")}
    return {
        "gainstage": ours,
        "timm": timm and timm.Mixup(**alphas, num_classes=4, label_smoothing=0.0),
        "torchvision": vision and {"mixup": vision.MixUp, "cutmix": vision.CutMix}[kind](num_classes=4),
    }


@topic
def cutmix() -> Iterator[Row]:
    """The largest difference between the share of the labels and that of the pixels."""

    def error(mix: Mix) -> str:
        worst, y = 0.0, torch.arange(4)
        for _ in range(300):
            mixed, soft = mix(y.view(4, 1, 1, 1).expand(4, 1, 15, 11).float().clone(), y)
            pixels = (mixed.flatten(1)[:, :, None] == torch.arange(4)).float().mean(1)
            worst = max(worst, float((pixels - soft).abs().max()))
        return f"{worst:.3f}"

    yield from compare("cutmix, label share against pixel share", "difference 0.000", mixers("cutmix"), error)


@topic
def mixup() -> Iterator[Row]:
    """Which batches and targets are mixed at all, and at what cost to the caller."""

    def leaves_the_input_alone(mix: Mix) -> str:
        x = torch.rand(4, 1, 6, 6)
        before = x.clone()
        mix(x, torch.arange(4))
        return "yes" if torch.equal(x, before) else "no: the input is overwritten"

    def follows_the_seed(mix: Mix) -> str:
        x, outputs = torch.rand(4, 1, 6, 6), []
        for _ in range(2):
            torch.manual_seed(1)
            outputs.append(mix(x.clone(), torch.arange(4))[0])
        return "yes" if torch.equal(*outputs) else "no: the same seed gives another result"

    def takes_regression_targets(mix: Mix) -> str:
        y = torch.tensor([0.5, 1.5, 2.5, 3.5])
        soft = mix(torch.rand(4, 1, 6, 6), y)[1]
        return "yes" if soft.shape == y.shape and soft.is_floating_point() else "no: other targets come back"

    def mixes(n: int, *shape: int) -> Callable[[Mix], str]:
        def answer(mix: Mix) -> str:
            mix(torch.rand(4, *shape), torch.arange(4))  # a batch before
            x = torch.rand(n, *shape)
            same = torch.allclose(mix(x.clone(), torch.arange(n))[0], x, rtol=1e-4)
            return "no: returned as it came" if same else "yes"

        return answer

    questions = {
        "input left alone": leaves_the_input_alone,
        "follows torch.manual_seed": follows_the_seed,
        "odd batch": mixes(3, 1, 6, 6),
        "batch of 1 after another": mixes(1, 1, 6, 6),
        "regression targets": takes_regression_targets,
        "vectors": mixes(4, 6),
        "sequences": mixes(4, 3, 6),
    }
    for question, ask in questions.items():
        yield from compare(f"mixup, {question}", "yes", mixers("mixup"), ask)


# ---------------------------------------------------------------------------------- statistics, stopping, ensembles


@topic
def precise_batchnorm() -> Iterator[Row]:
    """The variance of the population, of a feature far from 0, in batches of unequal size."""
    fvcore = peer("fvcore.nn")

    def variance(update: Callable[[nn.Module, list[Tensor]], object]) -> str:
        x = (1000 + 0.01 * torch.randn(4096, 1, dtype=torch.float64)).float()
        model = nn.BatchNorm1d(1).train()
        update(model, [*x.split(500)])  # the last has 96
        return f"{model.running_var.item() / x.double().var().item():.3f} of it"

    tools = {
        "gainstage": train.update_batchnorm,
        "torch update_bn": lambda model, batches: torch.optim.swa_utils.update_bn(batches, model),
        "fvcore": fvcore and (lambda model, batches: fvcore.update_bn_stats(model, batches, len(batches))),
    }
    yield from compare("BatchNorm statistics, mean 1000, std 0.01", "the population's variance", tools, variance)


@topic
def early_stopping() -> Iterator[Row]:
    """When a run is stopped that got worse, or whose loss is NaN."""
    engine, handlers = peer("ignite.engine"), peer("ignite.handlers")

    def ours(losses: list[float], least: float) -> int | None:
        stopper = train.EarlyStopping(
            "loss", patience=2, mode="min", min_delta=least, relative=least > 0, on_nonfinite="wait"
        )
        return next((epoch for epoch, loss in enumerate(losses) if stopper.step(loss)), None)

    def ignite(losses: list[float], least: float) -> int | None:
        trainer, left = engine.Engine(lambda *_: None), iter(losses)
        options = {"threshold": least, "threshold_mode": "rel" if least else "abs", "mode": "min"}
        stopper = handlers.EarlyStopping(2, lambda _: next(left), trainer, **options)
        for epoch in range(len(losses)):
            stopper(trainer)
            if trainer.should_terminate:
                return epoch
        return None

    cases = {
        "loss 1, then NaN; patience 2": ([1.0] + [math.nan] * 5, 0.0),
        "loss from -10 up by 0.1; patience 2, at least 2 % better": ([-10 + 0.1 * i for i in range(6)], 0.02),
    }
    for name, (losses, least) in cases.items():

        def when(stop: Any, losses: list[float] = losses, least: float = least) -> str:
            epoch = stop(losses, least)
            return "never stops" if epoch is None else f"stops at epoch {epoch}"

        tools = {"gainstage": ours, "ignite": handlers and ignite}
        yield from compare(f"early stopping, {name}", "stops at epoch 2", tools, when)


@topic
def ensemble() -> Iterator[Row]:
    """How much members made from one network differ, and what is reported as their loss."""
    other = peer("torchensemble")

    def voting(members: list[nn.Module] | None = None) -> Any:
        model = other.VotingClassifier(estimator=nn.Linear(2, 3), n_estimators=3, cuda=False)
        model.estimators_ = nn.ModuleList(members or (model._make_estimator() for _ in range(3)))
        model.set_criterion(nn.CrossEntropyLoss())  # its default
        return model

    def spread(make: Callable[[], nn.ModuleList]) -> str:
        first, *rest = [nn.utils.parameters_to_vector(member.parameters()).detach() for member in make()]
        return f"members differ by {max((first - vector).abs().max().item() for vector in rest):.3f}"

    tools = {
        "gainstage": lambda: train.Ensemble([nn.Linear(2, 3)] * 3).members,
        "gainstage make": lambda: train.Ensemble.make(lambda _: nn.Linear(2, 3), 3).members,
        "torchensemble": other and (lambda: voting().estimators_),
    }
    yield from compare("ensemble of 3 from one network", "different or refused", tools, spread)

    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(2000, 2, generator=generator), torch.tensor([[3.0, 0.0], [0.0, 3.0], [-3.0, 0.0]])
    y = (x @ weight.T).argmax(1)
    members = [nn.Linear(2, 3) for _ in range(3)]
    for i, member in enumerate(members, start=1):
        member.weight.data, member.bias.data = weight * i, torch.zeros(3)
    exact = nll_loss(torch.stack([(x @ weight.T * i).softmax(1) for i in (1, 2, 3)]).mean(0).log(), y)
    batches = DataLoader(TensorDataset(x, y), batch_size=500)
    losses = {
        "gainstage": lambda: cross_entropy(train.Ensemble(members).predict(x), y).item(),
        "torchensemble": other and (lambda: voting(members).evaluate(batches, return_loss=True)[1]),
    }
    yield from compare("cross-entropy of 3 averaged networks", f"{exact:.3f}", losses, lambda loss: f"{loss():.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, help="write the table to this file too")
    parser.add_argument("--only", default=",".join(TOPICS), help=f"of {', '.join(TOPICS)}")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    text = table([row for name in options.only.split(",") for row in TOPICS[name]()])
    text += f"\n\n{versions('torch', 'timm', 'torchvision', 'fvcore', 'pytorch-ignite', 'torchensemble')}"
    print(text)
    if options.write:
        options.write.write_text(f"{text}\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
