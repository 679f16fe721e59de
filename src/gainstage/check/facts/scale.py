"""The scale of each weight beside that of the classical laws: 1 / fan_in times the gain of the activation it reads."""

from dataclasses import dataclass
from math import sqrt

from gainstage.check._fact import fact
from gainstage.check.evidence import Evidence
from gainstage.check.facts.weights import Weight
from gainstage.init import Fans
from gainstage.signal import WeightCall
from gainstage.theory import read_by


@dataclass(frozen=True)
class Scale:
    """One weight that multiplies a signal and whose scale nothing takes away again.

    Attributes:
        weight: its facts.
        call: its first use.
        reads: the activation whose output it reads; `""` where it is none.
        std: root of the mean square of its entries.
        law: the standard deviation that keeps the mean square of what entered the activation: gain / sqrt(fan_in).
        head: it is an output head.
    """

    weight: Weight
    call: WeightCall
    reads: str
    std: float
    law: float
    head: bool

    @property
    def ratio(self) -> float:
        """How many times the law's the scale is."""
        return self.std / self.law


@fact
def scales(evidence: Evidence) -> list[Scale]:
    """The trainable weights that multiply a signal, without those in front of a normalization, those that end a
    residual branch, and constant ones.
    """
    graph, found = evidence.graph, []
    ends = {branch.last for branch in evidence.branches}
    for weight in evidence.weights:
        if weight.constant or weight.name not in evidence.trainable:
            continue
        calls = [(site, graph.weights[site]) for site in weight.sites if site in graph.weights]
        used = [(s, c) for s, c in calls if c.data is not None and graph.parameter_of(c.weight) == weight.name]
        if not used or any(s in ends or {f.kind for f in graph.fates(s)} == {"norm"} for s, _ in used):
            continue
        site, call = used[0]
        assert call.data is not None
        phi = read_by(graph, call.data)
        std = weight.norm / sqrt(evidence.trainable[weight.name].numel())
        law = max(phi.gain if phi else 1.0, 1.0) / sqrt(call.fans.fan_in)
        found.append(Scale(weight, call, phi.name if phi else "", std, law, site in evidence.heads))
    return found


def stored_fans(shape: tuple[int, ...]) -> Fans:
    """What `torch.nn.init` takes for the fans of a tensor: (out, in, kernel...), whatever it is used for."""
    kernel = 1
    for size in shape[2:]:
        kernel *= size
    return Fans(shape[1] * kernel, shape[0] * kernel)


def laws_of(fans: Fans) -> dict[str, float]:
    """The standard deviations of the classical laws for these fans."""
    into, out = fans.fan_in, fans.fan_out
    return {
        "He": sqrt(2 / into),
        "LeCun": sqrt(1 / into),
        "Xavier": sqrt(2 / (into + out)),
        "He of fan_out": sqrt(2 / out),
        "torch's default": sqrt(1 / (3 * into)),
    }
