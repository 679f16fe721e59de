"""The rule about scales of normalizations that were drawn like weights."""

from collections.abc import Iterator

import torch

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.facts.signal import cuts
from gainstage.check.facts.symptoms import severity
from gainstage.check.findings import Found
from gainstage.check.thresholds import DRAWN_DEPTH, DRAWN_ENTRIES


@rule(
    "INI111",
    "drawn-norm-scale",
    "error",
    explains=("FWD201", "FWD202", "FWD204", "NRM408", "INI104", "BWD301", "BWD303", "OPT", "TRN"),
)
def drawn(evidence: Evidence) -> Iterator[Found]:
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
    bad = {
        name: std
        for (name, p), (mean, std) in zip(scales.items(), numbers.tolist(), strict=True)
        if p.numel() >= DRAWN_ENTRIES and abs(mean) < std
    }
    if bad:
        first = next(iter(bad))
        in_the_way = sum(sites[name] in evidence.once(cuts) for name in bad)
        felt = severity(evidence, "FWD201", "FWD202", "BWD301")
        yield Found(
            "warning" if felt == "note" and in_the_way >= DRAWN_DEPTH else felt,
            first,
            measured=f"the scales of {len(bad)} of {len(scales)} normalizations scatter around 0 by {bad[first]:.2g}",
            expected="1 everywhere",
            message=f"each of these normalizations hands on {bad[first]:.2g} of the level that it makes",
            fix=evidence.fix("fill the scales with 1: gs.initialize(model, example)", list(bad)),
        )
