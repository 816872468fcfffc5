"""Whether what a deployment tells straightwire to do is something that it does."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from proxy.cli import COMMANDS, straightwire
from proxy.cli.serve import load_configuration
from proxy.config.schema import Configuration

ROOT = Path(__file__).parents[2]


def image_environment() -> dict[str, str]:
    """Return the variables that the Dockerfile sets."""
    (block,) = re.findall(r"^ENV ((?:.*\\\n)*.*)$", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    return dict(pair.split("=", 1) for pair in block.replace("\\\n", " ").split())


def accept(arguments: Sequence[str]) -> dict[str, object]:
    """Return the options of a command line, parsed as `straightwire` does it; raise for a wrong one."""
    name, *rest = arguments
    assert name in COMMANDS, name
    command = straightwire.get_command(click.Context(straightwire), name)
    while isinstance(command, click.Group):
        command = command.commands[rest.pop(0)]
    return command.make_context(name, rest).params


def serving(environ: Mapping[str, str], monkeypatch, path: Path | None = None) -> Configuration:
    """Return the configuration that `straightwire serve` makes of these variables; raise for a mistake."""
    for name in [name for name in os.environ if name.startswith("STRAIGHTWIRE_")]:
        monkeypatch.delenv(name)
    for name, value in environ.items():
        if name.isupper() and name != "PATH":
            monkeypatch.setenv(name, value)
    return load_configuration(path, {})
