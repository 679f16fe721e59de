"""The sites of one pass in execution order, with who feeds whom and the moments of each."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from gainstage.run import Line, leaves_among
from gainstage.signal._moments import Moments


@dataclass(frozen=True, slots=True)
class Ref:
    """One output of one site, standing where a tensor stood in a call."""

    site: int
    output: int = 0


@dataclass(slots=True)
class Site:
    """One call of one operation in one pass.

    Attributes:
        index: position on the tape.
        name: `blocks.3.fc1/linear#0`: module path, operation, how often this operation has run there before.
        path: path of the innermost module that ran it; for leaves, the name of the parameter, buffer or input.
        module: class name of that module.
        op: operation, without in-place and operator spelling: `add` for `+`, `+=` and `add_`.
        kind: `"op"`; `"view"` for operations that only rearrange; `"loss"` for operations of the loss; or a leaf:
            `"input"`, `"parameter"`, `"buffer"`, `"constant"`.
        args, kwargs: the call, with a `Ref` in place of every tensor.
        shape, dtype: of the first output (leaves: of the tensor).
        forward: moments of the first output, or of the leaf; None for views, parameters, integers and meta tensors.
        backward: moments of the gradient with respect to it; None where no gradient arrives.
        function: what was called.
        line: file and number of the user's line that called it; None where only library code did.
        inputs: the outputs that this site reads, in the order of the call.
    """

    index: int
    name: str
    path: str
    module: str
    op: str
    kind: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    shape: tuple[int, ...]
    dtype: str
    forward: Moments | None = None
    backward: Moments | None = None
    function: Any = field(default=None, repr=False, compare=False)
    line: Line | None = field(default=None, repr=False, compare=False)
    inputs: tuple[Ref, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.inputs = tuple(leaves_among((self.args, self.kwargs), Ref))

    @property
    def is_leaf(self) -> bool:
        """Whether this is a parameter, buffer, input or constant rather than a call."""
        return self.kind in ("input", "parameter", "buffer", "constant")

    def argument(self, position: int, name: str, default: Any = None) -> Any:
        """One argument of the call, however it was passed."""
        if name in self.kwargs:
            return self.kwargs[name]
        return self.args[position] if position < len(self.args) else default


@dataclass(frozen=True)
class Sites:
    """What a tape holds.

    Attributes:
        model: class name of the model.
        sites: every call and every leaf, in the order in which they were first seen.
        outputs: the tensors that the model returned.
        loss: value of the loss, or of the surrogate; None without a backward pass.
        surrogate: whether the loss was the surrogate of `record` and says nothing about training.
        batch: number of samples in the example, None where it could not be told.
        ties: every parameter name that is another name of a shared parameter, with the name it goes by here.
        alike: of look-ups, the share of equal indices in two samples, and at two positions.
        unused: parameters that no site reads.
        overwritten: inputs that the forward pass wrote to.
    """

    model: str
    sites: tuple[Site, ...]
    outputs: tuple[Ref, ...] = ()
    loss: float | None = None
    surrogate: bool = False
    batch: int | None = None
    ties: Mapping[str, str] = field(default_factory=dict)
    alike: Mapping[int, tuple[float, float]] = field(default_factory=dict)
    unused: tuple[str, ...] = ()
    overwritten: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Site]:
        """The sites that compute real or complex numbers, in execution order."""
        return (
            site for site in self.sites if site.kind == "op" and site.dtype.startswith(("float", "bfloat", "complex"))
        )

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getitem__(self, name: str) -> Site:
        """The site or leaf of this name; a module path gives the last site in it that computes."""
        found = [site for site in self.sites if site.name == name]
        found = found or [site for site in self if site.path == name]
        if not found:
            from difflib import get_close_matches

            near = get_close_matches(name, [site.name for site in self.sites] + [site.path for site in self], n=1)
            raise KeyError(f"no site {name!r} on this tape" + (f"; did you mean {near[0]!r}?" if near else ""))
        return found[-1]

    def parameter(self, name: str) -> Site | None:
        """The leaf of a parameter under any of its names; None where nothing reads it."""
        return self._parameters.get(self.ties.get(name, name))

    @cached_property
    def _parameters(self) -> dict[str, Site]:
        return {site.path: site for site in reversed(self.sites) if site.kind == "parameter"}

    def consumers(self) -> dict[int, list[int]]:
        """For every site, the sites that read it."""
        readers: dict[int, list[int]] = {site.index: [] for site in self.sites}
        for site in self.sites:
            for index in dict.fromkeys(ref.site for ref in site.inputs):
                readers[index].append(site.index)
        return readers
