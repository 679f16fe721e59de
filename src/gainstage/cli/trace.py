"""`gainstage trace`: the signal and its gradient, layer by layer."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gainstage.cli._errors import CannotRun
from gainstage.cli._files import write_text, write_whole
from gainstage.cli._objective import with_objective
from gainstage.cli._options import with_loss, with_target
from gainstage.cli._target import load
from gainstage.cli._terminal import output_is_ours, say, width

if TYPE_CHECKING:
    from gainstage.plan import Forecast
    from gainstage.run import Subject
    from gainstage.signal import Tape


@click.command()
@with_target
@with_loss
@click.option("--no-backward", is_flag=True, help="Only the forward pass.")
@click.option("--foresee", "ahead", is_flag=True, help="Do not run it: what theory says of its weights, or of a plan.")
@click.option("--json", "data", type=click.Path(path_type=Path), metavar="FILE.json", help="With --foresee: as data.")
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE.png", help="Also draw it (needs matplotlib).")
def trace(
    target: str,
    inputs: tuple[str, ...],
    seed: int,
    loss: str | None,
    classes: int | None,
    no_backward: bool,
    ahead: bool,
    data: Path | None,
    plot: Path | None,
) -> None:
    """Run TARGET once and show the signal, one row a layer.

    Forward and backward: how large the signal is at each operation, how much of
    it still tells the samples of the batch apart, how much is zero or
    saturated, and how large the gradient is on its way back.

    With --foresee the same is predicted, with the first loss and the norm of the
    first gradient; a model on the meta device is planned first.
    """
    if data is not None and not ahead:
        raise click.UsageError("--json writes a forecast: add --foresee.")
    if plot is not None:
        _can_plot(plot)
    with output_is_ours():
        subject = with_objective(load(target, inputs, seed), loss, classes, seed)
        from gainstage.signal import Tape as Sites

        shown = _foreseen(subject) if ahead else _recorded(subject, not no_backward)
    say(shown.table(width()))
    if data is not None and not isinstance(shown, Sites):
        write_text(data, shown.to_json())
        say(f"wrote {data}")
    if plot is not None:
        _draw(shown, plot)
        say(f"wrote {plot}")


def _recorded(subject: "Subject", backward: bool) -> "Tape":
    import gainstage as gs

    return gs.record(subject.model, subject.example, target=subject.target, loss=subject.loss, backward=backward)


def _foreseen(subject: "Subject") -> "Forecast":
    import gainstage as gs
    from gainstage.run import has_data

    real = all(has_data(p) for p in subject.model.parameters())
    plan = None if real else gs.plan(subject.model, subject.example)
    return gs.foresee(subject.model, subject.example, plan, target=subject.target, loss=subject.loss)


def _can_plot(path: Path) -> None:
    """Say that the drawing cannot be made before the pass is run, not after."""
    try:
        import matplotlib
    except ModuleNotFoundError:
        raise CannotRun('--plot needs matplotlib. Write: pip install "gainstage[plot]"') from None
    matplotlib.use("Agg")  # files only: no window, no display needed
    from matplotlib.backend_bases import FigureCanvasBase

    if _kind(path) not in FigureCanvasBase.get_supported_filetypes():
        raise CannotRun(f"--plot {path}: expected a file name that ends in .png, .svg or .pdf.")


def _draw(shown: "Tape | Forecast", path: Path) -> None:
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots()
    shown.plot(ax=axes)
    write_whole(path, lambda temporary: figure.savefig(temporary, format=_kind(path), bbox_inches="tight"))
    plt.close(figure)


def _kind(path: Path) -> str:
    return path.suffix.lstrip(".").lower()
