"""The rule about biases that a normalization takes away."""

from collections.abc import Iterator

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.facts.norms import norms
from gainstage.check.findings import Found
from gainstage.signal import Site, ops


@rule("NRM409", "note", explains=("BWD303",), no_number="a bias stands in front of a normalization, or it does not")
def bias_before_norm(evidence: Evidence) -> Iterator[Found]:
    """## What it does
    Counts trainable biases right in front of a normalization that takes each channel's mean away: batch normalization,
    instance normalization, group normalization with one channel a group.

    ## Why is this bad?
    The mean swallows the bias: it gets no gradient but rounding, does nothing, and costs memory and time.

    ## Known problems
    Harmless, so a note, one for the whole model.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 4))
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 64, bias=False), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 4))
    ```

    ## References
    Ioffe, Szegedy, *Batch Normalization*, ICML 2015, section 3.2.
    """
    evidence.measured()
    removing = {n.site.index for n in norms(evidence) if n.site.op in ("batch_norm", "instance_norm")}
    removing |= {n.site.index for n in norms(evidence) if n.site.op == "group_norm" and _alone(evidence, n.site)}
    if not removing:
        raise NotMeasured("no normalization takes each channel's mean away")
    names = []
    for index in sorted(removing):
        behind = evidence.graph.source(evidence.tape.sites[index].inputs[0])
        call = evidence.graph.weights.get(behind)
        name = None if call is None or call.bias is None else evidence.graph.parameter_of(call.bias)
        alone = all(evidence.graph.source(r) == behind for r in evidence.graph.data(index))
        if name in evidence.trainable and alone and {f.kind for f in evidence.graph.fates(behind)} == {"norm"}:
            names.append(name)
    names = list(dict.fromkeys(names))
    if names:
        numbers = sum(evidence.trainable[name].numel() for name in names)
        yield Found(
            "note",
            names[0],
            measured=f"{len(names)} bias{'es' * (len(names) > 1)} ({numbers:,} numbers) right before a normalization",
            expected="bias=False there",
            message="the normalization subtracts the channel's mean, and the bias with it",
            fix=evidence.fix("bias=False in the layers in front of a normalization", []),
        )


def _alone(evidence: Evidence, site: Site) -> bool:
    """Whether each group of a group normalization is one channel."""
    shape = evidence.graph.shapes[site.inputs[0].site]
    return len(shape) > 1 and ops.argument(site, "num_groups") == shape[1]
