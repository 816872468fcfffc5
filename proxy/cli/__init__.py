"""The commands. Each stands in a module of its own, which is imported when it is called.

`straightwire health` runs every few seconds in a container: it must not pay for
what only `serve` needs.
"""

import signal
import sys
from contextlib import suppress
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Final, NoReturn

import click

from proxy import __version__
from proxy.errors import ConfigurationError, StraightwireError
from proxy.server.processes.garbage import hold_back

COMMANDS: Final = ("serve", "demo", "config", "health", "repairs")

#: A configuration; whether it can be read is told as all else that is wrong with it.
FILE: Final = click.Path(path_type=Path, readable=False)

DONE: Final = 0
FAILED: Final = 1
WRONG_USAGE: Final = 2
#: As if the signal had ended the process.
TOLD_TO_STOP: Final = 128 + signal.SIGTERM


class Commands(click.Group):
    """A group whose commands are looked up in modules of their names."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands, in the order of a newcomer's interest."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command; None where there is none of this name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"proxy.cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is meant; what is none gets a hint, as a misspelt option does."""
        near = get_close_matches(args[0], COMMANDS, n=1)
        if near and args[0] not in COMMANDS:
            ctx.fail(f"No such command '{args[0]}'. Did you mean '{near[0]}'?")
        return super().resolve_command(ctx, args)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="straightwire")
def straightwire() -> None:
    """A proxy that gives almost-OpenAI servers OpenAI's wire form.

    Point a client at its port, and it at your server:

        straightwire serve --upstream http://127.0.0.1:8080
    """


def main(arguments: list[str] | None = None) -> None:
    """Run a command, and end the process: 0 done, 1 failed, 2 wrong usage or configuration.

    Args:
        arguments: the command line without the program's name; None: this process's own.
    """
    signal.signal(signal.SIGTERM, _told_to_stop)
    hold_back()
    try:
        sys.exit(straightwire.main(arguments, prog_name="straightwire", standalone_mode=False) or DONE)
    except ConfigurationError as error:
        _end(str(error), WRONG_USAGE)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(WRONG_USAGE)
    except click.ClickException as error:
        _end(f"straightwire: {_sentence(error)} `straightwire --help` tells more.", WRONG_USAGE)
    except (StraightwireError, OSError) as error:
        _end(f"straightwire: {error}", FAILED)
    except click.Abort:
        _end("straightwire: interrupted", FAILED)


def _told_to_stop(*_: object) -> NoReturn:
    """End a command that does not care itself. Linux keeps unhandled signals from a container's process 1."""
    sys.exit(TOLD_TO_STOP)


def _sentence(error: click.ClickException) -> str:
    """Return what is wrong; click leaves out the full stop here and there."""
    said = error.format_message()
    return said if said.endswith((".", "?", "?)")) else f"{said}."


def _end(said: str, status: int) -> NoReturn:
    with suppress(OSError):  # where nobody can be told, the status still tells
        click.echo(said, err=True)
    sys.exit(status)
