"""Sockets that listen, and where they can be found."""

import errno
import os
import socket
import ssl
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from proxy.errors import CannotListen

#: Connections that may wait to be accepted.
_BACKLOG: Final = 1024
#: Whether the kernel gives each socket at an address its share of the connections; elsewhere one may get all.
_KERNEL_SHARES: Final = sys.platform == "linux"
#: The shortest silence of a client that is too long, in seconds: a packet may be lost, and its repetition.
_LEAST_SILENCE: Final = 3.0
#: How often a client that has nothing to take is asked in that time whether it is still there.
_QUESTIONS: Final = 3
#: A name may stand for addresses that this machine does not have; the others do.
_NOT_HERE: Final = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


def bind(
    host: str, port: int, *, path: Path | None = None, shared: bool = False, listening: bool = True
) -> list[socket.socket]:
    """Return sockets that listen: one for each address that the host stands for.

    Args:
        host: an address, or a name.
        port: its port; 0 takes any free one.
        path: a unix socket, in the place of host and port.
        shared: others of this user may listen at the same address, if they say so, too; the kernel gives each
            of them its share of the connections (SO_REUSEPORT, socket(7)).
        listening: already. Else they hold the address and get no connections until `serve` has them listen.

    Raises:
        CannotListen: the address is taken, or not this machine's.
    """
    try:
        if path is not None:
            return [_bind_path(path)]
        return _bind_addresses(host, port, shared=shared, listening=listening)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or error
        raise CannotListen(f"cannot listen on {path or f'{host}:{port}'}: {reason}") from error


class SharedAddress:
    """One address for several workers, each with sockets of its own where the kernel shares connections out.

    They are kept open while a worker is replaced, so that the connections wait for the next one.

    Args:
        host, port, path: as in `bind`.
        workers: how many there are.

    Attributes:
        name: the address as the system tells it, for `url_of`.

    Raises:
        CannotListen: the address is taken, or not this machine's.
    """

    def __init__(self, host: str, port: int, path: Path | None, workers: int):
        self._host, self._port, self._path = host, port, path
        self._shared = path is None and _KERNEL_SHARES
        if self._shared and port:
            for probe in bind(host, port):  # shared ones would not notice another proxy of this user
                probe.close()
        first = bind(host, port, path=path, shared=self._shared)
        self._port = 0 if path else first[0].getsockname()[1]
        self._sockets = dict.fromkeys(range(1, workers + 1), first)
        if self._shared:
            self._sockets |= {number: self._bind() for number in range(2, workers + 1)}
        self.name = first[0].getsockname()

    def sockets(self, number: int) -> list[socket.socket]:
        """Return those of a worker.

        Where they had been released, the new ones do not listen yet: what came to them would be lost if the
        worker failed again. It has them listen once it serves.

        Raises:
            CannotListen: they had been released, and the address is taken now.
        """
        if number not in self._sockets:
            self._sockets[number] = self._bind(listening=False)
        return self._sockets[number]

    def release(self, number: int) -> None:
        """Close those of a worker that will not take any connection for a while."""
        if self._shared:
            for listener in self._sockets.pop(number, ()):
                listener.close()

    def close(self) -> None:
        """Close all, here; the workers' own copies are their matter."""
        for sockets in self._sockets.values():
            for listener in sockets:
                listener.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _bind(self, *, listening: bool = True) -> list[socket.socket]:
        return bind(self._host, self._port, shared=True, listening=listening)


def bound_silence(sockets: Sequence[socket.socket], seconds: float) -> None:
    """Have the kernel break off connections whose client takes nothing any more, or has gone without a word.

    It holds for those that are accepted from now on, and only where there is TCP: a connection inherits it
    from the socket that listens (TCP_USER_TIMEOUT, tcp(7)). Nothing in this process has to watch for it.

    Args:
        sockets: what `bind` has returned.
        seconds: for which a client may acknowledge nothing, or take nothing of what is there; 0: for ever.
    """
    if not hasattr(socket, "TCP_USER_TIMEOUT"):
        return
    limit = max(seconds, _LEAST_SILENCE) if seconds else 0
    for listener in sockets:
        if listener.family == socket.AF_UNIX:
            continue
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(limit * 1000))
        if limit:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for pause in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL):
                listener.setsockopt(socket.IPPROTO_TCP, pause, max(1, int(limit / _QUESTIONS)))


async def serve(
    runner: web.BaseRunner, sockets: Sequence[socket.socket], context: ssl.SSLContext | None = None
) -> None:
    """Serve on sockets that listen, or do from now on; they belong to the runner then.

    Args:
        runner: runs what answers.
        sockets: what `bind` has returned.
        context: makes it HTTPS.
    """
    await runner.setup()
    for listener in sockets:
        await web.SockSite(runner, listener, backlog=_BACKLOG, ssl_context=context).start()


def url_of(address: Any, scheme: str = "http") -> str:
    """Return the URL of an address at which a socket listens, as its `getsockname` tells it."""
    if isinstance(address, str):
        return f"unix:{address}"
    host, port = address[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _bind_addresses(host: str, port: int, *, shared: bool, listening: bool) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    refused: OSError | None = None
    for family, _, _, _, address in socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    ):
        place = address[0], sockets[0].getsockname()[1] if sockets else port, *address[2:]
        try:
            sockets.append(_bound(family, place, shared=shared, listening=listening))
        except OSError as error:
            refused = error
            if error.errno not in _NOT_HERE:
                break
    if refused is not None and (not sockets or refused.errno not in _NOT_HERE):
        for listener in sockets:
            listener.close()
        raise refused
    return sockets


def _bound(
    family: socket.AddressFamily, place: tuple[Any, ...], *, shared: bool, listening: bool
) -> socket.socket:
    """Do what `socket.create_server` does, which always listens."""
    bound = socket.socket(family)
    try:
        if os.name == "posix":
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(place)
        if listening:
            bound.listen(_BACKLOG)
    except OSError:
        bound.close()
        raise
    return bound


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
