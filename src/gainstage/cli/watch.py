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
    from gainstage.watch import read

    if follow:
        _follow(run)
    header, readings = read(run)
    report = judged(header, readings)
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


def judged(header: "Header", readings: "list[Reading]") -> "Report":
    """What the rules find in the reports, in the order in which they came."""
    from gainstage.check import Finding, Report
    from gainstage.watch import WATCHED, History, findings, folded

    history, found = History(), dict[tuple[str, str], tuple[int, Finding]]()
    for reading in readings:
        history.add(reading)
        for finding in findings(history):
            found.setdefault((finding.code, finding.where), (reading.step, finding))
    sites = max((len(r.sites) for r in readings[-2:]), default=0)
    codes = tuple(sorted(WATCHED)) if readings else ()
    return Report(header.model, header.parameters, sites, folded(list(found.values()), header.every), (), codes)


def _page(header: "Header", readings: "list[Reading]", report: "Report") -> str:
    from gainstage.report import chart, text
    from gainstage.watch.sinks.live import line

    losses = [float("nan") if v is None else v for reading in readings for v in reading.losses]
    last = f"{line(readings[-1], len(report.findings))}\n" if readings else "no report yet\n"
    drawn = chart({"loss": losses}, height=8, y="", unicode=speaks_unicode()) + "\n\n" if losses else ""
    full = click.get_current_context().meta.get(VERBOSE, False)
    return f"{drawn}{last}\n{text(report, color=wants_color(), verbose=full)}".replace("Checked ", "Watched ")


def _follow(path: Path) -> None:
    """Print a line a report until Ctrl-C, which ends it well."""
    from gainstage.watch import read
    from gainstage.watch.sinks.live import line

    shown = 0
    try:
        while True:
            _, readings = read(path)
            for reading in readings[shown:]:
                say(line(reading, 0).removesuffix("  no findings"))
            shown = len(readings)
            time.sleep(0.5)
    except KeyboardInterrupt:
        say("")
