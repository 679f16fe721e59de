"""The rule about losses that stay high whatever is learned."""

from collections.abc import Iterator
from functools import partial

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.facts.oracle import floor, free
from gainstage.check.findings import Fix, Found, Value
from gainstage.check.quantity import Limit, Quantity
from gainstage.check.repairs import without

MISSED = Quantity(
    "what the outputs cannot reach of a loss, over all that there is to gain over one answer for all samples",
    warning=Limit(
        0.48,
        "Digits, as in `FLOOR`: 0.96 and 0.95 of accuracy at 0.35 and 0.45 (tanh, 10 and 2 classes), 0.86 at 0.63.",
    ),
)
MISSED_ANSWER = Quantity(
    "the same, where the target itself would be the best output",
    warning=Limit(0.1, "A tenth of what a regression could explain. Standardized targets: 0.15 behind a tanh."),
)
PERFECT = Limit(0.02, "Of the gain: the target itself as output costs no more than this above the smallest loss.")


@rule("OUT518", "warning", explains=("OUT501",))
def floor_out_of_reach(evidence: Evidence) -> Iterator[Found | Value]:
    r"""## What it does
    Sets what the last weights put out free, together with the parameters behind them, and searches how low the loss can
    get, $\ell_{\text{reached}}$: by a descent on these numbers alone, without a pass of the model. Compares it with
    the smallest loss over all outputs and with that of one answer for all samples:
    $(\ell_{\text{reached}} - \ell_{\text{free}}) / (\ell_{\text{constant}} - \ell_{\text{free}})$.

    ## Why is this bad?
    No training gets below that, however good the features are. What stands between the last weights and the loss (a
    softmax that the loss applies again, cosines without a scale, products of numbers that cannot be negative) leaves
    out the outputs that are wanted.

    ## Known problems
    A descent of some fifty steps may end early, so that small shares are not reported. Losses that fall without end
    over free outputs are not judged.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4), nn.Softmax(1))
    loss = lambda p, y: (p.exp().sum(1).log() - p[torch.arange(64), y]).mean()
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    loss = lambda z, y: (z.exp().sum(1).log() - z[torch.arange(64), y]).mean()
    ```

    ## References
    Wang et al., *NormFace: L2 Hypersphere Embedding for Face Verification*, ACM Multimedia 2017, section 3.3, on the
    smallest loss of a softmax over cosines.
    """
    found = floor(evidence)
    if found is None:
        yield MISSED(0.0)
        return
    gain = found.constant - found.free
    if not gain > 0:
        raise NotMeasured("one answer for all samples is as good as any")
    answers = [part.perfect for part in free(evidence) if part.perfect == part.perfect]
    direct = any(abs(perfect - found.free) <= PERFECT * gain for perfect in answers)
    quantity = MISSED_ANSWER if direct else MISSED
    value = quantity(found.missed, found.site.name)
    if not value.number > quantity.warning:
        yield value
        return
    yield Found(
        "warning",
        found.site.name,
        measured=f"the loss can fall to {found.reached:.3g} with the best numbers in front of {found.site.name}, and "
        f"to {found.free:.2g} over all outputs; one answer for all samples gives {found.constant:.3g}",
        expected=f"less than {quantity.warning:.0%} of this gain out of reach",
        message=f"what stands behind the last weights keeps {value.number:.0%} of it out of reach, whatever is learned",
        fix=Fix(
            f"look at {found.site.op} behind the last weights: give the loss numbers that can be of any size",
            repair=partial(without, names=[found.site.name]) if len(found.site.inputs) == 1 else None,
        ),
        value=value,
    )
