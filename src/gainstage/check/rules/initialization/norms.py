"""The rule about scales of normalizations that were drawn like weights."""

from collections.abc import Iterator
from math import inf

import torch

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.facts.symptoms import severity
from gainstage.check.findings import Found, Value
from gainstage.check.quantity import Limit, Quantity

SCATTER = Quantity(
    "mean of a normalization's scale over the scatter of its entries",
    error=Limit(
        1.0,
        "Scales around 1 have a mean of 50 scatters, those that were drawn around 0 less than one.",
    ),
)
DRAWN_DEPTH = Limit(
    10,
    "Normalizations in a row with scales from N(0, 0.02). Digits, Adam and SGD, weights drawn alike: 0.97 and 0.96 "
    "with 6, 0.64 and 0.45 with 12 batch normalizations; 0.09 and 0.09 with 12 layer normalizations.",
)
DRAWN_ENTRIES = Limit(8, "Entries of a scale, from which a mean and a scatter can be told.")


@rule("INI111", "error", explains=("INI104", "NRM408"))
def drawn_norm_scale(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Finds scales of normalizations whose entries scatter around 0, as those of a weight do.

    ## Why is this bad?
    A normalization starts with a scale of 1. A loop over all parameters that draws each from N(0, 0.02) hits the scales
    as well: each normalization then hands on a fiftieth of the signal, and turns half of its channels around.

    ## Known problems
    Scales that are 0 (the last of a residual branch) or another number everywhere are not reported. A few do little
    harm (digits, 6 batch normalizations: 0.97 with Adam either way), and are a note unless signal or gradient vanish.

    ## Example
    ```python
    layers = [layer for _ in range(6) for layer in (nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU())]
    model = nn.Sequential(nn.Linear(8, 64), *layers, nn.Linear(64, 4))
    for p in model.parameters():
        nn.init.normal_(p, 0, 0.02)
    ```

    ## Use instead
    ```python
    layers = [layer for _ in range(6) for layer in (nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU())]
    model = nn.Sequential(nn.Linear(8, 64), *layers, nn.Linear(64, 4))
    for p in model.parameters():
        if p.dim() > 1:
            nn.init.normal_(p, 0, 0.02)
    ```

    ## References
    Ioffe, Szegedy, *Batch Normalization*, ICML 2015; Radford, Metz, Chintala, *DCGAN*, 2016 (whose code draws the
    scales from N(1, 0.02)).
    """
    evidence.measured()
    sites = {own["scale"]: site for site, own in evidence.graph.norm_calls.items() if "scale" in own}
    scales = {name: evidence.values[name] for name in sites if name in evidence.trainable}
    if not scales:
        raise NotMeasured("no normalization has a trainable scale")
    values = [p.double() for p in scales.values()]
    numbers = torch.stack([torch.stack([v.mean(), v.std(correction=0)]).cpu() for v in values])
    bad: dict[str, float] = {}
    worst = inf
    for (name, p), (mean, std) in zip(scales.items(), numbers.tolist(), strict=True):
        if p.numel() < DRAWN_ENTRIES or std == 0:
            continue
        value = SCATTER(abs(mean) / std, name)
        if value.number < SCATTER.error:
            bad[name] = std
            worst = min(worst, value.number)
        else:
            yield value
    if bad:
        first = next(iter(bad))
        in_the_way = sum(sites[name] in evidence.cuts for name in bad)
        felt = severity(evidence, "FWD201", "FWD202", "BWD301")
        yield Found(
            "warning" if felt == "note" and in_the_way >= DRAWN_DEPTH else felt,
            first,
            measured=f"the scales of {len(bad)} of {len(scales)} normalizations scatter around 0 by {bad[first]:.2g}",
            expected="1 everywhere",
            message=f"each of these normalizations hands on {bad[first]:.2g} of the level that it makes",
            fix=evidence.fix("fill the scales with 1: gs.initialize(model, example)", list(bad)),
            value=SCATTER(worst),
        )
