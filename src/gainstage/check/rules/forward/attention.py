"""The rule about attention whose keys all weigh the same."""

from collections.abc import Iterator

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.findings import Found, Value
from gainstage.check.quantity import Limit, Quantity

UNIFORM = Quantity(
    "gradient times weight of queries and keys over that of the values",
    note=Limit(1e-5, "Zoo: lowest 2e-5 (ViT-MAE), then 2e-4 (ELECTRA)."),
)


@rule("FWD209", "note")
def uniform_attention(evidence: Evidence) -> Iterator[Found | Value]:
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
        for a in evidence.attentions
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
        value = UNIFORM(ours / theirs, evidence.tape.sites[attention.site].name)
        if ours > 0 and value.number >= UNIFORM.note:
            yield value
        elif ours > 0:
            names = [w.name for w in evidence.weights if set(w.sites) & {*attention.queries, *attention.keys}]
            yield Found(
                "note",
                evidence.tape.sites[attention.site].name,
                measured=f"gradient times weight is {ours:.1e} at queries and keys, {theirs:.1e} at the values",
                expected=f"a ratio above {UNIFORM.note:.0e}",
                message="all keys weigh the same, and queries and keys hardly get a gradient",
                fix=evidence.fix("start queries and keys anew: gs.initialize(model, example)", names),
                value=value,
            )
