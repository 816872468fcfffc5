"""`straightwire health`: is the proxy of this configuration ready? For containers."""

import http.client
import os
import sys
from pathlib import Path

import click

from proxy.config.load import load

SECONDS = 3.0


@click.command()
@click.option("--config", "path", type=click.Path(path_type=Path), metavar="FILE", help="The configuration.")
def command(path: Path | None) -> None:
    """Ask the admin listener's /readyz; exit 0 where it is ready, else 1."""
    admin = load(path, environ=os.environ).admin
    if admin is None:
        sys.exit("straightwire: `admin` is null in the configuration; there is nobody to ask.")
    connection = http.client.HTTPConnection(admin.host, admin.port, timeout=SECONDS)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        said = answer.read().decode("utf-8", "replace").strip()
    except OSError as error:
        sys.exit(f"straightwire: no answer from http://{admin.host}:{admin.port}/readyz: {error}")
    finally:
        connection.close()
    click.echo(said)
    sys.exit(answer.status != http.client.OK)
