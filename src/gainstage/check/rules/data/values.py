"""Rules about single numbers and samples of the batch: not finite, repeated."""

from collections.abc import Iterator

import torch
from torch import Tensor

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.findings import Fix, Found, Value
from gainstage.check.quantity import Limit, Quantity
from gainstage.run import tensors_in

NONFINITE = Quantity(
    "share of an input's numbers that are NaN or infinite",
    note=Limit(0.0, "What is computed from one of them is not finite either."),
)


@rule("DAT609", "error", explains=("FWD206", "OPT815"))
def nonfinite_data(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Looks for NaN and infinite numbers in the example and in the target, and says at which index the first one is.

    ## Why is this bad?
    One NaN in a batch makes the loss NaN, and after one step every weight.

    ## Known problems
    A note where outputs and loss are finite: NaN then marks what is left out. Masks of 0 and negative infinity are not
    reported.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    x = torch.randn(64, 8)
    x[3, 5] = float("nan")
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    x = torch.randn(64, 8).nan_to_num()
    ```

    ## References
    PyTorch documentation of `torch.nan_to_num`.
    """
    given = [(f"input#{i}", t) for i, t in enumerate(tensors_in(evidence.example))]
    given += [("target" if i == 0 else f"target#{i}", t) for i, t in enumerate(tensors_in(evidence.target))]
    numbers = [(name, t.detach()) for name, t in given if (t.is_floating_point() or t.is_complex()) and not t.is_meta]
    if not numbers:
        raise NotMeasured("the example holds no floating point numbers")
    broken = _broken(evidence)
    for name, values in numbers:
        plain = values.to_dense() if values.layout is not torch.strided else values
        bad = torch.isnan(plain) if _is_mask(plain) and not broken else ~torch.isfinite(plain)
        count = int(bad.sum())
        value = NONFINITE(count / max(plain.numel(), 1), name)
        if not count:
            yield value
            continue
        first = torch.nonzero(bad)[0].tolist()
        number = float(plain[tuple(first)].real)
        yield Found(
            "error" if broken else "note",
            name,
            measured=f"{count} of {plain.numel()} numbers are NaN or infinite, the first at index {first}: {number}",
            expected="finite numbers",
            message="whatever is computed from such a number is not finite either",
            fix=Fix(
                "drop or fill these samples (torch.nan_to_num, the column's mean), and look at where they come from"
            ),
            value=value,
        )


def _broken(evidence: Evidence) -> bool:
    """Whether the loss, an output or a gradient is not finite."""
    ends = {evidence.made_by(ref.site) for ref in evidence.tape.outputs}
    ends |= {site.index for site in evidence.tape.sites if site.kind == "loss"}
    moments = [evidence.tape.sites[index].forward for index in ends]
    return any(m is not None and m.nonfinite for m in moments)


def _is_mask(values: Tensor) -> bool:
    """Whether all that is not finite is minus infinity, and the rest is 0."""
    rest = values[~torch.isneginf(values)] if not values.is_complex() else values.real
    return not values.is_complex() and bool((rest == 0).all())


REPEATED = Quantity(
    "share of the samples that repeat another one",
    note=Limit(0.1, "A tenth of the batch says nothing new."),
)


@rule("DAT608", "note")
def repeated_samples(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Counts the samples of the batch that repeat another one exactly, in every input.

    ## Why is this bad?
    Repeated samples teach nothing new and count several times; between training and test set they make results look
    better than they are. Often a loader returns the same buffer, or one index, for every sample.

    ## Known problems
    Data sets of few different samples (truth tables, states of a small environment) repeat on purpose.

    ## Example
    ```python
    model = nn.Linear(8, 4)
    x = torch.randn(16, 8).repeat(4, 1)
    ```

    ## Use instead
    ```python
    model = nn.Linear(8, 4)
    x = torch.randn(64, 8)
    ```

    ## References
    Barz, Denzler, *Do We Train on Test Data? Purging CIFAR of Near-Duplicates*, 2020.
    """
    evidence.measured()
    batch = evidence.tape.batch
    rows = [t.detach().flatten(1) for t in tensors_in(evidence.example) if t.dim() > 1 and t.shape[0] == batch]
    rows += [t.detach()[:, None] for t in tensors_in(evidence.example) if t.dim() == 1 and t.shape[0] == batch]
    rows = [t for t in rows if t.layout is torch.strided and not t.is_meta and t.shape[1]]
    if batch is None or batch < 2 or not rows:
        raise NotMeasured("the example holds one sample")
    keys = torch.stack([_key(t) for t in rows], 1)
    different = len(torch.unique(keys, dim=0))
    value = REPEATED(1 - different / batch)
    if value.number <= REPEATED.note:
        yield value
    else:
        yield Found(
            "note",
            "input#0",
            measured=f"{batch - different} of {batch} samples repeat another one; {different} are different",
            expected="samples that differ",
            message="the batch holds fewer samples than it seems to",
            fix=Fix("look at the loader: it may return one buffer or index for several samples"),
            value=value,
        )


def _key(rows: Tensor) -> Tensor:
    """A number for each row that equal rows share and others do not."""
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(rows.shape[1], generator=generator, dtype=torch.float64).to(rows.device)
    real = torch.view_as_real(rows).flatten(1) if rows.is_complex() else rows
    return (real[:, : rows.shape[1]].double() * mix).sum(1)
