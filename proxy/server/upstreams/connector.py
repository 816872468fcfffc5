"""The connections to an upstream that are kept for its next requests, and how new ones are made."""

import asyncio
import math
from collections import deque
from functools import partial
from time import monotonic
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ConnectionKey

from proxy.config.schema import Timeouts
from proxy.errors import UpstreamBusy
from proxy.server.alarms import TimeLimit
from proxy.server.upstreams.keepalive import keepalive_socket
from proxy.server.upstreams.resolver import Resolver
from proxy.server.upstreams.upstream_connection import Connection


class Connector(aiohttp.TCPConnector):
    """aiohttp's pool of connections, filled with ours.

    To wait for a free connection is not to wait for a server that does not answer: aiohttp has one limit for
    both. And where addresses that were looked up a while ago cannot be reached, they are looked up again: a
    container that was replaced has another address than before.

    Args:
        connections: of which kind they are.
        timeouts: `connect` for a connection, name and TLS included; `first_byte` until one is free.
        settings: aiohttp's.
    """

    def __init__(self, timeouts: Timeouts, connections: type[Connection] = Connection, **settings: Any):
        self._names = Resolver(timeouts.connect)
        super().__init__(
            resolver=self._names, use_dns_cache=False, socket_factory=keepalive_socket, **settings
        )
        self._timeouts = timeouts
        self._factory = partial(connections, loop=self._loop)  # type: ignore[assignment] # theirs, specialised

    def take(self, key: ConnectionKey) -> Connection | None:
        """Return a kept connection that can be asked, or None: then `connect` has to make one.

        It is what `connect` would do first, but takes no task's turn, and makes no lease. The connection
        counts against the limit until it is given to `take_back`.
        """
        kept: deque[tuple[Connection, float]] | None = self._conns.get(key)  # type: ignore[assignment] # ours
        while kept:
            connection, since = kept.popleft()
            if connection.is_connected() and monotonic() - since <= (self._keepalive_timeout or math.inf):
                self._acquired.add(connection)
                return connection
            connection.close()
        return None

    def take_back(self, key: ConnectionKey, connection: Connection, *, whole: bool) -> None:
        """Keep a connection for the next request, or close it.

        Args:
            key: the place that it leads to.
            connection: from `take`, or from the lease of `connect`.
            whole: the answer to its request has come whole.
        """
        if not whole or connection.should_close or self._closed or self._cleanup_handle is None:
            self._release(key, connection, should_close=not whole)  # and looks for old ones from then on
            return
        self._acquired.discard(connection)
        self._conns[key].append((connection, monotonic()))
        if self._waiters:
            self._release_waiter()

    async def _wait_for_available_connection(self, *arguments: Any) -> None:
        seconds = self._timeouts.first_byte
        try:
            async with TimeLimit(seconds):
                await self._wait_or_pass_on(*arguments)
        except TimeoutError:
            raise UpstreamBusy(
                f"All {self.limit} connections to the upstream were taken for {seconds:g} s. Try again later."
            ) from None

    async def _wait_or_pass_on(self, *arguments: Any) -> None:
        try:
            await super()._wait_for_available_connection(*arguments)
        except asyncio.CancelledError:
            self._release_waiter()  # its turn may just have come, and nobody else would be told
            raise

    async def _create_connection(self, *arguments: Any) -> ResponseHandler:
        try:
            async with TimeLimit(self._timeouts.connect):
                return await self._connected(*arguments)
        except (aiohttp.ClientConnectorError, TimeoutError):
            self._names.forget()
            raise

    async def _connected(self, *arguments: Any) -> ResponseHandler:
        known = self._names.answers
        try:
            return await super()._create_connection(*arguments)
        except aiohttp.ClientConnectorError:
            if not known or known != self._names.answers:
                raise  # the addresses are as new as can be
            self._names.forget()
        return await super()._create_connection(*arguments)
