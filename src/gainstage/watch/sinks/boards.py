"""Boards of other tools: TensorBoard, MLflow, Weights & Biases, trackio; each is imported when it is made.

All get the same numbers a report, by the names of `scalars`, and each finding as text where there is a place for it.
"""

from collections.abc import Sequence
from importlib import import_module
from math import isfinite
from typing import Any

from gainstage.check import Finding
from gainstage.errors import GainstageError
from gainstage.watch.reading import Header, Reading, number


def scalars(reading: Reading) -> dict[str, float]:
    """The numbers of a report that a board draws; what is not finite is left out.

    Example:
        >>> scalars(Reading(step=50, losses=[2.0], rate=[0.1]))
        {'gainstage/loss': 2.0, 'gainstage/rate': 0.1}
    """
    found: dict[str, float] = {"loss": reading.loss, "rate": max(reading.rate, default=float("nan"))}
    if reading.parameters:
        for name in ("gradient", "arrived", "weight", "update"):
            found[name] = sum(number(getattr(p, name)) ** 2 for p in reading.parameters.values()) ** 0.5
    found |= {f"rms/{name}": number(site.rms) for name, site in reading.sites.items()}
    found |= {f"dead/{name}": number(site.dead) for name, site in reading.sites.items()}
    found |= {f"entropy/{name}": number(a.entropy) for name, a in reading.attentions.items()}
    found |= {f"rate/{name}": number(g.rate) for name, g in reading.groups.items()}
    found |= {f"ratio/{name}": number(g.ratio) for name, g in reading.groups.items()}
    found |= {f"load/{name}": number(r.load) for name, r in reading.routers.items()}
    return {f"gainstage/{name}": value for name, value in found.items() if isfinite(value)}


class TensorBoard:
    """Writes event files.

    Args:
        directory: where.
    """

    def __init__(self, directory: str) -> None:
        _module("tensorboard", "tensorboard")
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(directory)

    def begin(self, header: Header) -> None:
        """The run begins."""

    def write(self, reading: Reading, new: Sequence[Finding]) -> None:
        """One report."""
        for name, value in scalars(reading).items():
            self._writer.add_scalar(name, value, reading.step)
        for finding in new:
            self._writer.add_text(f"gainstage/{finding.code}", _said(finding), reading.step)

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()


class MLflow:
    """Logs to the active MLflow run, or to one of its own."""

    def __init__(self) -> None:
        self._mlflow = _module("mlflow", "mlflow")

    def begin(self, header: Header) -> None:
        """The run begins."""
        if self._mlflow.active_run() is None:
            self._mlflow.start_run()

    def write(self, reading: Reading, new: Sequence[Finding]) -> None:
        """One report; a finding becomes a tag."""
        plain = {name.replace("#", "_"): value for name, value in scalars(reading).items()}
        self._mlflow.log_metrics(plain, step=reading.step)
        for finding in new:
            self._mlflow.set_tag(f"gainstage.{finding.code}", f"step {reading.step}: {_said(finding)}"[:500])

    def close(self) -> None:
        """The run is the caller's to end."""


class WandB:
    """Logs to the active Weights & Biases run, or the given one.

    Args:
        run: as `wandb.init` returns it.
    """

    def __init__(self, run: Any = None) -> None:
        self._wandb = _module("wandb", "wandb")
        self._run = run or self._wandb.run
        if self._run is None:
            raise GainstageError("no run of Weights & Biases is active: call wandb.init(...) first, or pass its run")

    def begin(self, header: Header) -> None:
        """The run begins."""

    def write(self, reading: Reading, new: Sequence[Finding]) -> None:
        """One report; findings go to the run's summary."""
        self._run.log(scalars(reading), step=reading.step)
        for finding in new:
            self._run.summary[f"gainstage/{finding.code}"] = f"step {reading.step}: {_said(finding)}"

    def close(self) -> None:
        """The run is the caller's to end."""


class Trackio:
    """Logs to the trackio run that is active.

    Args:
        run: what to log to: anything with `log(numbers, step=)`; trackio itself by default.
    """

    def __init__(self, run: Any = None) -> None:
        self._run = run or _module("trackio", "trackio")

    def begin(self, header: Header) -> None:
        """The run begins."""

    def write(self, reading: Reading, new: Sequence[Finding]) -> None:
        """One report."""
        found = {f"gainstage/finding/{finding.code}": 1.0 for finding in new}
        self._run.log({**scalars(reading), **found}, step=reading.step)

    def close(self) -> None:
        """The run is the caller's to end."""


def _said(finding: Finding) -> str:
    return f"{finding.name} at {finding.where}: {finding.measured}. {finding.message}. {finding.fix.text}"


def _module(name: str, extra: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError:
        raise GainstageError(f"this sink needs {name}. Write: pip install 'gainstage[{extra}]'") from None
