"""One line in the terminal that is written anew at every report, and one that stays for every finding."""

from collections.abc import Sequence

from rich.console import Console
from rich.live import Live as RichLive
from rich.text import Text

from gainstage._visible import visible
from gainstage.check import Finding
from gainstage.watch.reading import Header, Number, Reading, number

_COLOR = {"error": "bold red", "warning": "bold yellow", "note": "bold cyan"}


class Live:
    """The state of a run in a line: step, loss, gradient, update over weight, rate, findings.

    Args:
        console: where to write; standard error by default.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._live: RichLive | None = None
        self._count = 0

    def begin(self, header: Header) -> None:
        """The run begins."""
        self._live = RichLive(Text(f"{visible(header.model)} watched"), console=self._console, auto_refresh=False)
        if self._console.is_terminal:
            self._live.start()

    def write(self, reading: Reading, new: Sequence[Finding]) -> None:
        """One report."""
        self._count += len(new)
        for finding in new:
            self._console.print(told(finding, reading.step), soft_wrap=True)
        if self._live is not None and self._console.is_terminal:
            self._live.update(Text(line(reading, self._count), no_wrap=True, overflow="ellipsis"), refresh=True)

    def close(self) -> None:
        """The last line stays."""
        if self._live is not None and self._console.is_terminal:
            self._live.stop()
        self._live = None


def told(finding: Finding, step: int) -> Text:
    """A finding as a line."""
    return Text.assemble(
        f"step {step}: ",
        (finding.code, _COLOR[finding.severity]),
        visible(f" {finding.name} at {finding.where}: {finding.measured}"),
    )


def line(reading: Reading, findings: int) -> str:
    """A report as a line of less than 80 columns; the ratio is that of all updates to all weights.

    Example:
        >>> line(Reading(step=50, losses=[2.3], rate=[0.001]), 0)
        'step 50  loss 2.3  gradient -  ratio -  rate 0.001  no findings'
    """
    gradient, weight, update = (
        sum(number(getattr(p, name)) ** 2 for p in reading.parameters.values()) ** 0.5
        for name in ("gradient", "weight", "update")
    )
    rate = max(reading.rate, default=float("nan"))
    said = f"{findings} finding{'s' * (findings != 1)}" if findings else "no findings"
    parts = {
        "loss": reading.loss,
        "gradient": gradient,
        "ratio": update / weight if weight else 0.0,
        "rate": rate,
    }
    shown = "  ".join(
        f"{name} {value:.3g}" if value and value == value else f"{name} -" for name, value in parts.items()
    )
    return f"step {reading.step}  {shown}  {said}"


def groups(reading: Reading) -> list[str]:
    """A line for every parameter group, where there are several.

    Example:
        >>> from gainstage.watch.reading import Group
        >>> for row in groups(Reading(step=50, groups={"body": Group(1e-3, 2e-4, 900), "head": Group(1e-2, None, 30)})):
        ...     print(row)
        body  rate 0.001  ratio 0.0002  900 entries
        head  rate 0.01   ratio -       30 entries
    """
    rows = [
        (visible(name), f"rate {_shown(g.rate)}", f"ratio {_shown(g.ratio)}", f"{g.entries:,} entries")
        for name, g in reading.groups.items()
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]


def _shown(value: Number) -> str:
    return "-" if value is None or value != value else f"{value:.3g}"
