"""Rules about the terms that a loss is the sum of."""

from collections.abc import Iterator

from gainstage.check._registry import rule
from gainstage.check.evidence import Evidence
from gainstage.check.experiments.addends import reaches
from gainstage.check.facts.oracle import free
from gainstage.check.facts.terms import terms
from gainstage.check.findings import Fix, Found, Value
from gainstage.check.quantity import Limit, Quantity

OUTWEIGHED = Quantity(
    "gradient of a term that is summed over the batch, over that of the terms that are averaged, at the outputs",
    warning=Limit(10.0, "A sum over 64 samples beside a mean is 64 times too heavy."),
)
SUM_HALF = Limit(0.65, "Value on half of the batch over that on all, below which a term is a sum: one half, and noise.")
MEAN_HALF = Limit(0.8, "Above it, and below its inverse, a term is a mean: 1, and the noise of 32 samples.")


@rule("OUT519", "warning", explains=("OUT508", "OPT804"))
def mixed_reductions(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Takes the loss apart into its addends and asks for each on half of the batch: a mean stays, a sum halves. Where one
    is a sum and another a mean, compares the norms of their gradients at the outputs.

    ## Why is this bad?
    A term that is summed over the samples outweighs one that is averaged by the size of the batch, and more the larger
    the batch is. In an autoencoder whose divergence is summed the code is empty: it says nothing about its input.

    ## Known problems
    Terms that hang together in other ways (a sum that is divided by a constant) are not told apart.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    loss = lambda output, y: F.cross_entropy(output, y) + output.square().sum()
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    loss = lambda output, y: F.cross_entropy(output, y) + output.square().mean()
    ```

    ## References
    Kingma, Welling, *Auto-Encoding Variational Bayes*, ICLR 2014, equation 7: both terms are of one sample.
    """
    found = terms(evidence)
    sums = [term for term in found if 0.35 < term.half < SUM_HALF and term.pull > 0]
    means = [term for term in found if MEAN_HALF < term.half < 1 / MEAN_HALF and term.pull > 0]
    if not sums or not means:
        yield OUTWEIGHED(0.0, "loss")
        return
    heavy = max(sums, key=lambda term: term.pull)
    light = sum(term.pull for term in means)
    value = OUTWEIGHED(heavy.pull / light, "loss")
    if not value.number > OUTWEIGHED.warning:
        yield value
        return
    yield Found(
        "warning",
        "loss",
        measured=f"on half of the batch term {heavy.number + 1} of {len(found)} is {heavy.half:.2g} of its value, a "
        f"sum, and others stay, means; its gradient at the outputs is {value.number:.3g} times theirs",
        expected="terms that are all averaged over the samples, or all summed",
        message="one term of the loss is summed over the batch and outweighs those that are averaged",
        fix=Fix("average that term over the samples as well: .sum(-1).mean() instead of .sum()"),
        value=value,
    )


UNFELT = Quantity(
    "relative change of a term that no gradient tells of, when the outputs are moved by a tenth",
    warning=Limit(1e-6, "The rounding of float32 gives 1e-7."),
)


@rule("BWD307", "warning", explains=("BWD303",))
def cut_term(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Takes the loss apart into its addends, moves the outputs, and looks for an addend whose value changes although its
    gradient reaches none of the parameters that are trained. Also looks for an output that is exactly zero everywhere,
    without a gradient, on which the loss depends in a curved way.

    ## Why is this bad?
    The term is printed with the loss and teaches nothing: an adversarial term of `output.detach()`, a residual that
    holds the second derivative of a ReLU network, which is zero.

    ## Known problems
    A term whose gradient reaches other parameters (the code book of a quantizer) is not cut.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    loss = lambda output, y: F.cross_entropy(output, y) + output.detach().square().mean()
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    loss = lambda output, y: F.cross_entropy(output, y) + output.square().mean()
    ```

    ## References
    PyTorch documentation, `torch.Tensor.detach`.
    """
    trained = list(evidence.trainable.values())
    for part in free(evidence):
        if bool(part.values.any()) or part.linear or not any(bool(g.any()) for g in part.gradients):
            continue
        if not reaches(evidence.model, evidence.example, part.number, trained, seed=evidence.seed):
            yield Found(
                "warning",
                f"output {part.number}",
                measured=f"output {part.number}, of shape {list(part.values.shape)}, is 0 everywhere, and its gradient "
                "reaches no parameter; the loss depends on it",
                expected="an output that depends on the weights",
                message="a term of the loss is made of a constant, and teaches nothing",
                fix=Fix("look at how it is computed: the second derivative of a ReLU network is 0; use tanh or SiLU"),
                value=UNFELT(1.0),
            )
    found = terms(evidence)
    for term in found:
        value = UNFELT(term.moved / max(abs(term.value), 1e-30), "loss")
        if term.reaches or not value.number > UNFELT.warning:
            yield UNFELT(0.0, "loss")
            continue
        yield Found(
            "warning",
            "loss",
            measured=f"term {term.number + 1} of {len(found)}, {term.value:.3g}, changes by {value.number:.1g} of "
            "itself when the outputs are moved by a tenth, and its gradient reaches no trained parameter",
            expected="a gradient wherever the value depends on the output",
            message="a term of the loss is cut from the model: it is counted, and teaches nothing",
            fix=Fix("remove the detach, no_grad or item on the way from the output into this term"),
            value=value,
        )
