"""A stream as the client gets it: opened when there is something to send, a chunk for each frame."""

from collections.abc import Mapping, Sequence
from typing import Final

from aiohttp import web
from aiohttp.http import HttpVersion11, StreamWriter

from proxy.server.headers import without_body

#: What the wire contract demands of every stream, whatever the upstream's head says.
_HEADERS: Final = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",
}
#: Without a blank line, at which openai-go and others would look for an event.
_COMMENT: Final = b": keep-alive\n"
_LAST_CHUNK: Final = b"0\r\n\r\n"


class _StreamResponse(web.StreamResponse):
    _send_headers_immediately = False  # but with the first frames


class ClientStream:
    """The response to a request for a stream.

    Frames go straight to the client's transport, in chunks that are framed here: aiohttp's writer would
    cost more than all else that happens to a frame. The transport says when the client has not taken enough
    of what was written before; there is no other flow control. A client that has gone shows as
    `ConnectionResetError`, from any method.

    Args:
        request: the client's.

    Attributes:
        size: bytes of the body that have been sent.
    """

    def __init__(self, request: web.BaseRequest):
        self.size = 0
        self._request = request
        self._protocol = request.protocol
        self._response = _StreamResponse(headers=_HEADERS)
        self._chunked = request.version >= HttpVersion11
        self._kept = b""  # frames for a stream that has not been opened
        if not self._chunked:
            self._response.force_close()  # HTTP/1.0 knows no other end of such a body

    @property
    def opened(self) -> bool:
        """The status has left: from now on an error is an event."""
        return self._response.prepared

    def adopt(self, headers: Mapping[str, str]) -> None:
        """Take along an upstream's header fields, but for those that the stream has itself."""
        if not self.opened:
            for name, value in without_body(headers).items():
                if name.title() not in _HEADERS:
                    self._response.headers.add(name, value)

    async def open(self) -> None:
        """Send the head, and in the same write what has been kept for this moment."""
        writer = await self._response.prepare(self._request)
        if not isinstance(writer, StreamWriter):
            raise TypeError(f"aiohttp writes responses with {type(writer)}")
        writer.chunked = False  # the chunks are framed here
        kept, self._kept = self._kept, b""
        if kept:
            await writer.write(kept, drain=False)
            self.size += len(kept)
        else:
            writer.send_headers()

    def write(self, frames: Sequence[bytes]) -> bool:
        """Send frames, each an HTTP chunk of its own, in one write; keep them if the stream is not open.

        Returns:
            Whether more can be written at once; if not, `settle` has to be awaited before.
        """
        data = self._encode(frames)
        if not self._response.prepared:
            self._kept += data
            return False
        self._send(data)
        return not self._protocol.writing_paused

    @property
    def flows(self) -> bool:
        """Frames can be passed on: the stream is open and in chunks, its client there, and keeping up."""
        return self._chunked and self._response.prepared and not self._protocol.writing_paused

    def pass_on(self, chunk: bytes) -> None:
        """Send a frame that is an HTTP chunk already, while the stream `flows`."""
        self._send(chunk)

    async def settle(self) -> None:
        """Open the stream if there are frames for it; wait until the client has taken enough of them."""
        if self._kept:
            await self.open()
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
        if self.opened:
            self._send(data)
        else:
            self._kept += data
        await self.settle()
        await self._response.write_eof()
        return self._response

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
