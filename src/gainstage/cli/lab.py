"""`gainstage lab`: the lessons, live in the browser."""

from pathlib import Path

import click

from gainstage.cli._errors import CannotRun
from gainstage.cli._options import verbose
from gainstage.cli._terminal import say

NEEDS = (
    "marimo zmq altair uvicorn starlette nbformat vl_convert latex2mathml sklearn jinja2 markdown_it yaml pygments"
).split()


@click.command()
@verbose
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8642,
    show_default=True,
    metavar="INT",
    help="Where to listen on 127.0.0.1; 0 takes any free port.",
)
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@click.option(
    "--export",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Write every lesson to DIR as .ipynb and .html, and leave.",
)
@click.option(
    "--playground",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the playground, one page that needs no server, to FILE, and leave.",
)
@click.option("--assign", metavar="3,5", help="Write notebooks of these lessons' exercises, with solutions, to --out.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("assignment"),
    show_default=True,
    metavar="DIR",
    help="Where --assign writes.",
)
@click.option(
    "--grade",
    "handed",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Print a CSV of what students handed in: notebooks and progress files.",
)
@click.option("--hand-in", metavar="NAME", help="Write your progress, signed with --word, to NAME.json.")
@click.option("--word", default="", metavar="TEXT", help="The word that the teacher gave to the class.")
def lab(
    port: int,
    no_browser: bool,
    folder: Path | None,
    file: Path | None,
    assign: str | None,
    out: Path,
    handed: Path | None,
    hand_in: str | None,
    word: str,
) -> None:
    """Serve the interactive course.

    Lessons on initialization, normalization and regularization.

    They run on this machine: the server listens on 127.0.0.1 only, answers
    whoever has the token in the address that it prints, and asks no other
    host for anything. A lesson runs code: keep the address to yourself.

    \b
    gainstage lab                       open the lessons in the browser
    gainstage lab --export lessons/     notebooks and pages to read offline
    gainstage lab --playground p.html   a network that trains in the browser
    gainstage lab --assign 3,5          coursework: notebooks and solutions
    gainstage lab --grade handed-in/    a table of points and first answers
    """
    _check_installed()
    if assign is not None or handed is not None or hand_in is not None:
        _coursework(assign, out, handed, hand_in, word)
        return
    if file is not None:
        from gainstage.lab import playground

        say(str(playground.write(file)))
        return
    if folder is not None:
        from gainstage.lab import export

        for file in export(folder):
            say(str(file))
        return
    from gainstage.lab import serve

    def started(address: str) -> None:
        say(f"gainstage lab: {address}\nCtrl-C ends it.")

    serve(port, browser=not no_browser, say=started)


def _coursework(assign: str | None, out: Path, handed: Path | None, hand_in: str | None, word: str) -> None:
    from gainstage.lab import coursework

    if assign is not None:
        try:
            numbers = [int(part) for part in assign.split(",")]
        except ValueError:
            raise CannotRun(f"--assign {assign}: expected numbers of lessons. Write: --assign 3,5") from None
        for file in coursework.assign(numbers, out):
            say(str(file))
    if handed is not None:
        click.echo(coursework.table(handed, word), nl=False)
    if hand_in is not None:
        say(str(coursework.hand_in(hand_in, word, Path())))


def _check_installed() -> None:
    from importlib.util import find_spec

    if missing := [name for name in NEEDS if find_spec(name) is None]:
        raise CannotRun(f'the lab needs {", ".join(missing)}. Write: pip install "gainstage[lab]"')
