"""A request's body, as it comes from the client."""

from collections.abc import AsyncIterator
from typing import Final

from aiohttp import StreamReader, web
from aiohttp.http import HttpVersion11
from aiohttp.http_exceptions import HttpProcessingError

from proxy.errors import InvalidRequest, RequestTimedOut, RequestTooLarge, UnsupportedEncoding
from proxy.server.alarms import TimeLimit
from proxy.server.exchange import Exchange

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


async def incoming(request: Exchange) -> AsyncIterator[bytes]:
    """Yield a request's body as it comes; ask for it first where the client waits for that.

    So a request that is refused before need not send it (RFC 9110, section 10.1.1).

    Raises:
        InvalidRequest: its chunks are broken.
        RequestTimedOut: it stopped coming.
    """
    await _ask_for(request)
    patience = request.patience
    try:
        while data := await _more(request.content, patience):
            yield data
    except TimeoutError:
        request.protocol.close()  # when it is answered, without waiting for the rest once more
        request.content.feed_eof()
        raise RequestTimedOut(f"Nothing came of the request's body for {patience:g} s.") from None
    except (HttpProcessingError, web.RequestPayloadError) as error:
        raise InvalidRequest("The request's body is not proper HTTP: its chunks are broken.") from error


async def read_whole(request: Exchange, limit: int) -> bytes:
    """Read a request's body to its end.

    Args:
        request: the client's.
        limit: in bytes; 0 is none.

    Raises:
        RequestTooLarge: it is longer, or says that it will be.
        InvalidRequest: its chunks are broken.
        RequestTimedOut: it stopped coming.
        UnsupportedEncoding: it is compressed; unpacked, it could be of any size.
    """
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedEncoding("A request body cannot be compressed here. Send it as it is.")
    if 0 < limit < (request.content_length or 0):
        raise _too_large(limit)
    if request.content.is_eof() and request.content.exception() is None:
        whole = request.content.read_nowait()  # it came with the head, as most do
        if 0 < limit < len(whole):
            raise _too_large(limit)
        return whole
    body = bytearray()
    async for data in incoming(request):
        body += data
        if 0 < limit < len(body):
            raise _too_large(limit)
    return bytes(body)


async def _more(content: StreamReader, patience: float) -> bytes:
    if content.is_eof():
        return await content.readany()
    async with TimeLimit(patience):
        return await content.readany()


async def _ask_for(request: Exchange) -> None:
    if request.version >= HttpVersion11 and request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(_CONTINUE)
        request.writer.output_size = 0  # the response has not begun by that


def _too_large(limit: int) -> RequestTooLarge:
    return RequestTooLarge(f"The request body is longer than {limit} bytes.")
