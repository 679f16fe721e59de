"""What makes a layer one step of a traced graph, as torch's own layers are.

`torch.fx` takes a module of `torch.nn` whole and walks through every other one, where a question about the shape ends
the trace. A layer here records itself as one call instead, so that the graph keeps its parameters, its running
statistics and its training flag.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from torch.fx import Proxy


class Leaf:
    """Base of the layers, in front of `nn.Module`: `torch.fx` records a call of the layer, whatever its forward asks.

    Example:
        >>> import torch
        >>> from gainstage.nn import RMSNorm
        >>> graph = torch.fx.symbolic_trace(torch.nn.Sequential(RMSNorm(4), torch.nn.ReLU())).graph
        >>> [node.op for node in graph.nodes]
        ['placeholder', 'call_module', 'call_module', 'output']
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        forward = getattr(cls, "forward", None)
        if forward is not None and not hasattr(forward, "__leaf__"):
            cls.forward = _recorded(forward)  # type: ignore[attr-defined]

    @property
    def itself(self) -> "Leaf":
        """The layer: where a graph finds it that was traced from the layer alone."""
        return self


def _recorded(forward: Callable[..., Any]) -> Callable[..., Any]:
    """`forward`, and for the stand-ins of a trace a node that calls the layer."""

    @wraps(forward)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        for value in (*args, *kwargs.values()):
            if isinstance(value, Proxy):
                name = value.tracer.path_of_module(self) or "itself"  # type: ignore[attr-defined]
                return value.tracer.create_proxy("call_module", name, args, kwargs)
        return forward(self, *args, **kwargs)

    call.__leaf__ = True  # type: ignore[attr-defined]
    return call
