"""A stream as the client gets it: opened when there is something to send, a chunk for each frame."""

from collections.abc import Sequence
from typing import Final

from aiohttp import web
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import HttpVersion11
from multidict import CIMultiDict

from proxy.server.clients.exchange import Exchange
from proxy.server.clients.headers import Headers, in_lines
from proxy.server.operator.record import REQUEST_ID
from proxy.server.upstreams.answer_heads import Head

#: Without a blank line, at which openai-go and others would look for an event.
_COMMENT: Final = b": keep-alive\n"
_LAST_CHUNK: Final = b"0\r\n\r\n"
_CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"
#: What a stream says of itself that is opened before its upstream has answered.
_OF_ITS_OWN: Final = Head(200, None, {})


class OpenedStream(web.StreamResponse):
    """What others need of the response to a stream, aiohttp first: it has begun, and ends by itself.

    Args:
        head: the upstream's, whose fields it has.
        chunked: how its body is sent.
    """

    def __init__(self, head: Head, *, chunked: bool):
        # Instead of aiohttp's: whatever that would set up, somebody would have to pay for.
        self._head = head
        self._in_chunks = chunked
        self._fields: Headers | None = None

    @property
    def status(self) -> int:
        """That of every stream."""
        return 200

    @property
    def prepared(self) -> bool:
        """It has begun."""
        return True

    @property
    def keep_alive(self) -> bool:
        """Another answer may follow on the connection."""
        return self._keep_alive is not False

    @property
    def headers(self) -> Headers:
        """The fields, to be changed at will as long as they have not left."""
        if self._fields is None:
            self._fields = CIMultiDict(self._head.of_stream)
            if self._in_chunks:
                self._fields["Transfer-Encoding"] = "chunked"
        return self._fields

    def written(self) -> bytes:
        """Return the fields as they leave; where nobody has looked at them, as they left the last time."""
        if self._fields is not None:
            return in_lines(self._fields)
        return self._head.lines_of_stream + _CHUNKED if self._in_chunks else self._head.lines_of_stream

    def let_go(self) -> None:
        """Hold nothing any more of the fields, which have left."""
        self._head, self._fields = _OF_ITS_OWN, None

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

    __slots__ = ("_chunked", "_head", "_in_chunks", "_kept", "_protocol", "_request", "_response", "size")

    def __init__(self, request: Exchange):
        self.size = 0
        self._request = request
        self._protocol = request.protocol
        self._response: OpenedStream | None = None
        self._chunked = request.version >= HttpVersion11
        self._head = _OF_ITS_OWN
        self._in_chunks = False  # and open
        self._kept = b""  # frames for a stream that has not been opened

    @property
    def opened(self) -> bool:
        """The status has left: from now on an error is an event."""
        return self._response is not None

    def adopt(self, head: Head) -> None:
        """Take along an upstream's header fields, but for those that the stream has itself."""
        self._head = head

    async def open(self) -> None:
        """Send the head, and in the same write what has been kept for this moment."""
        if self._response is None:
            self._begin()

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
            self._begin()
        if self._protocol.writing_paused:
            await self._request.writer.drain()

    async def keep_alive(self) -> None:
        """Send a comment, which clients skip, lest something in between take the silence for the end."""
        await self.open()
        self.write([_COMMENT])
        await self.settle()

    async def end(self, frames: Sequence[bytes]) -> web.StreamResponse:
        """Send the last frames and end the body, properly."""
        data = self._encode(frames)
        if self._chunked:
            data += _LAST_CHUNK
        response = self._response
        if response is None:
            self._kept += data
            response = self._begin()
        else:
            self._send(data)
        if self._protocol.writing_paused:
            await self._request.writer.drain()
        return response

    def _begin(self) -> OpenedStream:
        """Send the head, and what has been kept, in one write."""
        request, head = self._request, self._head
        self._response = response = OpenedStream(head, chunked=self._chunked)
        if not self._chunked:
            response.force_close()  # HTTP/1.0 knows no other end of such a body
        elif not request.keep_alive:
            response.force_close()
            response.headers["Connection"] = "close"
        request.begin(response)
        status = b"HTTP/1.1 200 OK\r\n" if self._chunked else b"HTTP/1.0 200 OK\r\n"
        ours = f"{REQUEST_ID}: {request.record.request_id}\r\n"
        if "Date" not in head.of_stream:
            ours += f"Date: {rfc822_formatted_time()}\r\n"
        kept, self._kept = self._kept, b""
        begun = b"".join((status, response.written(), ours.encode(), b"\r\n", kept))
        self._in_chunks = self._chunked
        request.writer.output_size = len(begun)  # aiohttp has to know that something has been sent
        self._send(begun)
        self.size = len(kept)
        return response

    def let_go(self) -> None:
        """Hold nothing any more of the head, which has left."""
        self._head = _OF_ITS_OWN
        if self._response is not None:
            self._response.let_go()

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
