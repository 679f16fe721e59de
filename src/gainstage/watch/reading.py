"""One report of a watch: what was measured at one step, as numbers that JSON can hold. This is the schema of a run.

A run is a file of JSON lines: first one `Header`, then one `Reading` a report. Numbers that are not finite are null.
"""

from collections.abc import Iterator
from math import inf, isfinite, nan
from pathlib import Path

import msgspec

from gainstage.errors import GainstageError
from gainstage.signal import Tape

VERSION = 1
Number = float | None


class Parameter(msgspec.Struct, array_like=True):
    """One parameter at a step; norms are root sums of squares over all of its entries, on all ranks.

    Attributes:
        gradient: norm of the gradient that the optimizer used: unscaled, accumulated, clipped.
        arrived: the same before clipping.
        weight: norm of the parameter before the step.
        update: norm of what the step changed, estimated on a regular sample where the model is large.
        lost: share of the entries with a gradient that the step left bit for bit as they were.
    """

    gradient: Number
    arrived: Number
    weight: Number
    update: Number
    lost: Number


class Place(msgspec.Struct, array_like=True):
    """One site at a step, on about 8,192 entries of at least 8 samples; means over ranks.

    Attributes:
        rms: root mean square of the signal.
        between: variance between samples over the mean square.
        zeros, saturated: shares of entries, as in `signal.Moments`.
        largest: largest absolute entry.
        nonfinite: NaN and infinite entries; 0 where all of them are minus infinity, the usual value of a mask.
        dead: after a rectifier the share of units that were 0 or less in all of the last reports; else null.
        gradient: root mean square of the gradient of the loss by this signal.
    """

    rms: Number
    between: Number
    zeros: Number
    saturated: Number
    largest: Number
    nonfinite: Number
    dead: Number
    gradient: Number


class Attention(msgspec.Struct, array_like=True):
    """One attention: mean entropy of its weights over that of equal ones (0 to 1), and the largest logit."""

    entropy: Number
    logit: Number


class Router(msgspec.Struct, array_like=True):
    """One choice among experts: the largest share of the tokens times the number of experts, and the share unused."""

    load: Number
    unused: Number


class Norm(msgspec.Struct, array_like=True):
    """One batch normalization.

    Attributes:
        ratio: stored variance over that of the batch.
        stored: a number that moves with what is stored.
        shift: how far the stored means are from the batch's, in standard deviations of the batch.
    """

    ratio: Number
    stored: Number
    shift: Number = None


class Group(msgspec.Struct, array_like=True):
    """One parameter group of an optimizer: its rate, update over weight of all of it, and its number of entries."""

    rate: Number
    ratio: Number
    entries: int


class Reading(msgspec.Struct):
    """One report.

    Attributes:
        step: updates that the optimizers were asked for so far; the first is 1, and 0 is the tape of the start.
        seconds: since the watch began.
        losses: of every step since the last report; the last is this step's. Unscaled, summed over the backward passes.
        levels: root mean square of a sample of the batch, for the same steps.
        same: for the same steps, whether the batch is equal to the one before.
        rates: learning rate of every group, for the same steps the largest.
        rate, decay, momentum: of every group.
        groups: what each group did, by its name: its own, or those of its parameters; where there are several.
        skipped: steps that a gradient scaler left out so far.
        scale: of the gradient scaler.
        training: whether dropout and batch normalization are in training mode; null where there is neither.
        parameters, sites, attentions, routers, norms: by name, in the order of the pass.
        metrics: what `Watch.log` was given.
        nonfinite: steps since the last report whose loss was NaN or infinite.
        broken: the first site of such a pass that was not finite, where it was run again; `"?"` where none was found.
    """

    step: int
    seconds: float = 0.0
    losses: list[Number] = []
    levels: list[Number] = []
    same: list[bool] = []
    rates: list[float] = []
    rate: list[float] = []
    decay: list[float] = []
    momentum: list[float] = []
    decoupled: bool = False
    skipped: int = 0
    scale: float = 1.0
    training: bool | None = None
    parameters: dict[str, Parameter] = {}
    sites: dict[str, Place] = {}
    attentions: dict[str, Attention] = {}
    routers: dict[str, Router] = {}
    norms: dict[str, Norm] = {}
    groups: dict[str, Group] = {}
    metrics: dict[str, float] = {}
    nonfinite: list[int] = []
    broken: str = ""

    @property
    def loss(self) -> float:
        """At this step; NaN where none was seen."""
        return number(self.losses[-1]) if self.losses else nan


def broken(nonfinite: float, low: float, high: float) -> float:
    """How many entries are not finite, by the extremes of all; minus infinity alone is the usual value of a mask.

    Example:
        >>> broken(3, float("-inf"), 2.0), broken(3, float("-inf"), float("nan")), broken(1, -1.0, float("inf"))
        (0.0, 3, 1)
    """
    return 0.0 if low == -inf and isfinite(high) else nonfinite


def of_tape(tape: Tape) -> Reading:
    """The start as its tape has it: step 0, which later reports are compared with.

    Args:
        tape: of the model before its first step, as `gs.record` gives it.
    """
    sites = {}
    for site in tape.sites:
        if site.kind == "op" and (m := site.forward) is not None and m.count:
            between = m.variance_between / m.mean_square if m.mean_square > 0 else nan
            gradient = site.backward.rms if site.backward is not None else nan
            largest, bad = max(abs(m.minimum), abs(m.maximum)), broken(m.nonfinite, m.minimum, m.maximum)
            sites[site.name] = Place(m.rms, between, m.zeros, m.saturated, largest, bad, m.dead, gradient)
    return Reading(step=0, sites=sites)


class Header(msgspec.Struct):
    """What is watched: the first line of a run."""

    version: int
    model: str
    parameters: int
    every: int


def number(value: Number) -> float:
    """A number of a reading; null is NaN."""
    return nan if value is None else value


def read(path: Path) -> tuple[Header, list[Reading]]:
    """A run from its file, up to its last whole line: one that is still written is read as far as it is.

    Raises:
        GainstageError: it is no run.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise GainstageError(f"cannot read {path}: {error.strerror}") from error
    try:
        header = msgspec.json.decode(lines[0], type=Header)
        whole = list(_readings(lines[1:-1], last=lines[-1]))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise GainstageError(
            f"{path} is no run of a watch: {error}. Expected the file of gs.Watch(..., sinks=[gs.watch.JSONL(path)])"
        ) from None
    if header.version != VERSION:
        raise GainstageError(f"{path} is a run of version {header.version}, expected {VERSION}")
    return header, whole


def _readings(lines: list[bytes], last: bytes) -> Iterator[Reading]:
    for line in lines:
        if line.strip():
            yield msgspec.json.decode(line, type=Reading)
    try:
        yield msgspec.json.decode(last, type=Reading)
    except msgspec.DecodeError:
        return  # the last line is not yet, or never was, written to its end
