"""The rule about embeddings that are the output head as well."""

from collections.abc import Iterator
from math import log, sqrt

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.facts.symptoms import harm
from gainstage.check.findings import Found, Value
from gainstage.check.quantity import Limit, Quantity

TIED_LOGITS = Quantity(
    "RMS of the logits that a tied embedding makes",
    warning=Limit(3.0, "A first loss of about ln C + 4.5. Zoo: highest 1.0 (T5), then 0.83 (Mamba)."),
)


@rule("INI110", "warning", explains=("FWD203",))
def tied_embedding_scale(evidence: Evidence) -> Iterator[Found | Value]:
    r"""## What it does
    Where an embedding is the weight of the output head, too, measures the logits that it makes.

    ## Why is this bad?
    `nn.Embedding` starts with a standard deviation of 1, which is right for a look-up. As an output head it sums over
    the width: logits of $\sqrt{d}$, and a first loss of up to $\ln C + d / 2$.

    ## Known problems
    A note where no loss was given.

    ## Example
    ```python
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.body = nn.Embedding(50, 64), nn.Linear(64, 64)
            self.norm = nn.LayerNorm(64)

        def forward(self, x):
            h = self.embed(x)
            return self.norm(h + self.body(h)) @ self.embed.weight.T

    model, x = Tied(), torch.arange(64) % 50
    ```

    ## Use instead
    ```python
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.body = nn.Embedding(50, 64), nn.Linear(64, 64)
            self.norm = nn.LayerNorm(64)

        def forward(self, x):
            h = self.embed(x)
            return self.norm(h + self.body(h)) @ self.embed.weight.T

    model, x = Tied(), torch.arange(64) % 50
    gs.initialize(model, x)
    ```

    ## References
    Press, Wolf, *Using the Output Embedding to Improve Language Models*, EACL 2017.
    """
    evidence.measured()
    shared = [
        (weight, head)
        for weight in evidence.weights
        if weight.name in evidence.trainable
        and any(evidence.graph.weights[s].family == "embedding" for s in weight.sites if s in evidence.graph.weights)
        for head in weight.sites
        if head in evidence.heads
    ]
    if not shared:
        raise NotMeasured("no embedding is the weight of the output head")
    for weight, head in shared:
        logits = evidence.forward(head).rms
        rows, width = evidence.trainable[weight.name].shape[0], evidence.trainable[weight.name].shape[-1]
        if not logits > TIED_LOGITS.warning:
            yield TIED_LOGITS(logits, weight.name)
            continue
        felt = harm(evidence, "OUT501", "FWD203")
        std = weight.norm / sqrt(max(evidence.trainable[weight.name].numel(), 1))
        yield Found(
            felt.severity if felt else "note",
            weight.name,
            measured=f"standard deviation {std:.3g} over a width of {width} makes logits of RMS {logits:.3g}",
            expected=f"logits below {TIED_LOGITS.warning:g}: a first loss of about ln {rows} = {log(max(rows, 1)):.3g}",
            message="the scale is right for a look-up and too large for an output head",
            fix=evidence.fix("start the shared table at 0.02 or so: gs.initialize(model, example)", [weight.name]),
            value=TIED_LOGITS(logits),
        )
