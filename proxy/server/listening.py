"""Sockets that listen, and where they can be found."""

import errno
import os
import socket
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from aiohttp import web

from proxy.errors import CannotListen

#: Connections that may wait to be accepted.
_BACKLOG: Final = 1024
#: A name may stand for addresses that this machine does not have; the others do.
_NOT_HERE: Final = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


def bind(host: str, port: int, *, path: Path | None = None, shared: bool = False) -> list[socket.socket]:
    """Return sockets that listen: one for each address that the host stands for.

    Args:
        host: an address, or a name.
        port: its port; 0 takes any free one.
        path: a unix socket, in the place of host and port.
        shared: others of this user may listen at the same address, if they say so, too; the kernel gives each
            of them its share of the connections (SO_REUSEPORT, socket(7)).

    Raises:
        CannotListen: the address is taken, or not this machine's.
    """
    try:
        return [_bind_path(path)] if path is not None else _bind_addresses(host, port, shared=shared)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error
        raise CannotListen(f"cannot listen on {path or f'{host}:{port}'}: {reason}") from error


async def serve(
    runner: web.AppRunner, sockets: Sequence[socket.socket], context: ssl.SSLContext | None = None
) -> None:
    """Set an application up, and serve it on sockets that listen; they belong to the runner then.

    Args:
        runner: runs the application.
        sockets: what `bind` has returned.
        context: makes it HTTPS.
    """
    await runner.setup()
    for listener in sockets:
        await web.SockSite(runner, listener, backlog=_BACKLOG, ssl_context=context).start()


def url_of(listener: socket.socket, scheme: str = "http") -> str:
    """Return where a socket listens, with the real port where 0 was configured."""
    address = listener.getsockname()
    if isinstance(address, str):
        return f"unix:{address}"
    host, port = address[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _bind_addresses(host: str, port: int, *, shared: bool) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    refused: OSError | None = None
    for family, _, _, _, address in socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    ):
        place = address[0], sockets[0].getsockname()[1] if sockets else port, *address[2:]
        try:
            sockets.append(socket.create_server(place, family=family, backlog=_BACKLOG, reuse_port=shared))
        except OSError as error:
            refused = error
            if error.errno not in _NOT_HERE:
                break
    if refused is not None and (not sockets or refused.errno not in _NOT_HERE):
        for listener in sockets:
            listener.close()
        raise refused
    return sockets


def _bind_path(path: Path) -> socket.socket:
    """Bind a unix socket, over one that was left behind where nobody listens any more."""
    if path.is_socket():
        with socket.socket(socket.AF_UNIX) as caller:
            if caller.connect_ex(str(path)) == 0:
                raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        path.unlink()
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(str(path))
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
