"""`straightwire health`: is the proxy of this configuration ready? For containers."""

import http.client
import os
import sys
from pathlib import Path
from typing import NoReturn

import click

from proxy.cli import FILE
from proxy.config.load import load
from proxy.config.schema import Admin

SECONDS = 3.0
#: What a variable begins with that names an upstream or a file.
TELLING = ("STRAIGHTWIRE_UPSTREAM", "STRAIGHTWIRE_CONFIG")
NOT_ASKED = "http://not.asked"


@click.command(short_help="Ask whether a running proxy is ready.")
@click.option("--config", "path", type=FILE, metavar="FILE", help="The configuration.")
def command(path: Path | None) -> None:
    """Ask the admin listener's /readyz; exit 0 where it is ready, else 1.

    FILE or the STRAIGHTWIRE_… variables that `serve` was given tell where it is; else it is where it is
    by default.
    """
    admin = load(path, environ=os.environ, overrides=_overrides(path)).admin
    if admin is None:
        sys.exit("straightwire: `admin` is null in the configuration; there is nobody to ask.")
    connection = http.client.HTTPConnection(admin.host, admin.port, timeout=SECONDS)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        said = answer.read().decode("utf-8", "replace").strip()
    except OSError as error:
        _fail(admin, error.strerror or str(error))
    except http.client.HTTPException:
        _fail(admin, "what is there speaks no HTTP")
    finally:
        connection.close()
    click.echo(said)
    sys.exit(answer.status != http.client.OK)


def _fail(admin: Admin, reason: str) -> NoReturn:
    sys.exit(f"straightwire: no answer from http://{admin.host}:{admin.port}/readyz: {reason}")


def _overrides(path: Path | None) -> dict[str, str]:
    """Do without an upstream where `serve` may have been given it on its command line."""
    told = path is not None or any(name.startswith(TELLING) and os.environ[name] for name in os.environ)
    return {} if told else {"upstream": NOT_ASKED}
