"""The command line: one group; a module and a row of ``COMMANDS`` for each command, imported when it is called.

Exit codes: 0 all is well; 1 it ran, and something did not hold; 2 the input cannot be used (one line tells why). As
every program's, Ctrl-C is 130 and a reader that left early (``| head``) ends it without a word.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

import click

from svmlab.cli.examples import examples_of
from svmlab.errors import SvmError

__all__ = ["COMMANDS", "main"]

COMMANDS = {
    "machine": "svmlab.cli.machine",
    "new": "svmlab.cli.new",
    "run": "svmlab.cli.run",
    "sweep": "svmlab.cli.sweep",
    "compare": "svmlab.cli.compare",
    "trace": "svmlab.cli.trace",
    "race": "svmlab.cli.race",
    "verify": "svmlab.cli.verify",
    "behaviours": "svmlab.cli.behaviours",
    "peers": "svmlab.cli.peers",
    "lab": "svmlab.cli.lab",
    "course": "svmlab.course.command",
    "release": "svmlab.cli.release",
    "bench": "svmlab.bench.command",
    "completion": "svmlab.cli.completion",
}
"""Every command, in the order in which help lists them, and the module that has it under its own name."""


class _Group(click.Group):
    """A group that imports a command when it is called, and tells what svmlab refuses in one line, with exit code 2."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        """The names of the commands, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 (click's signature)
        """The command of that name, imported now."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(COMMANDS[cmd_name]), cmd_name)
        command.epilog = examples_of(cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; ``--debug`` shows where an error came from."""
        try:
            return super().invoke(ctx)
        except SvmError as error:
            if ctx.obj:
                raise
            click.echo(f"svmlab: {_one_line(str(error))}", err=True)
            ctx.exit(2)
        except KeyboardInterrupt:
            click.echo("svmlab: interrupted", err=True)
            ctx.exit(130)
        except (click.exceptions.ClickException, click.exceptions.Abort, click.exceptions.Exit, BrokenPipeError):
            raise  # click ends these itself
        except Exception as error:  # no traceback reaches a user who did not ask for one
            if ctx.obj:
                raise
            told = f"{type(error).__name__}: {error}"
            click.echo(f"svmlab: a defect of svmlab itself: {_one_line(told)}; --debug shows where", err=True)
            ctx.exit(2)


def _one_line(text: str) -> str:
    """Names in a message may come from a file: nothing in them reaches the terminal as a control character."""
    return "".join(character if character.isprintable() else "?" for character in " ".join(text.split()))


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="svmlab COMMAND --help shows examples.",
)
@click.version_option(package_name="svmlab")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def main(ctx: click.Context, debug: bool) -> None:
    """A laboratory for GPU shared virtual memory: the Linux AMD KFD SVM driver as a simulation."""
    ctx.obj = debug
    # https://no-color.org: set and not empty means no colour, even on a terminal.
    if os.environ.get("NO_COLOR"):
        ctx.color = False
