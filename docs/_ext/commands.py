"""The command line, as `--help` prints it, and the files that are read and written, with their schemas."""

import json
from pathlib import Path

import click
import msgspec

from files import put
from gainstage.check.baseline import _File as BaselineFile
from gainstage.cli import main
from gainstage.plan._assignments import _File as PlanFile
from gainstage.report.json import json_text


def write(place: Path) -> None:
    context = click.Context(main, info_name="gainstage", max_content_width=80, terminal_width=80)
    lines = ["# The command line", "", "```text", main.get_help(context), "```", ""]
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        assert command is not None
        inner = click.Context(command, info_name=f"gainstage {name}", max_content_width=80, terminal_width=80)
        lines += [f"## gainstage {name}", "", "```text", command.get_help(inner), "```", ""]
    put(place / "index.md", "\n".join(lines))
    put(place / "formats.md", _formats())


def _formats() -> str:
    lines = ["# Files that are read and written", "", "## Report (`--output-format json`)", "", "```{eval-rst}"]
    lines += [".. autofunction:: gainstage.report.json.json_text", "   :no-index:", "```", ""]
    assert json_text.__doc__
    for title, said, kind in (
        (
            "Plan (`plan.to_json()`, `gainstage audit --plan`)",
            "One row a parameter: role, law, reason, shape.",
            PlanFile,
        ),
        ("Baseline (`--write-baseline`, `--baseline`)", "What is known and no longer reported.", BaselineFile),
    ):
        schema = json.dumps(msgspec.json.schema(kind), indent=2)
        lines += [f"## {title}", "", said, "", "```json", schema, "```", ""]
    return "\n".join(lines)
