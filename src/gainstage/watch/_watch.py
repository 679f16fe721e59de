"""`gs.Watch`: the evidence and the rules of `check` while the user's own loop trains."""

from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from torch import nn
from torch.optim import Optimizer

from gainstage.check import Finding, Report
from gainstage.errors import GainstageError
from gainstage.run import class_name
from gainstage.signal import Tape
from gainstage.watch import _stored
from gainstage.watch._loop import Loop
from gainstage.watch._pack import unpack
from gainstage.watch.history import History
from gainstage.watch.judge import Judge
from gainstage.watch.reading import VERSION, Header, Reading, of_tape

JUDGED = 5  # steps: the rules are not asked more often


class Sink(Protocol):
    """Where reports go: see `gainstage.watch.sinks`."""

    def begin(self, header: Header) -> None: ...
    def write(self, reading: Reading, new: Sequence[Finding]) -> None: ...
    def close(self) -> None: ...


class Watch(Loop):
    """Watches a model while it is trained by a loop that does not know of it, and names causes.

    Every `every` steps the forward pass, the gradients and the step are measured, by reductions that stay on the
    device; one copy brings a report to the host, which is read at the next. Between reports each step leaves three
    numbers in a buffer on the device. A step that is measured runs eagerly where the model is compiled: its graph has
    no break, no hook in it, and is not compiled again.

    Args:
        model: as it is trained: wrapped in DDP, sharded by FSDP2, compiled, or plain.
        optimizers: over its parameters; without any, all that step its parameters are followed.
        every: steps between reports; 1, the first step, is always one.
        sinks: where reports go besides: `watch.JSONL(path)`, `watch.Live()`, ...
        on_finding: called with each new finding; what it raises ends the loop.
        start: the tape of the model before its first step, which reports are compared with; without it, the first
            reports are.

    Attributes:
        step: updates that were asked for so far.

    Example:
        >>> import torch, gainstage as gs
        >>> model = torch.nn.Linear(4, 2)
        >>> optimizer = torch.optim.SGD(model.parameters(), 0.1)
        >>> with gs.Watch(model, optimizer, every=5) as watch:
        ...     for _ in range(20):
        ...         optimizer.zero_grad()
        ...         torch.nn.functional.cross_entropy(model(torch.randn(8, 4)), torch.arange(8) % 2).backward()
        ...         optimizer.step()
        >>> [reading.step for reading in watch.readings], watch.report.ok
        ([1, 5, 10, 15, 20], True)
    """

    def __init__(
        self,
        model: nn.Module,
        *optimizers: Optimizer,
        every: int = 50,
        sinks: Sequence[Sink] = (),
        on_finding: Callable[[Finding], object] | None = None,
        start: Tape | None = None,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise GainstageError(f"expected an nn.Module, got {type(model).__name__}; pass the model itself")
        if every < 1:
            raise GainstageError(f"every={every}: expected a number of steps, at least 1")
        super().__init__(model, optimizers, every)
        self.sinks, self.on_finding = list(sinks), on_finding
        self._judge = Judge()
        trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
        self.header = Header(VERSION, class_name(model), trainable, every)
        for sink in self.sinks:
            sink.begin(self.header)
        if start is not None:
            self._judge.history.add(of_tape(start))
            for sink in self.sinks:
                sink.write(self.history.now, [])

    @classmethod
    def attach(cls, trainer: Any, *, every: int = 50, **kwargs: Any) -> "Watch":
        """The watch of a trainer that is about to train: Lightning's, Transformers', or what else has a `model`.

        Raises:
            GainstageError: it holds no model.
        """
        model = getattr(trainer, "lightning_module", None) or getattr(trainer, "model", None)
        if not isinstance(model, nn.Module):
            raise GainstageError(f"expected a trainer with a model, got {type(trainer).__name__} without one")
        return cls(model, every=every, **kwargs)

    # --- what people ask -------------------------------------------------------------------------------------------

    @property
    def history(self) -> History:
        """The windows that the rules read."""
        return self._judge.history

    @property
    def readings(self) -> list[Reading]:
        """The reports so far, the one that is on its way included."""
        self._read()
        return self.history.readings

    @property
    def report(self) -> Report:
        """What was found so far, causes first, as `check` reports it."""
        self._read()
        self._judge.ask()
        return self._judge.report(self.header)

    @property
    def first_seen(self) -> dict[str, int]:
        """For each code that was found, the step of the report that first did."""
        return {finding.code: step for step, finding in reversed(self._judge.found.values())}

    def log(self, **metrics: float) -> None:
        """Numbers of your own for the next reports; `validation` is a loss that the rules read."""
        self._metrics |= {name: float(value) for name, value in metrics.items()}

    def save(self, path: str | Path) -> None:
        """Write what a resumed run needs to go on: the windows, the findings, the step."""
        self._read()
        _stored.save(
            Path(path), _stored.Stored(VERSION, self.step, self.skipped, self.history.readings, self._judge.found)
        )

    def load(self, path: str | Path) -> "Watch":
        """Go on from what `save` has written.

        Raises:
            GainstageError: it is no such file.
        """
        stored = _stored.load(Path(path))
        self.step, self.skipped, self._judge = stored.step, stored.skipped, Judge(found=stored.found)
        for reading in stored.readings:
            self.history.add(reading)
        return self

    def close(self) -> None:
        """Read the last report and take all hooks off."""
        self._off()
        for sink in self.sinks:
            sink.close()
        self.sinks = []

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _read(self) -> None:
        while self._pending:
            reading = unpack(self._pending.pop(0))
            new = self._judge.add(reading, apart=JUDGED)
            for sink in self.sinks:
                sink.write(reading, new)
            for finding in new if self.on_finding is not None else ():
                assert self.on_finding is not None
                self.on_finding(finding)
