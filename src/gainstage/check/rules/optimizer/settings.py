"""Rules about the settings of the optimizer."""

from collections.abc import Iterator
from typing import Any

import torch

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.facts.steps import optimizers, virtual
from gainstage.check.findings import Found, Severity, Value
from gainstage.check.quantity import Limit, Quantity
from gainstage.run import real


@rule("OPT810", "note", no_number="a weight decay is set on vectors, or it is not")
def decayed_vectors(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Counts the normalization scales and shifts and the biases under weight decay.

    ## Why is this bad?
    Decay pulls a normalization's scale towards 0, which turns its layer off, and gives nothing in return: these vectors
    do not overfit. Most recipes for transformers leave them out; many for ResNets do not.

    ## Known problems
    The effect is small at usual strengths, hence a note.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.LayerNorm(64), nn.ReLU(), nn.Linear(64, 4))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.LayerNorm(64), nn.ReLU(), nn.Linear(64, 4))
    weights = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": weights, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3)
    ```

    ## References
    He et al., *Bag of Tricks for Image Classification with Convolutional Neural Networks*, CVPR 2019, section 3.1.
    """
    decay = {
        id(p): float(group["weight_decay"])
        for optimizer in optimizers(evidence)
        for group in optimizer.param_groups
        if group.get("weight_decay")
        for p in group["params"]
    }
    if not decay:
        raise NotMeasured("no weight decay is set")
    scales = {name for slots in evidence.graph.norm_calls.values() for name in slots.values()}
    names = [n for n, p in evidence.trainable.items() if id(p) in decay and (n in scales or n.endswith("bias"))]
    if names:
        norms = [n for n in names if n in scales]
        counted = ((len(norms), "scales and shifts of normalizations"), (len(names) - len(norms), "biases"))
        strongest = max(decay[id(evidence.trainable[n])] for n in names)
        yield Found(
            "note",
            (norms or names)[0],
            measured=f"weight decay {strongest:g} on " + " and ".join(f"{n} {what}" for n, what in counted if n),
            expected="none on vectors",
            message="decay pulls them to 0 and regularizes nothing",
            fix=evidence.fix('put parameters of one axis in a group of their own: {"weight_decay": 0.0}', []),
        )


BELOW = Quantity(
    "share of the gradient's entries below eps",
    note=Limit(0.5, "The typical entry is not rescaled."),
)
FAR_BELOW = Quantity(
    "share of the gradient's entries below a tenth of eps",
    warning=Limit(0.99, "No more than 1 % of the steps has the size asked for."),
)


@rule("OPT811", "note", explains=("OPT805", "OPT804", "OPT815"))
def epsilon(evidence: Evidence) -> Iterator[Found | Value]:
    r"""## What it does
    Compares the `eps` of Adam and its relatives with the gradients that it is added to, $\sqrt{v} + \epsilon$, and
    looks whether it is rounded to 0 in the precision of the parameters.

    ## Why is this bad?
    Where most gradients are far below `eps`, the optimizer does not rescale them: the step is that of plain gradient
    descent at rate lr / eps. Where `eps` is rounded to 0, as 1e-8 is in float16, an entry whose squared gradient is 0
    divides by 0.

    ## Known problems
    A large `eps` is sometimes chosen on purpose, hence a note unless nearly all gradients are below a tenth of it.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, eps=1.0)
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, eps=1e-8)
    ```

    ## References
    Kingma, Ba, *Adam*, ICLR 2015; Wortsman et al., *Small-Scale Proxies for Large-Scale Transformer Training
    Instabilities*, 2023, section 3.4 (epsilon against the gradient).
    """
    evidence.backward_measured()
    evidence.loss_measured()
    of: dict[int, float] = {
        id(p): float(group["eps"])
        for optimizer in optimizers(evidence)
        for group in optimizer.param_groups
        if isinstance(group.get("eps"), float | int) and ("betas" in group or "alpha" in group)
        for p in group["params"]
    }
    held = {name: of[id(p)] for name, p in evidence.trainable.items() if id(p) in of and name in evidence.gradients}
    if not held:
        raise NotMeasured("the optimizer has no eps")
    rounded = [n for n, eps in held.items() if eps and torch.tensor(eps).to(evidence.trainable[n].dtype) == 0]
    if rounded:
        broken = not all(move.finite for move in virtual(evidence).moves.values())
        yield Found(
            "error" if broken else "warning",
            rounded[0],
            measured=f"eps={held[rounded[0]]:g} is 0 in {str(evidence.trainable[rounded[0]].dtype)[6:]}"
            + (", and after one step parameters are NaN or infinite" if broken else ""),
            expected="an eps that the precision of the parameters can hold",
            message="an entry whose squared gradient is rounded to 0 divides by 0",
            fix=evidence.fix("keep the parameters in float32, under autocast, or set eps=1e-4", []),
        )
        return
    far, below, total = _below(evidence, held)
    if not total:
        return
    value, extreme = BELOW(below / total), FAR_BELOW(far / total)
    if value.number < BELOW.note:
        yield from (value, extreme)
        return
    severity: Severity = "warning" if extreme.number > FAR_BELOW.warning else "note"
    worst = max(held.values())
    yield Found(
        severity,
        next(name for name, eps in held.items() if eps == worst),
        measured=f"{below / total:.0%} of the gradient's entries are below eps={worst:g}, {far / total:.0%} below a "
        "tenth of it",
        expected=f"less than {BELOW.note:.0%} below eps",
        message="the optimizer does not rescale these gradients: its step is far smaller than the learning rate says",
        fix=evidence.fix("lower eps to 1e-8, or average less: a loss that is divided twice has tiny gradients", []),
        value=value if severity == "note" else extreme,
    )


def _below(evidence: Evidence, held: dict[str, float]) -> tuple[float, float, float]:
    """How many entries that are not 0 are below a tenth of eps, below eps, and are there at all."""
    rows = []
    for name, eps in held.items():
        size = real(evidence.gradients[name].to_dense()).abs()
        zeros = size.numel() - torch.count_nonzero(size)
        counts = [torch.count_nonzero(size < limit) - zeros for limit in (eps / 10, eps, torch.inf)]
        rows.append(torch.stack(counts).cpu())
    far, below, total = torch.stack(rows).sum(0).tolist()
    return far, below, total


BETA_HIGH = Limit(0.99, "An average over 100 steps; 0.9 is usual.")
SQUARES_LOW = Limit(0.9, "An average over 10 steps; 0.95 to 0.999 are usual.")
SQUARES_HIGH = Limit(0.9999, "An average over 10,000 steps, more than many trainings have.")


@rule("OPT812", "note", no_number="a momentum and two betas are settings, and nothing is measured")
def unusual_momentum(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Looks at `betas` and `momentum`.

    ## Why is this bad?
    Momentum of 1 or more never forgets: a constant gradient is summed up for ever. A second beta far below 0.9 follows
    single batches, one near 1 reacts after thousands of steps; swapped betas do both.

    ## Known problems
    A setting, not a measurement, hence a note; a warning where the first beta squared exceeds the second, from where on
    Adam need not converge.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.999, 0.9))
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.9, 0.999))
    ```

    ## References
    Kingma, Ba, *Adam*, ICLR 2015; Sutskever et al., *On the Importance of Initialization and Momentum*, ICML 2013.
    """
    groups = [group for optimizer in optimizers(evidence) for group in optimizer.param_groups]
    judged = [group for group in groups if "betas" in group or "momentum" in group]
    if not judged:
        raise NotMeasured("the optimizer has no momentum")
    for said in dict.fromkeys(text for group in judged for text in _unusual(group)):
        yield Found(
            "warning" if any(_unstable(group) for group in judged) and said.startswith("betas") else "note",
            "optimizer",
            measured=said,
            expected=f"momentum and the first beta up to {BETA_HIGH:g}, the second from {SQUARES_LOW:g} to "
            f"{SQUARES_HIGH:g}",
            message="averages over the last 1 / (1 - beta) steps",
            fix=evidence.fix("momentum=0.9, betas=(0.9, 0.999) are the usual start", []),
        )


def _unstable(group: dict[str, Any]) -> bool:
    """Whether Adam's first average is longer than what its second allows: steps go along gradients that are gone."""
    betas = group.get("betas")
    return isinstance(betas, tuple | list) and len(betas) == 2 and float(betas[0]) ** 2 > float(betas[1])


def _unusual(group: dict[str, Any]) -> list[str]:
    found = []
    if group.get("momentum", 0) > BETA_HIGH:
        found.append(f"momentum={group['momentum']:g}")
    betas = group.get("betas")
    if isinstance(betas, tuple | list) and len(betas) >= 2:
        first, second = float(betas[0]), float(betas[1])
        if first > BETA_HIGH or not SQUARES_LOW <= second <= SQUARES_HIGH:
            found.append(f"betas=({first:g}, {second:g})")
    return found
