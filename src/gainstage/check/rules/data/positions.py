"""Rules about sequences whose labels are the tokens of the input, at some lag."""

from collections.abc import Iterator

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.facts.positions import judged, sights
from gainstage.check.findings import Fix, Found, Value
from gainstage.check.quantity import Limit, Quantity

SEEN = Quantity(
    "change of an output when its own label is replaced, in standard deviations between samples",
    error=Limit(1e-4, "Exactly 0 behind a mask; 3.4 in a trained small GPT without one, 0.2 at its start."),
)


@rule("DAT611", "error", explains=("DAT612",))
def label_in_sight(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Finds out, by asking the loss alone, which token each position is judged by. Where that is a later token of the
    input, replaces the second half of every sequence and measures whether outputs of the first half change.

    ## Why is this bad?
    A position that can read the token that it is to foretell learns to copy it. The loss falls to nothing, and the
    model can generate nothing: a causal mask was lost, a convolution is padded on both sides, or a softmax or mean runs
    over the positions.

    ## Known problems
    Judged where the labels are tokens of the input at one lag.

    ## Example
    ```python
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.token, self.mix, self.head = nn.Embedding(20, 32), nn.Conv1d(32, 32, 3, padding=1), nn.Linear(32, 20)

        def forward(self, ids):
            return self.head(self.mix(self.token(ids).mT).relu().mT)

    model, x = Model(), torch.randint(0, 20, (64, 12))
    y, loss = x, lambda out, y: F.cross_entropy(out[:, :-1].flatten(0, 1), y[:, 1:].flatten())
    ```

    ## Use instead
    ```python
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.token, self.mix, self.head = nn.Embedding(20, 32), nn.Conv1d(32, 32, 3), nn.Linear(32, 20)

        def forward(self, ids):
            return self.head(self.mix(F.pad(self.token(ids).mT, (2, 0))).relu().mT)

    model, x = Model(), torch.randint(0, 20, (64, 12))
    y, loss = x, lambda out, y: F.cross_entropy(out[:, :-1].flatten(0, 1), y[:, 1:].flatten())
    ```

    ## References
    Vaswani et al., *Attention Is All You Need*, NeurIPS 2017, section 3.2.3; van den Oord et al., *WaveNet*, 2016,
    section 2.1.
    """
    found = judged(evidence)
    seen = sights(evidence)
    for each in found:
        if each.lag < 1 or each.number not in seen:
            continue
        value = SEEN(seen[each.number].label, f"output {each.number}")
        if not value.number > SEEN.error:
            yield value
            continue
        yield Found(
            "error",
            f"output {each.number}",
            measured=f"it is judged by the token {each.lag} ahead, and changes by {value.number:.2g} standard "
            "deviations when later tokens are replaced",
            expected="no change: a position sees no later token",
            message="each position can read the token that it is to foretell",
            fix=Fix("mask later positions: is_causal=True in the attention, padding on the left only in a convolution"),
            value=value,
        )


AHEAD = Quantity(
    "how many tokens ahead the label lies that a causal model is judged by",
    warning=Limit(1.0, "A language model foretells the next token, and nothing else."),
)


@rule("DAT612", "warning")
def label_shift(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Finds out, by asking the loss alone, which token each position is judged by, and compares that with the input at
    several lags. Where no position sees later tokens, the label must be the next one.

    ## Why is this bad?
    Labels that nobody shifted ask the model to repeat the token that it reads; shifted by the data set and again by the
    loss they are two ahead. Both losses fall, and the model generates nothing sensible.

    ## Known problems
    Models that see the whole sequence (autoencoders, masked models) are not judged, nor those of several outputs of
    which one is judged by the next token.

    ## Example
    ```python
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.token, self.mix, self.head = nn.Embedding(20, 32), nn.Conv1d(32, 32, 3), nn.Linear(32, 20)

        def forward(self, ids):
            return self.head(self.mix(F.pad(self.token(ids).mT, (2, 0))).relu().mT)

    model, x = Model(), torch.randint(0, 20, (64, 12))
    y, loss = x, lambda out, y: F.cross_entropy(out.flatten(0, 1), y.flatten())
    ```

    ## Use instead
    ```python
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.token, self.mix, self.head = nn.Embedding(20, 32), nn.Conv1d(32, 32, 3), nn.Linear(32, 20)

        def forward(self, ids):
            return self.head(self.mix(F.pad(self.token(ids).mT, (2, 0))).relu().mT)

    model, x = Model(), torch.randint(0, 20, (64, 12))
    y, loss = x, lambda out, y: F.cross_entropy(out[:, :-1].flatten(0, 1), y[:, 1:].flatten())
    ```

    ## References
    Radford et al., *Improving Language Understanding by Generative Pre-Training*, 2018, equation 1.
    """
    found, seen = judged(evidence), sights(evidence)
    blind = [each for each in found if each.number in seen and seen[each.number].later <= SEEN.error and each.lag >= 0]
    if not blind:
        raise NotMeasured("every output sees later tokens, or repeats earlier ones")
    if any(each.lag == 1 for each in found):
        yield AHEAD(1.0)
        return
    for each in blind:
        yield Found(
            "warning",
            f"output {each.number}",
            measured=f"every label is the input's token {each.lag} ahead, and no position sees later ones",
            expected="1 ahead",
            message="the model is asked to repeat the token that it reads"
            if each.lag == 0
            else f"labels are shifted by {each.lag}",
            fix=Fix(
                "compare logits[:, :-1] with ids[:, 1:]"
                if each.lag == 0
                else "shift labels once: in the data set or in the loss, not in both"
            ),
            value=AHEAD(each.lag),
        )
