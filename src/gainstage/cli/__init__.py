"""The command line: `gainstage VERB`, one file a verb. Asking for help imports no torch."""

import click

from gainstage.cli._lazy import LazyGroup


@click.command(
    cls=LazyGroup,
    verbs=(
        "demo",
        "trace",
        "check",
        "init",
        "run",
        "watch",
        "rule",
        "gain",
        "audit",
        "stream",
        "transfer",
        "compare",
        "lab",
    ),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)
@click.version_option(package_name="gainstage", prog_name="gainstage")
def main() -> None:
    """Start neural networks well, and see that they stay healthy.

    TARGET names a function that builds the model, or the model itself:
    package.module:factory, path/to/file.py:factory or 'net.py:Net(32)'.

    \b
    gainstage demo                                 a minute on real data
    gainstage run train.py                         what is wrong with my training?
    gainstage check net.py:build --input 8x64      what is wrong with it?
    gainstage init net.py:build --input 8x64       how to start it well

    Exit codes: 0 clean, 1 findings, 2 could not run.
    """
