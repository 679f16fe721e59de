"""Rules about where a normalization stands and how it is set."""

from collections.abc import Iterator

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.facts.dropout import drops, feeds_norm
from gainstage.check.facts.symptoms import harm
from gainstage.check.findings import Found, Value
from gainstage.check.quantity import Limit, Quantity
from gainstage.check.repairs import small_epsilons
from gainstage.signal import Site, ops

SHIFT = Quantity(
    "variance in training over that in evaluation, of what a batch normalization behind dropout reads",
    note=Limit(1.0, "Without dropout in front it is the same in both modes."),
)


@rule("NRM407", "note")
def norm_after_dropout(evidence: Evidence) -> Iterator[Found | Value]:
    r"""## What it does
    Finds dropout right in front of a batch normalization, or with one weight in between, and computes from the measured
    moments how much larger the variance is with dropout than without.

    ## Why is this bad?
    Dropout raises the variance in training, to
    $(\mathrm{E}[x^2] / (1 - p) - \mathrm{E}[x]^2) / \mathrm{Var}[x]$ of its value, and the running statistics learn
    that; in evaluation dropout is off, and the normalization divides by too much.

    ## Known problems
    Wide ResNets do so and work; rates of 0.1 or so shift little.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Dropout(0.5), nn.BatchNorm1d(64), nn.Linear(64, 4))
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 4))
    ```

    ## References
    Li, Chen, Hu, Yang, *Understanding the Disharmony between Dropout and Batch Normalization by Variance Shift*, CVPR
    2019.
    """
    evidence.measured()
    sites = [site for site in evidence.tape.sites if site.op == "batch_norm"]
    if not sites or not drops(evidence):
        raise NotMeasured("no batch normalization, or no dropout that is switched on")
    found = [(site, drop) for site in sites if (drop := feeds_norm(evidence, site.index)) is not None]
    if not found:
        return
    site, drop = max(found, key=lambda pair: pair[1].rate)
    moments = evidence.tape.sites[evidence.made_by(drop.site.index)].forward
    growth, value = "", None
    if moments is not None and drop.rate < 1 and (variance := moments.mean_square - moments.mean**2) > 0:
        factor = (moments.mean_square / (1 - drop.rate) - moments.mean**2) / variance
        value = SHIFT(factor)
        growth = f": in training the variance is about {factor:.2g} times that in evaluation"
    yield Found(
        "note",
        site.name,
        measured=f"reads a signal behind dropout of {drop.rate:g}{growth}"
        + (f"; so do {len(found) - 1} others" if len(found) > 1 else ""),
        expected="dropout behind the last batch normalization",
        message="the running statistics hold the variance with dropout, and evaluation has none",
        fix=evidence.fix("move the dropout behind the last batch normalization, or leave it out", []),
        value=value,
    )


SHARE = Quantity(
    "variance that a normalization reads over its epsilon",
    note=Limit(1.0, "Below it epsilon is the larger one: it divides by a constant."),
    warning=Limit(1e-3, "Its output has 3 % of the standard deviation that it should. Zoo: lowest 0.6."),
)


@rule("NRM408", "note", explains=("FWD201", "FWD203"))
def large_epsilon(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Compares the epsilon of each normalization with the variance of the signal that it reads.

    ## Why is this bad?
    Where epsilon is the larger one, the normalization divides by a constant: it does not normalize. The usual reason
    is a momentum written in the place of epsilon: `nn.BatchNorm1d(64, 0.8)`.

    ## Known problems
    A signal that is 0 everywhere, as behind a weight that starts at zero, is not reported. A note, unless the signal
    vanishes or explodes further on, or hardly anything of it is left.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.BatchNorm1d(64, 0.8), nn.ReLU(), nn.Linear(64, 4))
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.BatchNorm1d(64, momentum=0.2), nn.ReLU(), nn.Linear(64, 4))
    ```

    ## References
    PyTorch documentation, `torch.nn.BatchNorm1d(num_features, eps, momentum)`.
    """
    evidence.measured()
    judged = [(site, eps) for site in evidence.tape.sites if (eps := _eps(evidence, site)) is not None]
    if not judged:
        raise NotMeasured("the model calls no normalization of torch with an epsilon")
    read = [(site, eps, v) for site, eps in judged if eps > 0 and (v := _variance(evidence, site)) > 0]
    idle = [(site, eps, v) for site, eps, v in read if v < eps]
    if not idle:
        yield from (SHARE(v / eps, site.name) for site, eps, v in read)
        return
    site, eps, variance = min(idle, key=lambda row: row[2] / row[1])
    felt = harm(evidence, "FWD201", "FWD202", "FWD203", "BWD301")
    yield Found(
        "note"
        if 2 * len(idle) < len(judged)
        else felt.severity
        if felt is not None
        else "warning"
        if variance / eps < SHARE.warning and evidence.cut(site.index)
        else "note",
        site.name,
        measured=f"epsilon {eps:g}, variance of its input {variance:.2g}"
        + (f"; so in {len(idle)} of {len(judged)} normalizations" if len(idle) > 1 else ""),
        expected="an epsilon far below the variance; 1e-5 is usual",
        message=f"its output has {(variance / (variance + eps)) ** 0.5:.2g} of the standard deviation that it should",
        fix=evidence.fix(
            f"eps=1e-5; if {eps:g} was meant as Keras's momentum, write momentum={1 - eps:.3g}"
            if 1e-2 <= eps < 1
            else "raise the signal in front of it, or lower eps",
            [],
            small_epsilons,
        ),
        value=SHARE(variance / eps),
    )


def _eps(evidence: Evidence, site: Site) -> float | None:
    if (
        site.kind != "op"
        or ops.of(site).kind != "norm"
        or site.op == "normalize"
        or site.index in evidence.graph.constant
    ):
        return None
    if site.op == "batch_norm" and ops.argument(site, "training", False) is not True:
        return None
    eps = ops.argument(site, "eps")
    return float(eps) if isinstance(eps, float | int) and site.inputs else None


def _variance(evidence: Evidence, site: Site) -> float:
    """Variance of all entries that the site reads; 0 where nothing was measured there."""
    moments = evidence.tape.sites[evidence.made_by(site.inputs[0].site)].forward
    return moments.mean_square - moments.mean**2 if moments is not None else 0.0
