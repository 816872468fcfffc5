"""What is not ours to rewrite: the same bytes in both directions, streamed, whatever their size."""

import socket
import struct
from collections.abc import AsyncIterable

from aiohttp import web
from aiohttp.http import SERVER_SOFTWARE, HttpVersion11

from proxy.errors import UpstreamError
from proxy.server.clients.body import incoming
from proxy.server.clients.exchange import Exchange
from proxy.server.clients.headers import end_to_end, towards_upstream
from proxy.server.upstreams.answer import Answer
from proxy.server.upstreams.upstream import Upstream


async def pass_through(
    request: Exchange, upstream: Upstream, body: bytes | AsyncIterable[bytes] | None = None
) -> web.StreamResponse:
    """Send a request on, and its answer back.

    Args:
        request: the client's.
        upstream: where it goes.
        body: what to send as the request's body; None: what the client sends.

    Raises:
        UpstreamError: there is no answer.
    """
    headers = towards_upstream(request)
    if isinstance(body, bytes):
        headers.popall("Content-Length", None)  # it may be another now
    elif body is None and request.body_exists:
        body = incoming(request)
    data = _begun(body) if isinstance(body, AsyncIterable) else body
    async with await upstream.ask(request.method, request.target, headers=headers, body=data) as answer:
        return await pass_answer(request, answer)


async def _begun(body: AsyncIterable[bytes]) -> AsyncIterable[bytes]:
    yield b""  # aiohttp would keep the head back until the client has sent something of the body
    async for data in body:
        yield data


class PassedResponse(web.StreamResponse):
    """An upstream's answer, whose head shall have no more in it than the upstream has put there."""

    def __init__(self, answer: Answer):
        self.own = end_to_end(answer.headers)
        super().__init__(status=answer.status, reason=answer.reason, headers=self.own)


def drop_additions(_request: Exchange, response: web.StreamResponse) -> None:
    """Take back what aiohttp has added to a head."""
    if isinstance(response, PassedResponse):
        for name in ("Content-Type", "Server"):
            if name not in response.own:
                response.headers.popall(name, None)
    elif response.headers.get("Server") == SERVER_SOFTWARE:
        del response.headers["Server"]


async def pass_answer(request: Exchange, answer: Answer) -> web.StreamResponse:
    """Send an answer to the client as it comes. One that breaks off or falls silent is broken off too."""
    record = request.record
    response = PassedResponse(answer)
    if request.version < HttpVersion11 and response.content_length is None:
        response.force_close()  # its body has no other end there; aiohttp would leave the client waiting
    await response.prepare(request)
    try:
        while data := await answer.read_in_time():
            await response.write(data)
            record.bytes_out += len(data)
    except UpstreamError as error:
        record.fail(error)
        break_off(request, response)
    else:
        await response.write_eof()
    return response


def break_off(request: Exchange, response: web.StreamResponse) -> None:
    """End the client's connection in the middle of a response: the only way left to say that it failed."""
    response.force_close()
    transport = request.transport
    if transport is None:
        return
    if "Content-Length" in response.headers or "Transfer-Encoding" in response.headers:
        transport.close()  # what has been written still arrives, and the client misses the rest
        return
    # For this client the closing itself is the end of the body. A reset is not.
    no_lingering = struct.pack("ii", 1, 0)
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_lingering)
    transport.abort()
