"""`straightwire serve`: run the proxy until it is told to stop."""

import os
import sys
from pathlib import Path
from typing import Any

import click

from proxy.cli import FILE
from proxy.config.load import load
from proxy.config.schema import Configuration
from proxy.server.processes.process import run
from proxy.wire.repairs import CATALOGUE
from proxy.wire.translations import CATALOGUE as TRANSLATIONS
from proxy.wire.translations import DIALECTS


def load_configuration(path: Path | None, overrides: dict[str, Any]) -> Configuration:
    """Read the file, the environment and the command line's options.

    Raises:
        ConfigurationError: with every mistake in them.
    """
    return load(
        path,
        environ=os.environ,
        overrides=overrides,
        known_repairs=CATALOGUE,
        known_dialects=DIALECTS,
        known_translations=TRANSLATIONS,
        fixed_repairs={name for name, repair in CATALOGUE.items() if repair.fixed},
    )


@click.command()
@click.option("--config", "path", type=FILE, metavar="FILE", help="The configuration.")
@click.option("--upstream", metavar="URL", help="The server behind; enough without a file.")
@click.option("--listen", metavar="HOST:PORT", help="Where clients connect. [default: 127.0.0.1:8081]")
@click.option("--workers", type=int, metavar="N", help="Processes. [default: 1]")
def command(path: Path | None, upstream: str | None, listen: str | None, workers: int | None) -> None:
    """Run the proxy.

    SIGTERM and SIGINT let running streams end (at most `drain` long), a second one ends at once. SIGHUP
    reads the configuration again.
    """
    overrides = {"upstream": upstream, "listen": listen, "workers": workers}
    sys.exit(run(lambda: load_configuration(path, overrides)))
