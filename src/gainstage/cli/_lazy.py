"""A group whose verbs are imported when they are asked for, and whose failures all end the same way."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from gainstage.cli._end import stop, stop_quietly
from gainstage.cli._errors import did_you_mean


class LazyGroup(click.Group):
    """`gainstage VERB` is the command `VERB` of the file `gainstage/cli/VERB.py`.

    Args:
        verbs: the verbs in the order in which the help lists them.
    """

    def __init__(self, *args: Any, verbs: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.verbs = tuple(verbs)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs, in their order."""
        return list(self.verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the file of one verb; these files import torch only inside their function."""
        if cmd_name not in self.verbs:
            return None
        command: click.Command = getattr(import_module(f"gainstage.cli.{cmd_name}"), cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, and suggest the nearest verb for a word that is none."""
        if args and not args[0].startswith("-") and args[0] not in self.verbs:
            ctx.fail(f"No such command {args[0]!r}.{did_you_mean(args[0], self.verbs)}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb; whatever it raises becomes one message and exit code 2."""
        try:
            return super().invoke(ctx)
        except (click.exceptions.Exit, click.ClickException):
            raise
        except (KeyboardInterrupt, click.Abort, BrokenPipeError) as error:
            stop_quietly(ctx, error)
        except BaseException as error:  # SystemExit too: only this program says that it ran
            stop(ctx, error)
