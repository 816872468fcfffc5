"""The fast road from an upstream: event streams go past aiohttp's parser, and wake no task.

aiohttp's client keeps the connections and the TLS, and reads the head of every answer that does not begin as
one before. But where the body is a chunked event stream, its bytes go from the transport through a decoder of
ours to whoever rewrites them, in one call.

This leans on what aiohttp does not promise, so it is done only with versions that it has been tried with.
With all others, and for all other bodies, `buffered_answer` is the road. Both are tested alike.
"""

from types import TracebackType
from typing import Final

import aiohttp
from aiohttp.connector import Connection as Lease

from proxy.config.schema import Timeouts
from proxy.errors import UpstreamError
from proxy.server.upstreams.answer import Answer, Reply, Taker
from proxy.server.upstreams.answer_heads import Head
from proxy.server.upstreams.direct_body import DirectBody
from proxy.server.upstreams.direct_connection import DirectConnection
from proxy.server.upstreams.upstream_connection import Connection

#: How the versions of aiohttp begin whose client has been seen to work with this module.
TRIED: Final = ("3.14.",)


def kind_of_connection() -> type[Connection]:
    """Return the kind of connection that takes the fast road, if this aiohttp is known to bear it."""
    return DirectConnection if aiohttp.__version__.startswith(TRIED) else Connection


class DirectResponse(aiohttp.ClientResponse):
    """aiohttp's view of an answer, which remembers its body when the connection has gone on to the next.

    Attributes:
        body: of this answer, if it takes the fast road.
    """

    body: DirectBody | None = None
    known: Final = False
    raw: Final = b""

    @property
    def head(self) -> Head:
        """The head as it came."""
        return Head(self.status, self.reason, self.headers)

    def close(self) -> None:
        """Close the connection at once: aiohttp would wait for the other side to take its leave, too."""
        if self.connection is not None and self.connection.transport is not None:
            self.connection.transport.abort()
        super().close()

    async def start(self, connection: Lease) -> aiohttp.ClientResponse:
        """Wait for the head."""
        protocol = connection.protocol
        await super().start(connection)
        if isinstance(protocol, DirectConnection):
            self.body = protocol.body
        return self

    async def leave(self) -> None:
        """Give the connection back, and see to it that nothing is sent on it any more."""
        self.release()
        await self.wait_for_close()


class DirectAnswer(Answer):
    """An answer whose body takes the fast road."""

    __slots__ = ("_body", "_concluded", "_reply")

    def __init__(self, reply: Reply, body: DirectBody, head: Head, host: str, timeouts: Timeouts):
        super().__init__(head, host, timeouts)
        self._reply = reply
        self._body = body
        self._concluded = False

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._concluded and not (self._body.over or self._body.kept):
            self._body.await_end(self._reply.close)
            return
        if not self._body.ended:
            self._reply.close()
        await self._reply.leave()

    def conclude(self) -> None:
        """Let the end of the body come by itself, so that the connection can be used again."""
        self._concluded = True

    async def read(self) -> bytes:
        """Return what has arrived, as `Answer.read` does."""
        data = b""
        if self._failure is None:
            data = await self._body.read()
        if not data and self._failure is None and not self._body.ended:
            self._failure = self._broken_chunks() if self._body.malformed else self._broken_off()
        self._taken += len(data)
        if not data and self._failure is not None:
            raise self._failure
        return data

    async def forward(self, taker: Taker) -> None:
        """Hand over what arrives, as `Answer.forward` does."""
        more = taker.take(await self.read())
        while more:
            more = await self._body.pour(taker) and taker.take(await self.read())

    @property
    def waiting(self) -> bool:
        """Something has arrived that has not been read."""
        return self._body.kept

    @property
    def over(self) -> bool:
        """All of it has been read."""
        return self._body.ended and not self._body.kept

    def give_up(self, failure: UpstreamError) -> None:
        """Close the connection; who waits, or reads next, gets `failure`."""
        self._failure = failure
        self._reply.close()
        self._body.break_off()
