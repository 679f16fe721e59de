"""The rule about running statistics of a frozen part that move."""

from collections.abc import Iterator

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.facts.running import batches_seen, layers
from gainstage.check.facts.steps import completed
from gainstage.check.findings import Found, Value
from gainstage.check.quantity import Limit, Quantity

DRIFT = Quantity(
    "how far the calls of train_step move stored statistics: in stored standard deviations or e-folds of the variance",
    note=Limit(0.05, "Half a percent a step is felt after a hundred."),
    warning=Limit(0.5, "Half a standard deviation, or a variance 1.6 times as large, within some steps."),
)


@rule("NRM410", "warning")
def drifting_statistics(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Looks whether `train_step` moves the running statistics of batch normalizations whose scale and shift are frozen and
    which have seen data before, and how far.

    ## Why is this bad?
    `requires_grad_(False)` does not stop the statistics; only `eval()` does. The frozen part then computes something
    else than what it was trained for, and is lost for its old task.

    ## Known problems
    Where the new data are like the old ones little moves, and it is a note.

    ## Example
    ```python
    body = nn.Sequential(nn.Linear(8, 64), nn.BatchNorm1d(64), nn.ReLU())
    for _ in range(50):
        body(x)
    model = nn.Sequential(body.requires_grad_(False), nn.Linear(64, 4))
    optimizer = torch.optim.SGD(model[1].parameters(), lr=0.1)
    x = 3 * x + 2

    def train_step():
        model.train()
        optimizer.zero_grad()
        value = loss(model(x), y)
        value.backward()
        optimizer.step()
        return value
    ```

    ## Use instead
    ```python
    body = nn.Sequential(nn.Linear(8, 64), nn.BatchNorm1d(64), nn.ReLU())
    for _ in range(50):
        body(x)
    model = nn.Sequential(body.requires_grad_(False), nn.Linear(64, 4))
    optimizer = torch.optim.SGD(model[1].parameters(), lr=0.1)
    x = 3 * x + 2

    def train_step():
        model.train()
        body.eval()
        optimizer.zero_grad()
        value = loss(model(x), y)
        value.backward()
        optimizer.step()
        return value
    ```

    ## References
    PyTorch documentation, `torch.nn.BatchNorm1d`, `track_running_stats`.
    """
    frozen = {
        path
        for path, layer in layers(evidence.model).items()
        if (own := list(layer.parameters(recurse=False))) and not any(p.requires_grad for p in own)
        if batches_seen(layer)
    }
    if not frozen:
        raise NotMeasured("no batch normalization that has seen data is frozen")
    step = completed(evidence)
    moved = {path: step.drifted.get(path, 0.0) for path in frozen}
    worst = max(moved, key=lambda path: moved[path])
    value = DRIFT(moved[worst], worst)
    if not value.number > DRIFT.note:
        yield value
        return
    yield Found(
        "warning" if value.number > DRIFT.warning else "note",
        worst,
        measured=f"{len(step.calls)} calls of train_step move its statistics by {value.number:.2g} standard deviations "
        f"or e-folds of the variance; so {sum(m > 0 for m in moved.values())} of {len(frozen)} frozen layers",
        expected="statistics that stay: the layer's scale and shift are frozen",
        message="the part is frozen, and its normalization adapts to the new data all the same",
        fix=evidence.fix(f"call {worst.split('.')[0] or 'the part'}.eval() after model.train() in every step", []),
        value=value,
    )
