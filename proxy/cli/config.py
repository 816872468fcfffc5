"""`straightwire config`: every mistake in a file, and its schema."""

import json
from pathlib import Path

import click

from proxy.cli import FILE
from proxy.cli.serve import load_configuration
from proxy.config.load import json_schema
from proxy.errors import ConfigurationError
from proxy.server.processes.trial import mistakes


@click.group()
def command() -> None:
    """Check a configuration, or print its schema."""


@command.command()
@click.argument("path", type=FILE, metavar="FILE")
def check(path: Path) -> None:
    """Tell every mistake in FILE, with its line and a hint.

    Exit status 0 where there is none, else 2.
    """
    configuration = load_configuration(path, {})
    if wrong := mistakes(configuration):
        raise ConfigurationError(*(f"{path}: {mistake}" for mistake in wrong))
    upstreams = ", ".join(configuration.upstreams)
    click.echo(f"{path}: correct. Upstreams: {upstreams}.")


@command.command(short_help="Print the JSON Schema, for editors.")
def schema() -> None:
    """Print the JSON Schema of the configuration, for completion in editors."""
    click.echo(json.dumps(json_schema(), indent=2))
