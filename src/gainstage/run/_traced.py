"""What a script computes between its data and `backward`, outside of the modules that it trains: kept as a program."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gainstage.run._example import tensors_among, tensors_in
from gainstage.run._lines import line_of_user
from gainstage.run._names import class_name
from gainstage.run._program import Tracer
from gainstage.run._seen import Counts


class Traced(TorchFunctionMode):
    """Follows forward passes and what is computed around them, in the thread in which it was entered.

    Attributes:
        counts: what happened.
    """

    def __init__(self) -> None:
        super().__init__()
        self.counts = Counts()
        self._closing = False
        self._running = 0  # torch functions that this mode was asked about
        self._tracer = Tracer()
        self._inside: list[nn.Module] = []
        self._called: set[int] = set()  # parameters of modules that were called
        self._generator: Tensor | None = None
        self._asking = False  # whether what runs is our own question
        self._thread = threading.get_ident()

    def leave(self) -> None:
        """Observe no more."""
        raise NotImplementedError

    def _look(self) -> bool:
        """Whether what happens now is the script's; ends its loop where that has been seen for long enough."""
        raise NotImplementedError

    @contextmanager
    def _question(self) -> Iterator[None]:
        """What runs in the block is our own, and not seen; also where it raises."""
        before, self._asking = self._asking, True
        try:
            yield
        finally:
            self._asking = before

    def _enter(self, module: nn.Module, inputs: Any) -> None:
        if threading.get_ident() != self._thread or self._asking:
            return
        if self._closing and not self._running:
            self.leave()
            return
        if not self._inside:
            if not any(p.requires_grad for p in module.parameters()):
                return  # a loss, or a frozen part: what it calls is the script's
            self._look()
            if self._generator is None and torch.is_grad_enabled():
                self._generator = torch.get_rng_state()
        self._inside.append(module)

    def _leave(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        if threading.get_ident() != self._thread or not any(module is m for m in self._inside):
            return
        while self._inside.pop() is not module:
            pass  # an exception has left these
        if self._inside or output is None:
            return
        self._called |= {id(p) for p in module.parameters() if p.requires_grad}
        self.counts.forwards += 1
        name = class_name(module)
        self.counts.models[name] = self.counts.models.get(name, 0) + 1
        if not any(t.requires_grad for t in tensors_in(output)):
            self.counts.without_gradient += 1
            return
        with torch._C.DisableTorchFunction():
            tracer = self._tracer
            tracer.add(module, (tracer.symbols(args), tracer.symbols(kwargs)), output, line_of_user())

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if (
            self._inside
            or self._asking
            or self._closing
            or not torch.is_grad_enabled()
            or threading.get_ident() != self._thread
        ):
            return func(*args, **kwargs)
        tracer = self._tracer
        known = any(tracer.var(tensor) is not None for tensor in tensors_among((args, kwargs)))
        given = (tracer.symbols(args), tracer.symbols(kwargs)) if known else ()
        first = args[0] if args and isinstance(args[0], Tensor) else None
        version = first._version if first is not None and not first.is_inference() else 0
        self._running += 1
        try:
            result = func(*args, **kwargs)
        finally:
            self._running -= 1
        if known and getattr(func, "__name__", "") != "backward":
            with torch._C.DisableTorchFunction():
                if any(t.requires_grad for t in tensors_in(result)):
                    tracer.add(func, given, result, line_of_user())
                elif result is None and first is not None and first._version != version and first.requires_grad:
                    tracer.add(func, given, result, line_of_user(), written=first)
        return result
