"""A stream as the client gets it: opened when there is something to send, a chunk for each frame."""

from collections.abc import Mapping, Sequence
from typing import Final

from aiohttp import web
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import HttpVersion11, StreamWriter

from proxy.server.clients.exchange import Exchange
from proxy.server.clients.headers import OF_A_STREAM
from proxy.server.upstreams.answer_heads import Head

#: Without a blank line, at which openai-go and others would look for an event.
_COMMENT: Final = b": keep-alive\n"
_LAST_CHUNK: Final = b"0\r\n\r\n"


class _Opened(web.StreamResponse):
    """What others need of the response to a stream, aiohttp first: it has begun, and ends by itself."""

    @property
    def prepared(self) -> bool:
        return True

    @property
    def keep_alive(self) -> bool:
        return super().keep_alive is not False

    async def prepare(self, request: web.BaseRequest) -> None:
        """Do nothing: the head has left."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing: the body has ended, or been cut."""


class ClientStream:
    """The response to a request for a stream.

    Its head is put together here, and its frames go straight to the client's transport, in chunks that are
    framed here: aiohttp would cost more than all else that happens to them. The transport says when the
    client has not taken enough of what was written before; there is no other flow control. A client that has
    gone shows as `ConnectionResetError`, from any method.

    Args:
        request: the client's.

    Attributes:
        size: bytes of the body that have been sent.
    """

    __slots__ = ("_chunked", "_fields", "_in_chunks", "_kept", "_protocol", "_request", "_response", "size")

    def __init__(self, request: Exchange):
        self.size = 0
        self._request = request
        self._protocol = request.protocol
        self._response: _Opened | None = None
        self._chunked = request.version >= HttpVersion11
        self._fields: Mapping[str, str] = OF_A_STREAM
        self._in_chunks = False  # and open
        self._kept = b""  # frames for a stream that has not been opened

    @property
    def opened(self) -> bool:
        """The status has left: from now on an error is an event."""
        return self._response is not None

    def adopt(self, head: Head) -> None:
        """Take along an upstream's header fields, but for those that the stream has itself."""
        self._fields = head.of_stream

    async def open(self) -> None:
        """Send the head, and in the same write what has been kept for this moment."""
        if self._response is None:
            await self._begin()

    def write(self, frames: Sequence[bytes]) -> bool:
        """Send frames, each an HTTP chunk of its own, in one write; keep them if the stream is not open.

        Returns:
            Whether more can be written at once; if not, `settle` has to be awaited before.
        """
        data = self._encode(frames)
        if self._response is None:
            self._kept += data
            return False
        self._send(data)
        return not self._protocol.writing_paused

    @property
    def flows(self) -> bool:
        """Frames can be passed on: the stream is open and in chunks, and its client keeps up."""
        return self._in_chunks and not self._protocol.writing_paused

    def pass_on(self, chunk: bytes) -> None:
        """Send a frame that is an HTTP chunk already, while the stream `flows`."""
        self._send(chunk)

    async def settle(self) -> None:
        """Open the stream if there are frames for it; wait until the client has taken enough of them."""
        if self._kept:
            await self._begin()
        if self._protocol.writing_paused:
            await self._request.writer.drain()

    async def keep_alive(self) -> None:
        """Send a comment, which clients skip, lest something in between take the silence for the end."""
        await self.open()
        self.write([_COMMENT])
        await self.settle()

    async def end(self, frames: Sequence[bytes]) -> web.StreamResponse:
        """Send the last frames and end the body, properly."""
        data = self._encode(frames) + (_LAST_CHUNK if self._chunked else b"")
        if self._response is None:
            self._kept += data
            response = await self._begin()
        else:
            response = self._response
            self._send(data)
        await self.settle()
        return response

    async def _begin(self) -> _Opened:
        request, writer = self._request, self._request.writer
        if not isinstance(writer, StreamWriter):
            raise TypeError(f"aiohttp writes responses with {type(writer)}")
        self._response = response = _Opened(headers=self._fields)
        headers = response.headers
        headers.setdefault("Date", rfc822_formatted_time())
        if not self._chunked:
            response.force_close()  # HTTP/1.0 knows no other end of such a body
        else:
            headers["Transfer-Encoding"] = "chunked"  # which the writer has not to know of
            if not request.keep_alive:
                response.force_close()
                headers["Connection"] = "close"
        request.begin(response)
        version = request.version
        await writer.write_headers(f"HTTP/{version.major}.{version.minor} {response.status} OK", headers)
        self._in_chunks = self._chunked
        kept, self._kept = self._kept, b""
        if kept:
            await writer.write(kept, drain=False)
            self.size += len(kept)
        else:
            writer.send_headers()
        return response

    def let_go(self) -> None:
        """Hold nothing any more of the head, which has left."""
        if self._response is not None:
            self._response.headers.clear()
            if self._chunked:  # by which whoever breaks it off sees how
                self._response.headers["Transfer-Encoding"] = "chunked"

    def _send(self, data: bytes) -> None:
        transport = self._protocol.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("The client has gone.")
        transport.write(data)
        self.size += len(data)

    def _encode(self, frames: Sequence[bytes]) -> bytes:
        if not self._chunked:
            return b"".join(frames)
        if len(frames) == 1:
            return b"%x\r\n%b\r\n" % (len(frames[0]), frames[0])
        return b"".join([b"%x\r\n%b\r\n" % (len(frame), frame) for frame in frames])
