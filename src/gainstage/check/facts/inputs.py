"""The numbers that the example gives the first weights, before anything is learned from them."""

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from torch import Tensor

from gainstage.check._fact import fact
from gainstage.check._registry import NotMeasured
from gainstage.run import tensors_in
from gainstage.signal import Moments, ops

if TYPE_CHECKING:
    from gainstage.check.evidence import Evidence


@dataclass(frozen=True)
class Entrance:
    """A weight that reads the example's numbers, through nothing but fixed functions.

    Attributes:
        site: index of the weight's site.
        source: name of the input.
        moments: of what it reads.
        values: the input itself where the weight reads it unchanged, with the axis of its features; else None.
        feature_axis: axis of the features in `values`.
        normalized: whether only normalizations read what the weight gives: its scale is divided out.
        centred: whether these are batch normalizations, which take away what all samples share as well.
    """

    site: int
    source: str
    moments: Moments
    values: Tensor | None
    feature_axis: int
    normalized: bool
    centred: bool

    @property
    def offset(self) -> float:
        """RMS of the mean over the samples, over the standard deviation between samples."""
        between = self.moments.variance_between
        common = max(self.moments.mean_square - between, 0.0)
        return float((common / between) ** 0.5) if between > 0 else inf if common > 0 else 0.0


@fact
def entrances(evidence: "Evidence") -> list[Entrance]:
    """Where floating point inputs enter.

    Raises:
        NotMeasured: no input of floating point numbers reaches a weight.
    """
    evidence.measured()
    graph, sites = evidence.graph, evidence.tape.sites
    tensors = dict(zip((s.index for s in sites if s.kind == "input"), tensors_in(evidence.example), strict=False))
    found = []
    for index, call in graph.weights.items():
        if call.data is None:
            continue
        read, source, plain = call.data.site, call.data.site, True
        while sites[source].kind != "input":
            reads = graph.data(source)
            if len(reads) != 1 or source in graph.weights or evidence.recurrent(source) or graph.normalizes(source):
                break
            op = ops.of(sites[source])
            plain = plain and op.kind == "rearrange" and (op.adds or op.name == "flatten")
            source = reads[0].site
        if sites[source].kind != "input" or not sites[source].dtype.startswith(("float", "bfloat")):
            continue
        moments = sites[evidence.made_by(read)].forward
        if moments is None or not moments.count or moments.nonfinite:
            continue
        fates = graph.fates(index)
        normalized = bool(fates) and all(fate.kind == "norm" for fate in fates)
        centred = normalized and all(sites[fate.site].op == "batch_norm" for fate in fates)
        values = tensors.get(source) if plain and source not in graph.outputs else None
        axis = -1 if call.family in ("linear", "matmul", "bilinear") else 1
        found.append(Entrance(index, sites[source].name, moments, values, axis, normalized, centred))
    for site in sites:
        if site.kind == "op" and evidence.recurrent(site.index) and sites[site.inputs[0].site].kind == "input":
            source = site.inputs[0].site
            moments = sites[source].forward
            if moments is not None and moments.count and not moments.nonfinite:
                found.append(Entrance(site.index, sites[source].name, moments, tensors.get(source), -1, False, False))
    if not found:
        raise NotMeasured("no input of floating point numbers reaches a weight")
    return found
