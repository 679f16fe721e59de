"""Rules about what a training loop makes anew in every step and should keep, or keeps and should make anew."""

from collections.abc import Iterator

from torch.utils.data import DataLoader

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.facts.steps import completed
from gainstage.check.findings import Found, Value
from gainstage.check.quantity import Limit, Quantity

RENEWED = Quantity(
    "share of the steps that an optimizer makes that did not make the one before",
    warning=Limit(0.5, "Loops that restart their optimizer do so rarely."),
)


@rule("OPT817", "warning", explains=("OPT805",))
def renewed_optimizer(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Counts the optimizers that step in the calls of `train_step` with the same parameters, and have a state.

    ## Why is this bad?
    Momentum and the averages of Adam are kept in the optimizer. One that is made anew in every step starts them at zero
    each time: momentum does nothing, and Adam's first step is that of the sign alone.

    ## Known problems
    Plain descent has no state to lose and is not reported.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4))

    def train_step():
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        value = loss(model(x), y)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        return value
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def train_step():
        value = loss(model(x), y)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        return value
    ```

    ## References
    PyTorch documentation, `torch.optim`: "you have to construct an optimizer object that will hold the current state".
    """
    step = completed(evidence)
    steps = sum(bool(call.stepped) for call in step.calls)
    if steps < 2:
        raise NotMeasured("train_step makes no two steps with an optimizer of torch's")
    value = RENEWED(step.renewed / (steps - 1), "train_step")
    if not value.number > RENEWED.warning:
        yield value
        return
    yield Found(
        "warning",
        "train_step",
        measured=f"{step.renewed + 1} optimizers of the same parameters in {steps} steps",
        expected="one, which keeps its averages",
        message=f"a new {type(step.optimizers[-1]).__name__} is made in every step: its momentum is lost each time",
        fix=evidence.fix("make the optimizer once, before the loop", []),
        value=value,
    )


@rule("OPT818", "warning", no_number="two batches are the same numbers, or they are not")
def repeated_batch(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Compares what the model is called with in the calls of `train_step`, and looks whether they read a `DataLoader` that
    has more than one batch.

    ## Why is this bad?
    `next(iter(loader))` inside the loop starts the loader anew each time: without shuffling every step sees the first
    batch, and the model learns it by heart.

    ## Known problems
    Training on one fixed batch, to see whether a model can learn it, is not reported without a loader.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loader = torch.utils.data.DataLoader(list(zip(x, y)), batch_size=16)

    def train_step():
        a, b = next(iter(loader))
        optimizer.zero_grad()
        value = loss(model(a), b)
        value.backward()
        optimizer.step()
        return value
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loader = torch.utils.data.DataLoader(list(zip(x, y)), batch_size=16, shuffle=True)

    def train_step():
        a, b = next(iter(loader))
        optimizer.zero_grad()
        value = loss(model(a), b)
        value.backward()
        optimizer.step()
        return value
    ```

    ## References
    PyTorch documentation, `torch.utils.data`.
    """
    seen = [call.batch for call in completed(evidence).calls if call.batch is not None]
    loaders = list(_loaders(evidence.train_step))
    if len(seen) < 3 or not loaders:
        raise NotMeasured("train_step reads no DataLoader that was found, or does not call the model three times")
    batches = max(len(loader) for loader in loaders)
    if batches > 1 and len(set(seen)) == 1:
        yield Found(
            "warning",
            "train_step",
            measured=f"{len(seen)} calls see one and the same batch; the loader has {batches}",
            expected="another batch in every step",
            message="the loader is started anew in every step, and its first batch is always the same",
            fix=evidence.fix("write `for batch in loader:` around the step, and shuffle=True", []),
        )


def _loaders(function: object) -> Iterator[DataLoader]:  # type: ignore[type-arg]
    """The loaders of known length that a function closes over or names."""
    code, cells = getattr(function, "__code__", None), getattr(function, "__closure__", None) or ()
    names = code.co_names if code is not None else ()
    found = [getattr(function, "__globals__", {}).get(name) for name in names]
    found += [cell.cell_contents for cell in cells if _filled(cell)]
    for thing in found:
        if isinstance(thing, DataLoader):
            try:
                len(thing)
            except TypeError:
                continue
            yield thing


def _filled(cell: object) -> bool:
    try:
        return cell.cell_contents is not None  # type: ignore[attr-defined]
    except ValueError:
        return False
