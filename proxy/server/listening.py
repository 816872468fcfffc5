"""A socket that listens, and where it can be found."""

import os
import ssl
from pathlib import Path
from typing import Final

from aiohttp import web

from proxy.errors import CannotListen

#: Connections that may wait to be accepted.
_BACKLOG: Final = 1024


async def listen(
    runner: web.AppRunner,
    host: str,
    port: int,
    *,
    path: Path | None = None,
    context: ssl.SSLContext | None = None,
) -> None:
    """Set an application up, and let it listen.

    Args:
        runner: runs the application.
        host: the address's host.
        port: its port; 0 takes any free one.
        path: a unix socket, in the place of host and port.
        context: makes it HTTPS.

    Raises:
        CannotListen: the address is taken, or not this machine's. The runner is to be cleaned up.
    """
    await runner.setup()
    site: web.BaseSite
    if path is not None:
        site = web.UnixSite(runner, path, backlog=_BACKLOG, ssl_context=context)
    else:
        site = web.TCPSite(runner, host, port, backlog=_BACKLOG, ssl_context=context)
    try:
        await site.start()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error
        raise CannotListen(f"cannot listen on {path or f'{host}:{port}'}: {reason}") from error


def url_of(runner: web.AppRunner, scheme: str = "http") -> str:
    """Return where an application listens, with the real port where 0 was configured."""
    address = runner.addresses[0]
    if isinstance(address, str):
        return f"unix:{address}"
    host, port = address[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
