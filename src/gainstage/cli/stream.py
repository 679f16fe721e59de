"""`gainstage stream`: the true start of a model that does not fit into memory."""

from pathlib import Path

import click

from gainstage.cli._files import read_text, write_text
from gainstage.cli._objective import with_objective
from gainstage.cli._options import with_loss, with_target
from gainstage.cli._target import load
from gainstage.cli._terminal import output_is_ours, say, width

_FILE = click.Path(path_type=Path)


@click.command()
@with_target
@with_loss
@click.option("--plan", "plan_file", type=_FILE, metavar="PLAN.json", help="Laws of the weights; default: made here.")
@click.option("--bf16", is_flag=True, help="Inputs of blocks wait in bfloat16, in half the memory.")
@click.option("--directory", type=_FILE, metavar="DIR", help="They wait there; a killed run goes on from there.")
@click.option("--json", "data", type=_FILE, metavar="FILE.json", help="Also write every norm as data.")
def stream(
    target: str,
    inputs: tuple[str, ...],
    seed: int,
    loss: str | None,
    classes: int | None,
    plan_file: Path | None,
    bf16: bool,
    directory: Path | None,
    data: Path | None,
) -> None:
    """First loss and gradient norms of TARGET, without ever holding it.

    Weights are drawn by the plan where they are read, and dropped after; of the
    blocks that repeat, only the inputs are kept. TARGET may build its model on
    the meta device. The numbers are those of the filled model.
    """
    with output_is_ours():
        subject = with_objective(load(target, inputs, seed), loss, classes, seed)
        import torch

        import gainstage as gs

        plan = None if plan_file is None else gs.Plan.from_json(read_text(plan_file))
        start = gs.stream(
            subject.model,
            subject.example,
            plan,
            seed=seed,
            target=subject.target,
            loss=subject.loss,
            borders=torch.bfloat16 if bf16 else None,
            directory=directory,
            progress=True,
        )
    say(start.table(width()))
    if data is not None:
        write_text(data, start.to_json())
        say(f"wrote {data}")
