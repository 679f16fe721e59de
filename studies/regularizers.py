"""What does a regularizer bring? Eleven papers' claims on MNIST-1D, each regularizer at its own best strength.

    python studies/regularizers.py [--seeds 10] [--workers N]        about 9 minutes of one core

Claims:

- Greydanus & Kobak, *Scaling Down Deep Learning with MNIST-1D*, ICML 2024: logistic regression, an MLP and a
  convolutional network reach 32, 68 and 94 % on these data, so that they tell the three apart.
- Srivastava et al., *Dropout*, JMLR 2014; Wan et al., *DropConnect*, ICML 2013: masks improve the accuracy.
- Zhang et al., *mixup*, ICLR 2018, and Thulasidasan et al., *On Mixup Training*, NeurIPS 2019: it improves accuracy
  and calibration. Yun et al., *CutMix*, ICCV 2019: cutmix improves accuracy, more than mixup.
- Szegedy et al., *Rethinking the Inception Architecture*, CVPR 2016, and Müller et al., *When Does Label Smoothing
  Help?*, NeurIPS 2019: it improves accuracy and calibration.
- Loshchilov & Hutter, *Decoupled Weight Decay Regularization*, ICLR 2019: decay apart from Adam's step generalizes.
- Prechelt, *Early Stopping - but when?*, 1998: it costs little and guards against overfitting.
- Lakshminarayanan et al., *Deep Ensembles*, NeurIPS 2017: ensembles improve accuracy, likelihood and calibration, most
  of it with five members.

What is measured: networks of two hidden layers of 100, 3,200 training, 800 validation and 1,000 test signals, the same
for all; 2,000 steps of Adam (AdamW for weight decay) at 2e-3 with warm-up and cosine decay. The papers use large
networks on images; only the first claim was made about these data.

A seed decides the start (`gs.initialize`), the order of the batches and every mask; arms share seeds. The strength of a
regularizer is the one of `ARMS` with the best mean accuracy on the validation part. An ensemble of K is made of K plain
networks from seeds of their own. Early stopping restores the weights with the lowest validation loss; it looks every 50
steps and ends after 6 looks without improvement, within a schedule made for the whole run. The three architectures are
a `gs.Study`, with the learning rate tuned; the others need what a study does not keep, the networks' answers, and call
`fit_many`. Intervals are 95 % t intervals over the seeds, of paired differences where two arms are compared; an
accuracy counts as above that of plain where Holm's correction over all arms leaves it so. The criteria are the bare
claims, but most of these numbers had been published in the README before the criteria were written down.
"""

import argparse
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import gainstage as gs
from _common import Claim, Part, arguments, between, executor, larger, run, runs, scores, table, told, write
from gainstage.nn.drop import DropConnect, Dropout
from gainstage.study import Arm, Data, Results, Split
from gainstage.study._statistics import holm, mean_interval, paired
from gainstage.train import (
    Moment,
    calibration_error,
    combine,
    cutmix,
    disagreement,
    fit_many,
    mixup,
    negative_log_likelihood,
    predict_many,
    warmup,
)

SEEDS, SIZES = 10, (2, 5, 10)
WIDTH, STEPS, BATCH, RATE = 100, 2000, 100, 2e-3
RATES = (0.00032, 0.001, 10**-2.5, 0.01, 0.032, 0.1)  # that the architectures are tuned over
CHECK_EVERY, PATIENCE = 50, 6
TOGETHER = 20  # networks a task
GREYDANUS = {"logistic": 0.32, "MLP": 0.68, "CNN": 0.94}
CLOSE = 0.05  # of a published accuracy


def plain(strength: float = 0.0) -> nn.Module:
    return mlp(lambda layer: nn.Sequential(layer, nn.ReLU()))


def mlp(layer: Callable[[nn.Linear], nn.Module]) -> nn.Module:
    return nn.Sequential(layer(nn.Linear(40, WIDTH)), layer(nn.Linear(WIDTH, WIDTH)), nn.Linear(WIDTH, 10))


def with_dropout(p: float) -> nn.Module:
    return mlp(lambda layer: nn.Sequential(layer, nn.ReLU(), Dropout(p)))


def with_dropconnect(p: float) -> nn.Module:
    return mlp(lambda layer: DropConnect(layer, p, activation=torch.relu, per_sample=False))


