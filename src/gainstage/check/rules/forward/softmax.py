"""Rules about softmax inside the network: attention and hidden layers."""

from collections.abc import Iterator

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.findings import Found
from gainstage.check.probes.attention import sharpness
from gainstage.check.thresholds import (
    LARGE_LOGITS,
    PEAKED_KEYS,
    PEAKED_SOFTMAX,
    SQUEEZED_SOFTMAX,
    UNIFORM_ATTENTION,
)
from gainstage.signal import Attention, Site, attentions


def all_attentions(evidence: Evidence) -> list[Attention]:
    """Every attention of the pass; ask as `evidence.once(all_attentions)`."""
    return attentions(evidence.graph)


@rule("FWD208", "peaked-softmax", "warning", explains=("FWD209", "BWD301", "BWD302", "OPT804"))
def peaked(evidence: Evidence) -> Iterator[Found]:
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
    readers = {attention.site: attention for attention in evidence.once(all_attentions)}
    judged = [site for site in evidence.tape if _judged(evidence, site, readers)]
    if not judged:
        raise NotMeasured(f"no attention or hidden softmax over at least {PEAKED_KEYS:.0f} entries")
    fused = [s for s in evidence.tape if s.op == "scaled_dot_product_attention"]
    large = [site for site in judged if site in fused and _logits(evidence, readers[site.index]) > LARGE_LOGITS]
    exact: dict[int, float] = {}
    if large:
        found = sharpness(evidence.model, evidence.example, seed=evidence.seed)
        exact = dict(zip((s.index for s in fused), found, strict=True)) if len(found) == len(fused) else {}
    for site in judged:
        level = exact.get(site.index, 0.0) if site in fused else _spread(evidence, site)
        if level < PEAKED_SOFTMAX:
            continue
        attention = readers.get(site.index)
        behind = () if attention is None else (*attention.queries, *attention.keys)
        names = [w.name for w in evidence.weights if set(w.sites) & set(behind)]
        yield Found(
            "warning",
            site.name,
            measured=f"the mean of the sum of squared weights is {level:.3f}",
            expected=f"below {PEAKED_SOFTMAX:g}; 1 puts all the weight on one entry",
            message="the logits are so large that the softmax has chosen before anything is learned: its slope is 0",
            fix=evidence.fix(
                "divide the logits by the root of the head's size and start the weights before them anew: "
                "gs.initialize(model, example)",
                names,
            ),
        )


@rule("FWD209", "uniform-attention", "note")
def uniform(evidence: Evidence) -> Iterator[Found]:
    r"""## What it does
    Compares $\lVert g \rVert \lVert W \rVert$ of the weights of queries and keys with that of the values.

    ## Why is this bad?
    Logits near 0 weigh all keys alike, and the gradient of the queries is proportional to the keys and the other way
    round: where both are tiny, attention stays an average for a long time.

    ## Known problems
    Attention over a single key is not judged; nor is a projection that makes queries and values together.

    ## Example
    ```python
    class Attend(nn.Module):
        def __init__(self):
            super().__init__()
            self.q, self.k, self.v = (nn.Linear(8, 8, bias=False) for _ in range(3))
            self.head = nn.Linear(8, 4)
            for layer in (self.q, self.k):
                nn.init.normal_(layer.weight, std=1e-4)

        def forward(self, x):
            x = x[:, None] + torch.linspace(-1, 1, 96).reshape(1, 12, 8)
            weights = (self.q(x) @ self.k(x).mT / 8**0.5).softmax(-1)
            return self.head((weights @ self.v(x)).mean(1))

    model = Attend()
    ```

    ## Use instead
    ```python
    class Attend(nn.Module):
        def __init__(self):
            super().__init__()
            self.q, self.k, self.v = (nn.Linear(8, 8, bias=False) for _ in range(3))
            self.head = nn.Linear(8, 4)

        def forward(self, x):
            x = x[:, None] + torch.linspace(-1, 1, 96).reshape(1, 12, 8)
            weights = (self.q(x) @ self.k(x).mT / 8**0.5).softmax(-1)
            return self.head((weights @ self.v(x)).mean(1))

    model = Attend()
    ```

    ## References
    Noci et al., *Signal Propagation in Transformers*, NeurIPS 2022.
    """
    evidence.backward_measured()
    pull = {site: weight.pull for weight in evidence.weights for site in weight.sites}
    judged = [
        a
        for a in evidence.once(all_attentions)
        if not {*a.queries, *a.keys} & evidence.one_key
        and set(a.queries).isdisjoint(a.values)
        and max((pull.get(site, 0.0) for site in a.values), default=0.0) > 0
        and a.queries
    ]
    if not judged:
        raise NotMeasured("no attention with queries and values of their own that gets a gradient")
    for attention in judged:
        ours = max(pull.get(site, 0.0) for site in (*attention.queries, *attention.keys))
        theirs = max(pull.get(site, 0.0) for site in attention.values)
        if 0 < ours < UNIFORM_ATTENTION * theirs:
            names = [w.name for w in evidence.weights if set(w.sites) & {*attention.queries, *attention.keys}]
            yield Found(
                "note",
                evidence.tape.sites[attention.site].name,
                measured=f"gradient times weight is {ours:.1e} at queries and keys, {theirs:.1e} at the values",
                expected=f"a ratio above {UNIFORM_ATTENTION:.0e}",
                message="all keys weigh the same, and queries and keys hardly get a gradient",
                fix=evidence.fix("start queries and keys anew: gs.initialize(model, example)", names),
            )


