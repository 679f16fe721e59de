"""`gainstage audit`: whether values are those that a plan draws, and where they come from if not."""

from pathlib import Path

import click

from gainstage.cli._errors import CLEAN, FINDINGS
from gainstage.cli._files import read_text
from gainstage.cli._options import seed as seed_option
from gainstage.cli._options import verbose
from gainstage.cli._target import load_model
from gainstage.cli._terminal import output_is_ours, say, width

_FILE = click.Path(path_type=Path)


@click.command()
@click.argument("held", nargs=-1, required=True, metavar="TARGET | FILE.safetensors...")
@click.option("--plan", "plan_file", type=_FILE, required=True, metavar="PLAN.json", help="Written by plan.to_json().")
@click.option("--loaded", type=_FILE, metavar="FILE.safetensors", help="What part of the model was loaded from.")
@seed_option
@verbose
@click.pass_context
def audit(ctx: click.Context, held: tuple[str, ...], plan_file: Path, loaded: Path | None, seed: int) -> None:
    """Say of every parameter where its values come from.

    As drawn by the plan from --seed, loaded, re-drawn, duplicated, constant, or
    garbage that nobody wrote. Several files are the shards of several ranks, in
    their order; each is cut along one axis.
    """
    with output_is_ours():
        from gainstage.plan import Plan

        plan = Plan.from_json(read_text(plan_file))
        files = [Path(name) for name in held]
        shards = len(files) > 1 or files[0].suffix == ".safetensors"
        found = plan.origins(files if shards else load_model(held[0], seed), seed=seed, loaded=loaded)
    say(found.table(width()))
    ctx.exit(FINDINGS if found.wrong else CLEAN)