def mixing(how: Callable[..., tuple[Tensor, Any]]) -> Callable[[float], dict[str, Any]]:
    def options(alpha: float) -> dict[str, Any]:
        def augment(x: Tensor, y: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
            mixed, target = how(x, y, alpha, generator=generator)
            return mixed, target.soft(10)

        return {"augment": augment}

    return options


def cut(x: Tensor, y: Tensor, alpha: float, *, generator: torch.Generator) -> tuple[Tensor, Any]:
    mixed, target = cutmix(x[:, None], y, alpha, generator=generator)  # one channel of length 40
    return mixed[:, 0], target


def smoothing(strength: float) -> dict[str, Any]:
    return {"loss": lambda output, y: F.cross_entropy(output, y, label_smoothing=strength)}


def decay(strength: float) -> dict[str, Any]:
    return {"optimizer": torch.optim.AdamW, "options": {"weight_decay": strength}}


def nothing(strength: float) -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class Regularizer:
    """Strengths to try, the network at a strength, and further options of its training."""

    strengths: tuple[float, ...]
    network: Callable[[float], nn.Module]
    options: Callable[[float], dict[str, Any]]


ARMS = {
    "dropout": Regularizer((0.1, 0.3, 0.5), with_dropout, nothing),
    "DropConnect": Regularizer((0.1, 0.3, 0.5), with_dropconnect, nothing),
    "mixup": Regularizer((0.2, 1.0), plain, mixing(mixup)),
    "cutmix": Regularizer((0.2, 1.0), plain, mixing(cut)),
    "label smoothing": Regularizer((0.1, 0.3), plain, smoothing),
    "weight decay": Regularizer((0.1, 0.3, 1.0), plain, decay),
}


@dataclass(frozen=True)
class Row:
    """One arm: a value a seed."""

    arm: str
    strength: float | None
    accuracy: list[float]
    nll: list[float]
    ece: list[float]


def data() -> Data:
    """MNIST-1D, made offline: 4,000 training samples, of which 800 are for validation, and 1,000 test samples."""
    from mnist1d.data import get_dataset_args, make_dataset

    made = make_dataset(get_dataset_args())
    x, y = torch.tensor(made["x"], dtype=torch.float32), torch.tensor(made["y"])
    test = Split(torch.tensor(made["x_test"], dtype=torch.float32), torch.tensor(made["y_test"]))
    return Data("MNIST-1D", Split(x[800:], y[800:]), Split(x[:800], y[:800]), test, 10)


def logistic() -> nn.Module:
    return nn.Linear(40, 10)


def convolutional() -> nn.Module:
    """Three convolutions that halve the signal, 40 to 20 to 10 to 5, and a head that sees positions."""
    layers: list[nn.Module] = [nn.Unflatten(1, (1, 40))]
    for inputs, width in ((1, 5), (25, 3), (25, 3)):
        layers += [nn.Conv1d(inputs, 25, width, stride=2, padding=width // 2), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(125, 10))


ARCHITECTURES = {"logistic": logistic, "MLP": plain, "CNN": convolutional}


def architectures(data: Data, seeds: int) -> gs.Study:
    arms = [Arm(model=model, name=name, batch_size=BATCH) for name, model in ARCHITECTURES.items()]
    return gs.Study(arms=arms, data=data, seeds=seeds, steps=STEPS, rates=RATES)


def started(make: Callable[[], nn.Module], seeds: Sequence[int], x: Tensor) -> list[nn.Module]:
    models = [make() for _ in seeds]
    plan = gs.plan(models[0].eval(), x)
    for seed, model in zip(seeds, models, strict=True):
        plan.apply(model, seed=seed)
    return models


def trained(arm: Regularizer, strength: float, data: Data, seeds: Sequence[int], **more: Any) -> list[nn.Module]:
    models = started(lambda: arm.network(strength), seeds, data.train.x[:BATCH])
    settings = {"loss": F.cross_entropy, "lr": RATE, "steps": STEPS, "batch_size": BATCH, "seeds": seeds}
    settings |= {"schedule": warmup(100, total=STEPS), "together": True}
    fits = fit_many(models, *data.train, **settings | arm.options(strength) | more)
    assert not any(fit.diverged for fit in fits)
    return models


def answers(arm: Regularizer, strength: float, data: Data, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Scores `[members, n, 10]` of trained networks on the validation and the test part; what a worker does."""
    torch.set_num_threads(1)
    models = trained(arm, strength, data, seeds)
    return predict_many(models, data.validation.x), predict_many(models, data.test.x)


def stopped_early(data: Data, seeds: Sequence[int]) -> Tensor:
    """Scores `[members, n, 10]` on the test part of plain networks that stop by the validation part."""
    torch.set_num_threads(1)
    stopping = BestSoFar(data.validation, len(seeds))
    models = trained(Regularizer((), plain, nothing), 0.0, data, seeds, on_step=[stopping])
    for model, state in zip(models, stopping.state, strict=True):
        model.load_state_dict(state)
    return predict_many(models, data.test.x)


class BestSoFar:
    """Early stopping of every member on its own: the weights with the lowest validation loss."""

    def __init__(self, validation: Split, count: int) -> None:
        self.x, self.y = validation
        self.best = [float("inf")] * count
        self.at = [0] * count
        self.state: list[dict[str, Tensor]] = [{} for _ in range(count)]

    def __call__(self, moment: Moment) -> None:
        if (moment.number + 1) % CHECK_EVERY:
            return
        for k, own in zip(moment.members, moment.outputs(self.x), strict=True):
            loss = negative_log_likelihood(own, self.y)
            if loss < self.best[k]:
                self.best[k], self.at[k], self.state[k] = loss, moment.number, moment.state(k)
            elif moment.number - self.at[k] >= PATIENCE * CHECK_EVERY:
                moment.stop(k)


def row(arm: str, strength: float | None, scores: Tensor, y: Tensor) -> Row:
    hits = [float((own.argmax(1) == y).double().mean()) for own in scores]
    nll = [negative_log_likelihood(own, y) for own in scores]
    return Row(arm, strength, hits, nll, [calibration_error(own, y) for own in scores])


def measure(data: Data, workers: Executor, seeds: int) -> tuple[list[Row], float]:
    """All rows, and the mean disagreement between two plain networks."""
    everyone = range(seeds * max(SIZES))  # members of ensemble s: s, s + seeds, s + 2 seeds, ...
    alone = Regularizer((), plain, nothing)
    pool = [
        workers.submit(answers, alone, 0.0, data, everyone[i : i + TOGETHER]) for i in range(0, len(everyone), TOGETHER)
    ]
    tried = {
        name: [workers.submit(answers, arm, strength, data, range(seeds)) for strength in arm.strengths]
        for name, arm in ARMS.items()
    }
    early = workers.submit(stopped_early, data, range(seeds))
    y = data.test.y
    found = torch.cat([future.result()[1] for future in pool])
    rows = [row("plain", None, found[:seeds], y)]
    for name, arm in ARMS.items():
        made = [future.result() for future in tried[name]]
        hits = [float((own.argmax(2) == data.validation.y).double().mean()) for own, _ in made]
        best = max(range(len(hits)), key=hits.__getitem__)
        rows.append(row(name, arm.strengths[best], made[best][1], y))
    rows.append(row("early stopping", None, early.result(), y))
    for size in SIZES:
        members = [found[s::seeds][:size] for s in range(seeds)]
        rows.append(row(f"ensemble of {size}", None, torch.stack([combine(own) for own in members]), y))
    pairs = disagreement(found[:seeds])
    return rows, float(pairs.sum() / (seeds * (seeds - 1)))


def claims(rows: Sequence[Row], of_architectures: dict[str, Sequence[float]]) -> list[Claim]:
    """What the papers say, judged by the rows and by the accuracies of the three architectures."""
    by, all_of = {own.arm: own for own in rows}, of_architectures
    step = 1 / 1000

    to_plain = {name: paired(own.accuracy, by["plain"].accuracy, resolution=step).p for name, own in by.items()}
    del to_plain["plain"]
    adjusted = dict(zip(to_plain, holm(list(to_plain.values())), strict=True))

    def better(name: str, than: str = "plain") -> Part:
        found = larger(
            f"accuracy of {name} above that of {than}", by[name].accuracy, by[than].accuracy, resolution=step
        )
        return Part(found.criterion, found.measured, found.holds and (than != "plain" or adjusted[name] < 0.05))

    def lower(what: str, name: str) -> Part:
        told_as = {"ece": "calibration error", "nll": "negative log-likelihood"}[what]
        return smaller(f"{told_as} of {name} below that of plain", getattr(by[name], what), getattr(by["plain"], what))

    def most(what: str, sign: float) -> Part:
        """Five members bring more than half of what ten bring."""
        one, five, ten = (getattr(by[name], what) for name in ("plain", "ensemble of 5", "ensemble of 10"))
        gains = [sign * (b - a) - 0.5 * sign * (c - a) for a, b, c in zip(one, five, ten, strict=True)]
        named = {"accuracy": "accuracy", "nll": "log-likelihood"}[what]
        found = larger(f"five members bring more than half of the {named} that ten bring", gains, [0.0] * len(gains))
        bring = fmean(ten) - fmean(one)
        some = sign * bring > 0
        measured = f"{100 * (fmean(five) - fmean(one)) / bring:.0f} % of it" if some else "ten bring none"
        return Part(found.criterion, measured, some and found.holds)

    early = larger(
        "its accuracy not more than 0.01 below plain",
        by["early stopping"].accuracy,
        by["plain"].accuracy,
        by=-0.01,
        resolution=step,
    )
    guards = lower("nll", "early stopping")
    reached = [
        between(
            f"{name}: within {CLOSE} of {GREYDANUS[name]}",
            all_of[name],
            GREYDANUS[name] - CLOSE,
            GREYDANUS[name] + CLOSE,
        )
        for name in ARCHITECTURES
    ]
    apart = [
        larger(f"{b} better than {a} by more than 0.2", all_of[b], all_of[a], by=0.2, resolution=step)
        for a, b in (("logistic", "MLP"), ("MLP", "CNN"))
    ]
    return [
        Claim("Greydanus & Kobak: these data tell a logistic regression, an MLP and a CNN apart", tuple(apart)),
        Claim("Greydanus & Kobak: they reach 32, 68 and 94 %", tuple(reached)),
        Claim("Srivastava et al.: dropout improves accuracy", (better("dropout"),)),
        Claim("Wan et al.: DropConnect improves accuracy", (better("DropConnect"),)),
        Claim("Zhang et al.: mixup improves accuracy", (better("mixup"),)),
        Claim("Thulasidasan et al.: mixup improves calibration", (lower("ece", "mixup"),)),
        Claim("Yun et al.: cutmix improves accuracy, more than mixup", (better("cutmix"), better("cutmix", "mixup"))),
        Claim("Szegedy et al.: label smoothing improves accuracy", (better("label smoothing"),)),
        Claim("Müller et al.: label smoothing improves calibration", (lower("ece", "label smoothing"),)),
        Claim("Loshchilov & Hutter: decoupled weight decay improves accuracy", (better("weight decay"),)),
        Claim("Prechelt: early stopping costs little, and guards against overfitting", (early, guards)),
        Claim(
            "Lakshminarayanan et al.: ensembles improve accuracy, likelihood and calibration",
            (better("ensemble of 5"), lower("nll", "ensemble of 5"), lower("ece", "ensemble of 5")),
        ),
        Claim("Lakshminarayanan et al.: most of it with five members", (most("accuracy", 1.0), most("nll", -1.0))),
    ]  # fmt: skip


def smaller(criterion: str, a: Sequence[float], b: Sequence[float]) -> Part:
    """Holds where the 95 % interval of the mean of `a - b` lies below 0."""
    found = paired(a, b)
    return Part(criterion, told(found.difference, found.low, found.high), found.high < 0)


def markdown(rows: Sequence[Row]) -> str:
    """The table of the README."""
    lines = [
        "| arm | strength | accuracy, % | to plain, % | NLL | ECE |",
        "|---|---|---|---|---|---|",
    ]
    for own in rows:
        gain = paired(own.accuracy, rows[0].accuracy)
        difference = (
            "" if own is rows[0] else f"{100 * gain.difference:+.1f} ± {100 * (gain.high - gain.difference):.1f}"
        )
        strength = "" if own.strength is None else f"{own.strength:g}"
        accuracy = around([100 * value for value in own.accuracy], 1)
        lines.append(
            f"| {own.arm} | {strength} | {accuracy} | {difference} | {around(own.nll, 2)} | {around(own.ece, 3)} |"
        )
    return "\n".join(lines)


def around(values: Sequence[float], digits: int) -> str:
    """Mean ± half of its interval."""
    mean, _, high = mean_interval(values)
    return f"{mean:.{digits}f} ± {high - mean:.{digits}f}"


def shown(results: Results) -> str:
    rows = [
        (
            name,
            results.arms[i].lr,
            GREYDANUS[name],
            results.summary(i).mean,
            results.summary(i).low,
            results.summary(i).high,
        )
        for i, name in enumerate(results.labels)
    ]
    return table(("architecture", "lr", "published", "mean", "low", "high"), rows)


def study(asked: argparse.Namespace) -> None:
    own = data()
    results = run(architectures(own, asked.seeds), asked)
    with executor(asked.workers) as workers:
        rows, differ = measure(own, workers, asked.seeds)
    settings = {"width": WIDTH, "steps": STEPS, "batch": BATCH, "lr": RATE, "seeds": asked.seeds}
    write(
        "regularizers",
        __doc__,
        results=[results],
        sections=[
            shown(results),
            markdown(rows),
            f"Two plain networks disagree on {100 * differ:.1f} % of the test samples.",
        ],
        claims=claims(rows, {name: scores(results, model=model) for name, model in ARCHITECTURES.items()}),
        data={
            "settings": settings,
            "disagreement": differ,
            "rows": [asdict(each) for each in rows],
            "architectures": runs(results),
        },
    )


if __name__ == "__main__":
    study(arguments(__doc__, seeds=SEEDS))