@rule("FWD210", "softmax-activation", "warning", explains=("FWD201", "FWD202", "BWD301", "OPT805"))
def activation(evidence: Evidence) -> Iterator[Found]:
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
    readers = {attention.site for attention in evidence.once(all_attentions)}
    for site in evidence.tape:
        if site.op != "softmax" or site.index in readers or site.forward is None or not _between(evidence, site):
            continue
        if site.shape[-1] < PEAKED_KEYS or not site.forward.variance_between < SQUEEZED_SOFTMAX / site.shape[-1] ** 2:
            continue
        yield Found(
            "warning" if evidence.cut(site.index) else "note",
            site.name,
            measured=f"{site.shape[-1]} units of mean {site.forward.mean:.2g} with a standard deviation of "
            f"{site.forward.variance_between**0.5:.1e} between samples",
            expected="an activation that keeps the level, such as ReLU, before a weight",
            message="a hidden softmax divides the signal among its units, and the next layer hardly sees it",
            fix=evidence.fix("use ReLU, GELU or tanh between layers; softmax belongs to the loss", []),
        )


def _judged(evidence: Evidence, site: Site, readers: dict[int, Attention]) -> bool:
    if site.index in readers:
        keys = evidence.graph.shapes[site.argument(1, "key").site][-2] if site.op != "softmax" else site.shape[-1]
        return keys >= PEAKED_KEYS
    return site.op == "softmax" and _between(evidence, site) and site.shape[-1] >= PEAKED_KEYS


def _between(evidence: Evidence, site: Site) -> bool:
    """Whether a softmax over the last axis stands where an activation does."""
    if site.argument(1, "dim", -1) not in (-1, len(site.shape) - 1):
        return False
    return {fate.kind for fate in evidence.graph.fates(site.index)} in ({"weight"}, {"norm"})


def _spread(evidence: Evidence, site: Site) -> float:
    return site.shape[-1] * evidence.forward(site.index).mean_square


def _logits(evidence: Evidence, attention: Attention) -> float:
    """The RMS of the logits if queries and keys are independent, from their levels."""
    site = evidence.tape.sites[attention.site]
    ends = [evidence.made_by(site.argument(i, name).site) for i, name in ((0, "query"), (1, "key"))]
    levels = [evidence.tape.sites[end].forward for end in ends]
    if any(level is None for level in levels) or attention.scale is None:
        return 0.0
    product: float = attention.scale * attention.head_dim**0.5
    for level in levels:
        assert level is not None
        product *= level.rms
    return product
