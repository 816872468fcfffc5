"""The fast road from an upstream: event streams go past aiohttp's parser, and wake no task.

aiohttp's client keeps the connections, the TLS, the timeouts and the head of every answer. But where the
body is a chunked event stream, its bytes go from the transport through a decoder of ours to whoever rewrites
them, in one call. At the end aiohttp is given the last chunk, so that it takes the connection back.

This leans on what aiohttp does not promise, so it is done only with versions that it has been tried with.
With all others, and for all other bodies, `proxy.server.answer` is the road. Both are tested alike.
"""

import asyncio
from typing import Any, Final

import aiohttp
from aiohttp.connector import Connection as Lease
from aiohttp.http import RawResponseMessage
from aiohttp.streams import StreamReader

from proxy.config.schema import Timeouts
from proxy.errors import UpstreamError
from proxy.server.answer import Answer, Reply, Take
from proxy.server.headers import Headers
from proxy.server.upstream_connection import Connection
from proxy.wire.chunked import ChunkedDecoder

#: How the versions of aiohttp begin whose client has been seen to work with this module.
TRIED: Final = ("3.14.",)
#: What is kept for a reader, in bytes, before the upstream has to wait.
_READ_AHEAD: Final = 2**16
_HEAD_END: Final = b"\r\n\r\n"
_LAST_CHUNK: Final = b"0\r\n\r\n"


def connections() -> type[Connection]:
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
        self.body = self._head = None
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

    def end_body(self, *, surplus: bool) -> None:
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
        if self._head_came and self._head is not None and self._is_direct(self._head):
            self.body = self._open_body = DirectBody(self)
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


class DirectBody:
    """The body of an answer, without its chunks: kept for a reader, or handed over as it comes.

    Args:
        connection: which it comes from.
    """

    def __init__(self, connection: DirectConnection):
        self._connection = connection
        self._transport = connection.transport
        self._decoder = ChunkedDecoder()
        self._kept = b""
        self._paused = False
        self._take: Take | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._broken = False

    @property
    def ended(self) -> bool:
        """The body has come to its proper end, which need not have been read."""
        return self._decoder.ended

    @property
    def over(self) -> bool:
        """Nothing more will come."""
        return self._decoder.ended or self._broken

    @property
    def malformed(self) -> bool:
        """What has come cannot be taken apart."""
        return self._decoder.broken

    @property
    def kept(self) -> bool:
        """Something has come that has not been read."""
        return bool(self._kept)

    def receive(self, data: bytes) -> None:
        """Take what the transport has read."""
        decoder = self._decoder
        data = decoder.feed(data)
        if data:
            if self._take is not None:
                self._hand_over(data, self._take)
            else:
                self._keep(data)
        if decoder.ended:
            self._resume()
            self._connection.end_body(surplus=decoder.surplus)
            self._wake()
        elif decoder.broken:
            self.break_off()

    def break_off(self) -> None:
        """Take the news that nothing more will come."""
        if not self._decoder.ended:
            self._broken = True
            if self._transport is not None:
                self._transport.close()
        self._wake()

    async def read(self) -> bytes:
        """Return what has come, as soon as anything has; b"" when nothing more will come."""
        if not (self._kept or self.over):
            await self._woken()
        data, self._kept = self._kept, b""
        self._resume()
        return data

    async def pour(self, take: Take) -> bool:
        """Hand over what comes until `take` wants no more, or it has to be read.

        Returns:
            Whether `take` wants more.
        """
        if self._kept or self.over:
            return True
        self._take = take
        try:
            await self._woken()
            return self._take is not None
        finally:
            self._take = None

    def _keep(self, data: bytes) -> None:
        self._kept += data
        if len(self._kept) > _READ_AHEAD and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def _hand_over(self, data: bytes, take: Take) -> None:
        try:
            if take(data):
                return
        except Exception as error:  # noqa: BLE001 - it belongs to the task that waits
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_exception(error)
        self._take = None
        self._wake()

    async def _woken(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _resume(self) -> None:
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()


class DirectResponse(aiohttp.ClientResponse):
    """aiohttp's view of an answer, which remembers its body when the connection has gone on to the next.

    Attributes:
        body: of this answer, if it takes the fast road.
    """

    body: DirectBody | None = None

    async def start(self, connection: Lease) -> aiohttp.ClientResponse:
        """Wait for the head."""
        protocol = connection.protocol
        await super().start(connection)
        if isinstance(protocol, DirectConnection):
            self.body = protocol.body
        return self


class DirectAnswer(Answer):
    """An answer whose body takes the fast road."""

    def __init__(
        self,
        response: Reply,
        host: str,
        headers: Headers,
        timeouts: Timeouts,
        body: DirectBody,
    ):
        super().__init__(response, host, headers, timeouts)
        self._body = body

    def _watch(self, protocol: aiohttp.client_proto.ResponseHandler) -> None:
        """Do nothing: the body is told of every end itself."""

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
    def finished(self) -> bool:
        """The body has been read to its proper end."""
        return self._body.ended and not self._body.kept

    @property
    def waiting(self) -> bool:
        """Something has arrived that has not been read."""
        return self._body.kept

    def give_up(self, failure: UpstreamError) -> None:
        """Close the connection; who waits, or reads next, gets `failure`."""
        super().give_up(failure)
        self._body.break_off()
