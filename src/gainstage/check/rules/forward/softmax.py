"""Rules about softmax inside the network: attention and hidden layers."""

from collections.abc import Iterator

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.experiments.attention import sharpness
from gainstage.check.findings import Found, Value
from gainstage.check.quantity import Limit, Quantity
from gainstage.signal import Attention, Site, ops

PEAKED = Quantity(
    "mean of the sum of squared softmax weights",
    warning=Limit(
        0.9,
        "0.5 for two equal entries, 1 for one. Zoo, 8 entries or more: highest 0.73 (a Transformer of torch, "
        "embeddings times sqrt(d)), then 0.22 (Bloom, 16 keys).",
    ),
)
LOGITS = Quantity(
    "RMS of the logits of a fused attention, estimated from the levels of queries and keys",
    note=Limit(
        3.0,
        "From which on the softmax itself is looked at. Zoo: highest 13 (the same Transformer), then 1.1 (SigLIP).",
    ),
)
PEAKED_KEYS = Limit(8, "Over fewer entries a softmax is a gate, which may be decided.")


@rule("FWD208", "warning", explains=("BWD301", "BWD302", "FWD209"))
def peaked_softmax(evidence: Evidence) -> Iterator[Found | Value]:
    r"""## What it does
    Measures $\mathrm{E}\left[\sum_k p_k^2\right]$ of the weights of every attention and hidden softmax: 1 where all the
    weight is on one entry, $1/K$ where it is spread evenly over $K$.

    ## Why is this bad?
    Where a softmax has chosen at random at the start, its slope is zero, and what it reads is not learned. The usual
    causes are a missing $1/\sqrt{d}$ and weights of queries and keys that are too large.

    ## Known problems
    Fewer than 8 entries and the output softmax are not judged. In a trained model some heads are this sharp.

    ## Example
    ```python
    class Attend(nn.Module):
        def __init__(self):
            super().__init__()
            self.q, self.k, self.v = (nn.Linear(8, 8) for _ in range(3))
            self.head = nn.Linear(8, 4)
            for layer in (self.q, self.k):
                nn.init.normal_(layer.weight, std=5.0)

        def forward(self, x):
            x = x[:, None] + torch.linspace(-1, 1, 96).reshape(1, 12, 8)
            weights = (self.q(x) @ self.k(x).mT).softmax(-1)
            return self.head((weights @ self.v(x)).mean(1))

    model = Attend()
    ```

    ## Use instead
    ```python
    class Attend(nn.Module):
        def __init__(self):
            super().__init__()
            self.q, self.k, self.v = (nn.Linear(8, 8) for _ in range(3))
            self.head = nn.Linear(8, 4)

        def forward(self, x):
            x = x[:, None] + torch.linspace(-1, 1, 96).reshape(1, 12, 8)
            weights = (self.q(x) @ self.k(x).mT / 8**0.5).softmax(-1)
            return self.head((weights @ self.v(x)).mean(1))

    model = Attend()
    ```

    ## References
    Vaswani et al., *Attention Is All You Need*, NeurIPS 2017, section 3.2.1; Zhai et al., *Stabilizing Transformer
    Training by Preventing Attention Entropy Collapse*, ICML 2023.
    """
    evidence.measured()
    readers = {attention.site: attention for attention in evidence.attentions}
    judged = [site for site in evidence.tape if _judged(evidence, site, readers)]
    if not judged:
        raise NotMeasured(f"no attention or hidden softmax over at least {PEAKED_KEYS:.0f} entries")
    fused = [s for s in evidence.tape if s.op == "scaled_dot_product_attention"]
    large = [site for site in judged if site in fused and _logits(evidence, readers[site.index]) > LOGITS.note]
    exact: dict[int, float] = {}
    if large:
        found = sharpness(evidence.model, evidence.example, seed=evidence.seed)
        exact = dict(zip((s.index for s in fused), found, strict=True)) if len(found) == len(fused) else {}
    for site in judged:
        if site in fused:
            yield LOGITS(_logits(evidence, readers[site.index]), site.name)
            if site.index not in exact:
                continue
        level = exact[site.index] if site in fused else _spread(evidence, site)
        if level < PEAKED.warning:
            yield PEAKED(level, site.name)
            continue
        attention = readers.get(site.index)
        behind = () if attention is None else (*attention.queries, *attention.keys)
        names = [w.name for w in evidence.weights if set(w.sites) & set(behind)]
        yield Found(
            "warning",
            site.name,
            measured=f"the mean of the sum of squared weights is {level:.3f}",
            expected=f"below {PEAKED.warning:g}; 1 puts all the weight on one entry",
            message="the logits are so large that the softmax has chosen before anything is learned: its slope is 0",
            fix=evidence.fix(
                "divide the logits by the root of the head's size and start the weights before them anew: "
                "gs.initialize(model, example)",
                names,
            ),
            value=PEAKED(level),
        )


