"""The normalizations of the pass: over how many values each statistic is taken, and along which axes."""

from dataclasses import dataclass
from math import prod

from gainstage.check._fact import fact
from gainstage.check.evidence import Evidence
from gainstage.signal import Site, ops, sample_axis


@dataclass(frozen=True)
class Norm:
    """One normalization whose statistics come from the signal itself.

    Attributes:
        site: the call.
        values: how many entries share one statistic.
        centred: it subtracts a mean.
        axes: over which axes of its input the statistics run.
    """

    site: Site
    values: int
    centred: bool
    axes: tuple[int, ...]

    @property
    def across_samples(self) -> bool:
        """Whether it is a batch normalization, whose statistics are meant to run over samples."""
        return self.site.op == "batch_norm"


@fact
def norms(evidence: Evidence) -> list[Norm]:
    """Every call of a torch normalization on data, by its own statistics."""
    found = []
    for site in evidence.tape.sites:
        if site.kind != "op" or site.index in evidence.graph.constant or not site.inputs or 0 in site.shape:
            continue
        axes = _axes(site, evidence.graph.shapes[site.inputs[0].site])
        if axes:
            shape = evidence.graph.shapes[site.inputs[0].site]
            values = prod(shape[a] for a in axes)
            if site.op == "group_norm":
                values = prod(shape[1:]) // int(ops.argument(site, "num_groups", 1))
            found.append(Norm(site, values, ops.of(site).centred, axes))
    return found


def _axes(site: Site, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The axes of the statistics; empty where stored statistics are used, or none that is known."""
    rank = len(shape)
    if site.op == "batch_norm":
        on = ops.argument(site, "training", False) is True
        return tuple(a for a in range(rank) if a != 1) if on and rank > 1 else ()
    if site.op in ("layer_norm", "rms_norm"):
        normalized = ops.argument(site, "normalized_shape", ())
        return tuple(range(rank - len(normalized), rank)) if isinstance(normalized, tuple) else ()
    if site.op == "group_norm":
        return tuple(range(1, rank))
    if site.op == "instance_norm":
        return tuple(range(2, rank)) if ops.argument(site, "use_input_stats", True) is True else ()
    if site.op == "normalize":
        axis = ops.argument(site, "dim", 1)
        return (axis % rank,) if isinstance(axis, int) and rank else ()
    return ()


def over_samples(evidence: Evidence, norm: Norm) -> bool:
    """Whether the statistics of a normalization run over the samples, as only those of a batch normalization should."""
    shape = evidence.graph.shapes[norm.site.inputs[0].site]
    batch = evidence.tape.batch
    if norm.across_samples or batch is None or batch < 2 or batch not in shape:
        return False
    return sample_axis(shape, batch) in norm.axes


def unit_axis(evidence: Evidence, index: int) -> int | None:
    """The axis along which the units of the weight behind this signal lie; None where views hide it."""
    graph, turns = evidence.graph, []
    while index not in graph.weights:
        site, reads = evidence.tape.sites[index], graph.data(index)
        if len({ref.site for ref in reads}) != 1:
            return None
        before = graph.shapes[reads[0].site]
        if site.kind == "view" and (order := graph.order(index)) is not None:
            turns.append(order)
        elif site.shape != before:
            return None
        index = reads[0].site
    family, rank = graph.weights[index].family, len(graph.shapes[index])
    axis = rank - 1 if family in ("linear", "embedding", "matmul") else 1
    for order in reversed(turns):
        axis = order.index(axis)
    return axis
