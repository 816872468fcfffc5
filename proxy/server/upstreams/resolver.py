"""The names of upstreams, looked up by the system: each in a thread that nobody has to wait for.

The threads of an event loop are few, and its end waits for them: two names whose servers are silent would
keep uvloop from looking up any other, and the process from ending. Here a name has one thread, and as many
requests as want to know it share that; a lookup that is still running when the process ends, ends with it.
And while the servers of names fail, addresses that were found before hold on (RFC 8767).
"""

import asyncio
import socket
import threading
from collections import deque
from contextlib import suppress
from functools import partial
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult

#: Seconds for which an answer holds, as long as its addresses can be reached.
_HOLDS: Final = 10.0
#: Seconds after which the answer of before does where no new one has come, if there is so much time.
_PATIENCE: Final = 1.0
_NUMERIC: Final = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV

Addresses = deque[ResolveResult]
_Name = tuple[str, int, int]


class Resolver(AbstractResolver):
    """Looks names up, and remembers what it has found for a while.

    Args:
        limit: seconds after which whoever asks asks no more; 0: never.

    Attributes:
        answers: how many lookups have brought addresses.
    """

    def __init__(self, limit: float):
        self.answers = 0
        self._patience = min(_PATIENCE, limit / 2) if limit else _PATIENCE
        self._found: dict[_Name, tuple[float, Addresses]] = {}
        self._running: dict[_Name, asyncio.Future[Addresses]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of a host, of which another one is the first each time.

        Raises:
            OSError: there are none.
        """
        loop, name = asyncio.get_running_loop(), (host, port, family)
        until, addresses = self._found.get(name, (0.0, Addresses()))
        if until > loop.time():
            addresses.rotate(-1)
            return list(addresses)
        if name not in self._running:
            self._running[name] = self._look_up(name, loop)
        try:
            async with asyncio.timeout(self._patience if addresses else None):
                return list(await asyncio.shield(self._running[name]))
        except OSError as error:
            if not addresses or (isinstance(error, socket.gaierror) and error.errno != socket.EAI_AGAIN):
                raise
            self._found[name] = loop.time() + _HOLDS, addresses
            return list(addresses)

    async def close(self) -> None:
        """Do nothing: lookups that run end by themselves."""

    def forget(self) -> None:
        """Look up anew what is asked next: the addresses cannot be reached."""
        self._found = {name: (0.0, addresses) for name, (_, addresses) in self._found.items()}

    def _look_up(self, name: _Name, loop: asyncio.AbstractEventLoop) -> asyncio.Future[Addresses]:
        found: asyncio.Future[Addresses] = loop.create_future()
        found.add_done_callback(partial(self._note, name))

        def settle(addresses: Addresses, error: OSError | None) -> None:
            if error is not None:
                found.set_exception(error)
            else:
                found.set_result(addresses)

        def look_up() -> None:
            addresses, failure = Addresses(), None
            try:
                addresses = _addresses(*name)
            except (OSError, UnicodeError) as error:  # a label that is too long is no name in any encoding
                failure = error if isinstance(error, OSError) else OSError(str(error))
                failure = failure.with_traceback(None)  # which leads here, where it is kept
            with suppress(RuntimeError):  # the event loop has ended meanwhile
                loop.call_soon_threadsafe(settle, addresses, failure)

        try:
            threading.Thread(target=look_up, name=f"lookup of {name[0]}", daemon=True).start()
        except RuntimeError:
            failure = OSError("the system gives no thread in which its name can be looked up")
            loop.call_soon(settle, Addresses(), failure)
        return found

    def _note(self, name: _Name, found: asyncio.Future[Addresses]) -> None:
        del self._running[name]
        if found.exception() is None:
            self.answers += 1
            self._found[name] = found.get_loop().time() + _HOLDS, found.result()


def _addresses(host: str, port: int, family: int) -> Addresses:
    """Ask the system, which may take as long as it likes."""
    found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return Addresses(
        ResolveResult(
            hostname=host,
            # With the zone, where an address of IPv6 holds on one link alone.
            host=socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0],
            port=port,
            family=kind,
            proto=protocol,
            flags=_NUMERIC,
        )
        for kind, _, protocol, _, address in found
    )