SQUEEZED = Quantity(
    "variance between samples of a softmax over K units, times K^2",
    warning=Limit(
        1.0,
        "Logits of standard deviation s give s^2 where they are small. Digits, Adam at 1e-3 and SGD at 0.1: 0.77 "
        "and 0.13 at 0.2, 0.61 and 0.08 at 0.02, 0.95 behind ReLU.",
    ),
)


@rule("FWD210", "warning", explains=("FWD201",))
def softmax_activation(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Finds a softmax in the place of an activation: between two weights, over 8 units or more.

    ## Why is this bad?
    Its outputs sum to 1: over 64 units each is about 1/64 and hardly differs between samples. On digits a two-layer
    network reaches 0.77 with a hidden softmax where it reaches 0.95 with ReLU (Adam, 300 steps), and 0.13 against 0.96
    with SGD.

    ## Known problems
    A soft choice beside other paths (a mixture, a memory in a residual branch) is a note.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.Softmax(dim=-1), nn.Linear(64, 4))
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4))
    ```

    ## References
    Nikanjam et al., *NeuraLint: Automatic Fault Detection for Deep Learning Programs*, TOSEM 2021.
    """
    evidence.measured()
    readers = {attention.site for attention in evidence.attentions}
    for site in evidence.tape:
        if site.op != "softmax" or site.index in readers or site.forward is None or not _between(evidence, site):
            continue
        if site.shape[-1] < PEAKED_KEYS:
            continue
        value = SQUEEZED(site.forward.variance_between * site.shape[-1] ** 2, site.name)
        if not value.number < SQUEEZED.warning:
            yield value
            continue
        yield Found(
            "warning" if evidence.cut(site.index) else "note",
            site.name,
            measured=f"{site.shape[-1]} units of mean {site.forward.mean:.2g} with a standard deviation of "
            f"{site.forward.variance_between**0.5:.1e} between samples",
            expected="an activation that keeps the level, such as ReLU, before a weight",
            message="a hidden softmax divides the signal among its units, and the next layer hardly sees it",
            fix=evidence.fix("use ReLU, GELU or tanh between layers; softmax belongs to the loss", []),
            value=value,
        )


def _judged(evidence: Evidence, site: Site, readers: dict[int, Attention]) -> bool:
    if site.index in readers:
        keys = evidence.graph.shapes[ops.argument(site, "key").site][-2] if site.op != "softmax" else site.shape[-1]
        return keys >= PEAKED_KEYS
    return site.op == "softmax" and _between(evidence, site) and site.shape[-1] >= PEAKED_KEYS


def _between(evidence: Evidence, site: Site) -> bool:
    """Whether a softmax over the last axis stands where an activation does."""
    if ops.argument(site, "dim", -1) not in (-1, len(site.shape) - 1):
        return False
    return {fate.kind for fate in evidence.graph.fates(site.index)} in ({"weight"}, {"norm"})


def _spread(evidence: Evidence, site: Site) -> float:
    return site.shape[-1] * evidence.forward(site.index).mean_square


def _logits(evidence: Evidence, attention: Attention) -> float:
    """The RMS of the logits if queries and keys are independent, from their levels."""
    site = evidence.tape.sites[attention.site]
    ends = [evidence.made_by(ops.argument(site, name).site) for name in ("query", "key")]
    queries, keys = (evidence.tape.sites[end].forward for end in ends)
    return (attention.logits_level(queries.mean_square, keys.mean_square) or 0.0) ** 0.5 if queries and keys else 0.0
