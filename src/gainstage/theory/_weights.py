"""What weights do with a level, from the second moments of their values or of their laws."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import sqrt

import torch
from torch import Tensor, nn

from gainstage.run import has_data, named_parameters
from gainstage.signal import Graph, coverage


@dataclass
class Weights:
    """Second moments of parameters, by name, and what weights do with them; means, where these are not 0."""

    graph: Graph
    moments: Mapping[str, float]
    means: Mapping[str, float] = field(default_factory=dict)

    def named(self, name: str | None) -> float | None:
        """The second moment of a parameter; None for one that is computed."""
        return None if name is None else self.moments.get(self.graph.tape.ties.get(name, name))

    def back(self, site: int) -> float | None:
        """The second moment times the inputs that an output adds up, less the taps that hang over the edge."""
        call = self.graph.weights[site]
        moment = self.named(self.graph.parameter_of(call.weight))
        if moment is None or call.data is None:
            return None
        return moment * call.fans.fan_in * self.covers(site)

    def covers(self, site: int) -> float:
        """The share of a weight's products that read the signal and not its padding."""
        return coverage(self.graph.sites[site], self.graph.weights[site], self.graph.shapes)

    def writes(self, site: int, level: float) -> float:
        """What a weight makes of a level: of a table an entry, of any other a sum; and the bias."""
        call, measured = self.graph.weights[site], self.graph.sites[site].forward
        factor = self.named(self.graph.parameter_of(call.weight)) if call.data is None else self.back(site)
        if factor is None:
            return measured.mean_square if measured else 1.0
        return (factor if call.data is None else factor * level) + self.bias(site)

    def bias(self, site: int) -> float:
        """The second moment of a weight's bias."""
        call = self.graph.weights[site]
        return (self.named(self.graph.parameter_of(call.bias)) or 0.0) if call.bias is not None else 0.0

    def scale(self, site: int) -> float:
        """The root mean square of the scale of a normalization."""
        moment = self.named(self.graph.norm_calls.get(site, {}).get("scale"))
        return 1.0 if moment is None else sqrt(moment)


@torch.no_grad()
def second_moments(model: nn.Module) -> dict[str, float]:
    """The mean square of every floating parameter, with one host synchronization."""
    chosen = {n: p for n, p in named_parameters(model) if p.is_floating_point() and not p.is_meta and p.numel()}
    squares: list[Tensor] = [
        (torch.linalg.vector_norm(p.float()) ** 2 / p.numel()).double().cpu() for p in chosen.values()
    ]
    return dict(zip(chosen, torch.stack(squares).tolist(), strict=True)) if squares else {}


@torch.no_grad()
def vector_means(model: nn.Module) -> dict[str, float]:
    """The mean of every parameter of one axis: scales are not drawn around 0."""
    return {
        n: float(p.float().mean()) for n, p in named_parameters(model) if p.dim() == 1 and has_data(p) and p.numel()
    }
