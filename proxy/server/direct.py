"""The fast road from an upstream: event streams go past aiohttp's parser, and wake no task.

aiohttp's client keeps the connections, the TLS, the timeouts and the head of every answer. But where the
body is a chunked event stream, its bytes go from the transport through a decoder of ours to whoever rewrites
them, in one call. At the end aiohttp is given the last chunk, so that it takes the connection back.

This leans on what aiohttp does not promise, so it is done only with versions that it has been tried with.
With all others, and for all other bodies, `proxy.server.buffered_answer` is the road. Both are tested alike.
"""

import asyncio
from types import TracebackType
from typing import Any, Final

import aiohttp
from aiohttp.connector import Connection as Lease
from aiohttp.http import RawResponseMessage
from aiohttp.streams import StreamReader

from proxy.config.schema import Timeouts
from proxy.errors import UpstreamError
from proxy.server.answer import Answer, Reply, Take
from proxy.server.direct_body import DirectBody
from proxy.server.headers import Headers
from proxy.server.upstream_connection import Connection

#: How the versions of aiohttp begin whose client has been seen to work with this module.
TRIED: Final = ("3.14.",)
_HEAD_END: Final = b"\r\n\r\n"
_LAST_CHUNK: Final = b"0\r\n\r\n"


def kind_of_connection() -> type[Connection]:
    """Return the kind of connection that takes the fast road, if this aiohttp is known to bear it."""
    return DirectConnection if aiohttp.__version__.startswith(TRIED) else Connection


class DirectConnection(Connection):
    """A connection whose event streams take the fast road.

    Attributes:
        body: of the latest answer, if it takes that road.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop):
        super().__init__(loop)
        self.body: DirectBody | None = None
        self._open_body: DirectBody | None = None  # the same, as long as it comes
        self._head: RawResponseMessage | None = None

    def set_response_params(self, **settings: Any) -> None:
        """Expect the answer to a request that is about to be sent."""
        self.body = None
        super().set_response_params(**settings)

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        """Take the head of an answer."""
        self._head = data[0]
        super().feed_data(data, size)

    def data_received(self, data: bytes) -> None:
        """Take bytes: those of a body on the fast road past aiohttp."""
        if self._open_body is not None:
            self._open_body.receive(data)
        elif self._head_came or self.idle:
            super().data_received(data)
        else:
            self._receive_head(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Note the end."""
        if self._open_body is not None:
            self._open_body.break_off()
            self._open_body = None
        super().connection_lost(exc)

    def _end_body(self, surplus: bool) -> None:
        """Tell aiohttp that the body has come whole, so that the connection can serve the next request."""
        self._open_body = None
        if surplus:
            self.force_close()
        super().data_received(_LAST_CHUNK)

    def _receive_head(self, data: bytes) -> None:
        """Give aiohttp the head and nothing else, where that can be told apart from the body."""
        at = 0
        while at < len(data) and not self._head_came and self.exception() is None:
            end = data.find(_HEAD_END, at) + len(_HEAD_END)
            if end < len(_HEAD_END) or data.count(b"\n", at, end) != data.count(b"\r\n", at, end):
                break  # it has come in pieces, or has line ends of another kind
            super().data_received(data[at:end])
            at = end
        head, self._head = self._head, None  # which is not needed as long as a stream may run
        if self._head_came and head is not None and self._is_direct(head):
            self.body = self._open_body = DirectBody(self.transport, self._end_body)
            if at < len(data):
                self._open_body.receive(data[at:])
        elif at < len(data) and self.exception() is None:
            super().data_received(data[at:])

    def _is_direct(self, head: RawResponseMessage) -> bool:
        return (
            head.chunked
            and not head.upgrade
            and not self._skip_payload
            and head.headers.get("Content-Encoding", "identity").lower() == "identity"
            and head.headers.get("Content-Type", "").lower().startswith("text/event-stream")
        )


class DirectResponse(aiohttp.ClientResponse):
    """aiohttp's view of an answer, which remembers its body when the connection has gone on to the next.

    Attributes:
        body: of this answer, if it takes the fast road.
    """

    body: DirectBody | None = None

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


class DirectAnswer(Answer):
    """An answer whose body takes the fast road."""

    def __init__(self, reply: Reply, host: str, headers: Headers, timeouts: Timeouts, body: DirectBody):
        super().__init__(reply, host, headers, timeouts)
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
        await self._reply.__aexit__(kind, error, trace)

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

    async def forward(self, take: Take) -> None:
        """Hand over what arrives, as `Answer.forward` does."""
        more = take(await self.read())
        while more:
            more = await self._body.pour(take) and take(await self.read())

    @property
    def waiting(self) -> bool:
        """Something has arrived that has not been read."""
        return self._body.kept

    def give_up(self, failure: UpstreamError) -> None:
        """Close the connection; who waits, or reads next, gets `failure`."""
        self._failure = failure
        self._reply.close()
        self._body.break_off()
