"""An answer whose body aiohttp's client reads, and keeps until it is asked for: the plain road.

Three of its habits end here, that a stream cannot live with: it waits for ever on a body whose chunks are
broken, takes a reset for the end of a body without a length, and hides what came before a failure behind it.
"""

import asyncio
from types import TracebackType
from typing import Protocol

import aiohttp
from aiohttp.connector import Connection as Lease

from proxy.errors import UpstreamError, UpstreamMalformed, forget_frames
from proxy.server.upstreams.answer import Answer, Reply, Source
from proxy.server.upstreams.answer_heads import Head


class BufferedReply(Reply, Protocol):
    """What is needed of an `aiohttp.ClientResponse`."""

    @property
    def content(self) -> aiohttp.StreamReader:
        """The body."""

    @property
    def connection(self) -> Lease | None:
        """Which it comes on; None once it has been given back, or closed."""


class BufferedAnswer(Answer):
    """An answer that is read from what aiohttp keeps of it."""

    def __init__(self, reply: BufferedReply, head: Head, source: Source):
        super().__init__(head, source)
        self._reply = reply
        self._content = reply.content
        self._closed: asyncio.Future[None] | None = None
        if reply.connection is not None and reply.connection.protocol is not None:
            self._watch(reply.connection.protocol)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._failure = None  # it has been raised: its frames hold this answer
        if self._closed is not None:
            self._closed.remove_done_callback(self._connection_closed)
        if not self._content.is_eof():
            self._reply.close()
        await self._reply.leave()

    async def read(self) -> bytes:
        """Return what has arrived, as `Answer.read` does."""
        data = b""
        if self._failure is None:
            try:
                data = await self._content.readany()
                if not data and (ending := self._content.exception()):
                    data = self._fail(ending)
            except (aiohttp.ClientError, OSError) as error:
                data = self._fail(error)
            self._taken += len(data)
        if not data and self._failure is not None:
            raise self._failure
        return data

    @property
    def waiting(self) -> bool:
        """Something has arrived that has not been read."""
        return self._content.total_bytes > self._taken

    @property
    def over(self) -> bool:
        """All of it has been read."""
        return self._content.at_eof()

    def conclude(self) -> None:
        """Do nothing: an end that has not come is not waited for."""

    def give_up(self, failure: UpstreamError) -> None:
        """Close the connection; a `read` that waits, or the next one, raises `failure`."""
        self._failure = failure
        self._reply.close()

    def _watch(self, protocol: aiohttp.client_proto.ResponseHandler) -> None:
        protocol.read_timeout = None  # it was for the first byte; silence inside an answer is not its matter
        protocol.start_timeout()
        self._closed = protocol.closed
        if self._closed is not None:
            self._closed.remove_done_callback(_acknowledge)
            self._closed.add_done_callback(_acknowledge)
            self._closed.add_done_callback(self._connection_closed)

    def _connection_closed(self, closed: "asyncio.Future[None]") -> None:
        """Tell the reader of an end that aiohttp keeps to itself.

        Its parser lets go of a body at a fault in the chunks, whose reader then waits for ever; and it takes
        a reset for the end of a body that ends with the connection.
        """
        if self._content.exception() is not None:
            return
        error = closed.exception()
        headers = self.headers
        until_closed = "Content-Length" not in headers and "Transfer-Encoding" not in headers
        if error is not None and (until_closed or not self._content.is_eof()):
            self._content.set_exception(aiohttp.ClientPayloadError(str(error)))
        elif not self._content.is_eof():
            self._content.set_exception(_BrokenChunks())

    def _fail(self, error: BaseException) -> bytes:
        """Note the failure; return what arrived before it, which aiohttp keeps, but hides behind it."""
        if self._failure is None:
            self._failure = self._inside_the_answer(error)
        forget_frames(error)
        self._content.set_exception(None)  # type: ignore[arg-type]
        return self._content.read_nowait()

    def _inside_the_answer(self, error: BaseException) -> UpstreamError:
        if isinstance(error.__cause__, aiohttp.http_exceptions.ContentEncodingError):
            return UpstreamMalformed(f"The answer of the upstream {self._source.host} cannot be decoded.")
        if isinstance(error, _BrokenChunks):
            return self._broken_chunks()
        return self._broken_off()


class _BrokenChunks(aiohttp.ClientPayloadError):
    """What aiohttp does not tell the reader of a body."""


def _acknowledge(closed: "asyncio.Future[None]") -> None:
    """Look at the outcome: asyncio complains of exceptions that nobody has seen."""
    closed.exception()
