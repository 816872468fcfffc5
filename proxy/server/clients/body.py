"""A request's body, as it comes from the client."""

import math
from collections.abc import AsyncIterator
from functools import partial
from typing import Final

from aiohttp import web
from aiohttp.http import HttpVersion11
from aiohttp.http_exceptions import HttpProcessingError

from proxy.errors import InvalidRequest, RequestTimedOut, RequestTooLarge, UnsupportedEncoding
from proxy.server.alarms import Alarm
from proxy.server.clients.exchange import Exchange

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


async def incoming(request: Exchange) -> AsyncIterator[bytes]:
    """Yield a request's body as it comes; ask for it first where the client waits for that.

    So a request that is refused before need not send it (RFC 9110, section 10.1.1).

    Raises:
        InvalidRequest: its chunks are broken.
        RequestTimedOut: it stopped coming.
    """
    await _ask_for(request)
    silence = Alarm(partial(request.content.set_exception, TimeoutError()))
    try:
        while data := await _arriving(request, silence):
            yield data
    finally:
        silence.stop()


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
    encoding = request.headers.get("Content-Encoding")
    if encoding is not None and encoding.lower() != "identity":
        raise UnsupportedEncoding("A request body cannot be compressed here. Send it as it is.")
    content = request.content
    if content.is_eof() and content.exception() is None:
        whole = content.read_nowait()  # it came with the head, as most do
        if 0 < limit < len(whole):
            raise _too_large(limit)
        return whole
    if 0 < limit < (request.content_length or 0):
        raise _too_large(limit)
    await _ask_for(request)
    body, silence = bytearray(), request.alarm
    silence.ring = partial(content.set_exception, TimeoutError())
    try:
        while data := await _arriving(request, silence):
            body += data
            if 0 < limit < len(body):
                raise _too_large(limit)
    finally:
        silence.rest()
    return bytes(body)


async def _arriving(request: Exchange, silence: Alarm) -> bytes:
    """Return what comes next of a body, b"" at its end; raise what `incoming` does."""
    content, patience = request.content, request.patience
    try:
        if patience and not content.is_eof():
            silence.set(request.now() + patience)
        data = await content.readany()
    except TimeoutError:
        request.protocol.close()  # when it is answered, without waiting for the rest once more
        content.feed_eof()
        raise RequestTimedOut(f"Nothing came of the request's body for {patience:g} s.") from None
    except (HttpProcessingError, web.RequestPayloadError) as error:
        raise InvalidRequest("The request's body is not proper HTTP: its chunks are broken.") from error
    silence.set(math.inf)  # whoever takes the data may take his time
    return data


async def _ask_for(request: Exchange) -> None:
    if request.version >= HttpVersion11 and request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(_CONTINUE)
        request.writer.output_size = 0  # the response has not begun by that


def _too_large(limit: int) -> RequestTooLarge:
    return RequestTooLarge(f"The request body is longer than {limit} bytes.")
