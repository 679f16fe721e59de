"""Rules about tables and recurrent weights that start at the wrong level."""

from collections.abc import Iterator

import torch

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.findings import Found, Value
from gainstage.check.quantity import Limit, Quantity
from gainstage.signal import Ref, Site, ops

RADIUS = Quantity(
    "spectral radius of the recurrent weights of a tanh network",
    warning=Limit(2.0, "Chaos begins at 1 without inputs; reservoirs go up to 1.5. torch's default is 0.6."),
)


@rule("INI112", "warning", explains=("FWD203", "FWD205", "BWD302"))
def recurrent_radius(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Computes the spectral radius of the recurrent weights of `nn.RNN`: the largest size of an eigenvalue.

    ## Why is this bad?
    Above 1 small differences of the state grow from step to step until tanh is saturated. The state is then chaotic:
    similar inputs end in unrelated states, and gradients explode or vanish.

    ## Known problems
    LSTM and GRU have gates, and are not judged.

    ## Example
    ```python
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.head = nn.RNN(4, 64, batch_first=True), nn.Linear(64, 4)
            nn.init.normal_(self.rnn.weight_hh_l0, 0, 0.5)

        def forward(self, x):
            return self.head(self.rnn(x.unflatten(1, (2, 4)))[0][:, -1])

    model = Model()
    ```

    ## Use instead
    ```python
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.head = nn.RNN(4, 64, batch_first=True), nn.Linear(64, 4)
            nn.init.orthogonal_(self.rnn.weight_hh_l0)

        def forward(self, x):
            return self.head(self.rnn(x.unflatten(1, (2, 4)))[0][:, -1])

    model = Model()
    ```

    ## References
    Sompolinsky, Crisanti, Sommers, *Chaos in Random Neural Networks*, Physical Review Letters 61, 1988.
    """
    evidence.measured()
    names = [
        leaf.path
        for site in evidence.tape.sites
        if site.op.startswith("rnn")
        for ref in site.inputs
        if (leaf := evidence.tape.sites[ref.site]).kind == "parameter" and "weight_hh" in leaf.path
    ]
    names = [name for name in dict.fromkeys(names) if name in evidence.trainable]
    if not names:
        raise NotMeasured("no trainable nn.RNN")
    for name in names:
        weight = evidence.values[name].double()
        value = RADIUS(float(torch.linalg.eigvals(weight).abs().max()), name)
        if not value.number > RADIUS.warning:
            yield value
            continue
        yield Found(
            "warning",
            name,
            measured=f"spectral radius {value.number:.3g}",
            expected=f"about 1, at most {RADIUS.warning:g}",
            message="the state is driven into saturation within a few steps, and similar inputs end far apart",
            fix=evidence.fix(f"start {name} orthogonal: gs.initialize(model, example)", [name]),
            value=value,
        )


DROWNED = Quantity(
    "mean square that differs between samples, of a sum of a signal and something that is alike for all samples",
    warning=Limit(3e-4, "The signal has a sixtieth of the other's level. Zoo: lowest 7e-4 (Pegasus), then 0.05."),
)


@rule("INI113", "warning", explains=("FWD201",))
def drowned_signal(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Where a learned table that is alike for all samples (positions) is added to what differs between them (tokens), and
    a normalization follows, measures the part of the sum that differs.

    ## Why is this bad?
    The normalization divides by the level of the sum. Where positions are a hundred times as large as tokens, tokens
    are a hundredth of what every layer reads.

    ## Known problems
    Biases behind a weight are not meant: `DAT601` measures them.

    ## Example
    ```python
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.token, self.place = nn.Linear(1, 32), nn.Parameter(100 * torch.randn(8, 32))
            self.norm, self.head = nn.LayerNorm(32), nn.Linear(32, 4)

        def forward(self, x):
            return self.head(self.norm(self.token(x[:, :, None]) + self.place).mean(1))

    model = Model()
    ```

    ## Use instead
    ```python
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.token, self.place = nn.Linear(1, 32), nn.Parameter(torch.randn(8, 32))
            self.norm, self.head = nn.LayerNorm(32), nn.Linear(32, 4)

        def forward(self, x):
            return self.head(self.norm(self.token(x[:, :, None]) + self.place).mean(1))

    model = Model()
    ```

    ## References
    Vaswani et al., *Attention Is All You Need*, NeurIPS 2017, section 3.5, on summing embeddings and positions.
    """
    evidence.varied_outputs()
    judged = [site for site in evidence.tape if _adds_places(evidence, site)]
    if not judged:
        raise NotMeasured("no learned table that is alike for all samples is added in front of a normalization")
    for site in judged:
        moments = evidence.forward(site.index)
        value = DROWNED(moments.variance_between / moments.mean_square, site.name)
        names = [n for ref in site.inputs if _alike(evidence, ref) for n in evidence.graph.parameters_behind(ref)]
        if not value.number < DROWNED.warning:
            yield value
            continue
        yield Found(
            "warning",
            names[0],
            measured=f"of the sum at {site.name} {value.number:.1g} of the mean square differs between samples",
            expected=f"more than {DROWNED.warning:g}",
            message="the table is far larger than the signal that it is added to, which drowns in the next norm",
            fix=evidence.fix(f"start {names[0]} at the level of the signal: gs.initialize(model, example)", names),
            value=value,
        )


def _adds_places(evidence: Evidence, site: Site) -> bool:
    """Whether a site adds a table of several rows, alike for all samples, to a signal that a normalization reads."""
    if ops.of(site).kind != "add" or len(site.inputs) != 2 or site.forward is None or not site.forward.mean_square > 0:
        return False
    tables = [ref for ref in site.inputs if _alike(evidence, ref)]
    if len(tables) != 1 or site.forward.variance_between != site.forward.variance_between:
        return False
    return "norm" in {fate.kind for fate in evidence.graph.fates(site.index)} or evidence.cut(site.index)


def _alike(evidence: Evidence, ref: Ref) -> bool:
    """Whether something is made of parameters, has rows for several positions, and is alike for all samples."""
    names = evidence.graph.parameters_behind(ref)
    if not any(p.dim() > 1 and p.shape[-2] > 1 for p in map(evidence.values.__getitem__, names)):
        return False
    bits = evidence.graph.ancestors[ref.site]
    return not any(s.kind == "input" and bits >> s.index & 1 for s in evidence.tape.sites)
