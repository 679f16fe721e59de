"""`gainstage init`: a start for a model, as a plan, as code or as weights."""

from pathlib import Path

import click

from gainstage.cli._files import write_text, write_weights
from gainstage.cli._options import output_format, with_target
from gainstage.cli._reasons import reasons
from gainstage.cli._target import load
from gainstage.cli._terminal import note, output_is_ours, say, width


@click.command()
@with_target
@click.option("--scheme", default="auto", show_default=True, metavar="NAME", help="auto, or a classical scheme.")
@click.option("--calibrate", is_flag=True, help="Rescale each weight to the signal that reaches it, in one pass.")
@click.option("--plan", "show", is_flag=True, help="Print the plan: role, law and reason of every parameter.")
@output_format("text", "json")
@click.option("--emit", type=click.Path(path_type=Path), metavar="FILE.py", help="Write the plan as plain PyTorch.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), metavar="FILE.safetensors", help="Write the initialized weights."
)
def init(
    target: str,
    inputs: tuple[str, ...],
    seed: int,
    scheme: str,
    calibrate: bool,
    show: bool,
    style: str,
    emit: Path | None,
    output: Path | None,
) -> None:
    """Choose a start for every parameter of TARGET.

    Without --emit or --output, nothing is written: the plan is printed; --output-format json > plan.json keeps it as
    data, which gainstage audit --plan and gs.Plan.from_json read.
    """
    with output_is_ours():
        subject = load(target, inputs, seed)
        import gainstage as gs

        model, example = subject.model, subject.example
        if output is not None or calibrate:  # a calibrated plan is known only after the pass that calibrates
            plan = gs.initialize(model, example, seed=seed, scheme=scheme, calibrate=calibrate)
        else:
            plan = gs.plan(model, example, scheme=scheme)
    quiet = emit is not None or output is not None
    tell = say if style == "text" else note
    if style == "json":
        say(plan.to_json())
    elif show or not quiet:
        say(f"{plan.table(width())}\n\n{reasons(plan)}")
    if emit is not None:
        write_text(emit, plan.to_python())
        tell(f"wrote {emit}: plain PyTorch, without gainstage")
    if output is not None:
        write_weights(output, model)
        tell(f'wrote {output}. To load it:\n  safetensors.torch.load_model(model, "{output}")')
    if style == "text" and not show and not quiet:
        say()
        say("Nothing was written. Add --emit FILE.py for plain PyTorch code,")
        say("or -o FILE.safetensors for initialized weights.")
