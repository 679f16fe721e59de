"""`gainstage watch`: a run that was, or is being, watched."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gainstage.cli._errors import CLEAN, FINDINGS, VERBOSE
from gainstage.cli._files import write_text
from gainstage.cli._options import output_format, verbose
from gainstage.cli._report import can_write
from gainstage.cli._terminal import note, say, speaks_unicode, wants_color

if TYPE_CHECKING:
    from gainstage.check import Report
    from gainstage.watch import Header, Reading


@click.command()
@verbose
@click.argument("run", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="RUN.jsonl")
@click.option("--follow", is_flag=True, help="Show new reports as they are written, until Ctrl-C.")
@output_format("text", "concise", "json", "sarif", "junit", "github", "html")
@click.option("--output-file", type=click.Path(path_type=Path), metavar="FILE", help="Write it there.")
@click.option("--exit-zero", is_flag=True, help="Leave with exit code 0 also when there are findings.")
def watch(run: Path, follow: bool, style: str, output_file: Path | None, exit_zero: bool) -> None:
    """Show a watched run: its loss, its last report, and what was found.

    \b
    watch = gs.Watch(model, sinks=[gs.watch.JSONL("run.jsonl")])
    gainstage watch run.jsonl --output-format html --output-file run.html

    Exit codes: 0 clean, 1 findings above a note, 2 could not run.
    """
    can_write(style)
    from gainstage.watch import Judge, read

    if follow:
        _follow(run)
    header, readings = read(run)
    judge = Judge()
    for reading in readings:
        judge.add(reading)
    report = judge.report(header)
    if style == "text":
        page = _page(header, readings, report)
    elif style == "html":
        from gainstage.report.watched import watch_html

        page = watch_html(header, readings, report)
    else:
        from gainstage.report import write

        page = write(report, style)
    if output_file is not None:
        write_text(output_file, page)
        note(f"wrote {output_file}")
    else:
        say(page, styled=True)
    click.get_current_context().exit(CLEAN if report.ok or exit_zero else FINDINGS)


def _page(header: "Header", readings: "list[Reading]", report: "Report") -> str:
    from gainstage.report import chart, text
    from gainstage.watch.sinks.live import groups, line

    losses = [float("nan") if v is None else v for reading in readings for v in reading.losses]
    last = f"{line(readings[-1], len(report.findings))}\n" if readings else "no report yet\n"
    measured = next((r for r in reversed(readings) if any(g.ratio is not None for g in r.groups.values())), None)
    last += "".join(f"  {row}\n" for row in groups(measured)) if measured is not None else ""
    drawn = chart({"loss": losses}, height=8, y="", unicode=speaks_unicode()) + "\n\n" if losses else ""
    full = click.get_current_context().meta.get(VERBOSE, False)
    return f"{drawn}{last}\n{text(report, color=wants_color(), verbose=full)}".replace("Checked ", "Watched ")


def _follow(path: Path) -> None:
    """Print a line a report, and one a finding where it comes, until Ctrl-C, which ends it well."""
    from rich.console import Console

    from gainstage.watch import Judge, read
    from gainstage.watch.sinks.live import line, told

    judge, shown, size = Judge(), 0, -1
    console = Console(no_color=not wants_color(), highlight=False)
    try:
        while True:
            if size != (size := path.stat().st_size):
                _, readings = read(path)
                for reading in readings[shown:]:
                    new = judge.add(reading)
                    say(line(reading, len(judge.found)))
                    for finding in new:
                        console.print(told(finding, reading.step), soft_wrap=True)
                shown = len(readings)
            time.sleep(0.5)
    except KeyboardInterrupt:
        say("")
