"""A request on its way to an upstream: on which road, and whether it is sent again."""

import io
from collections.abc import Awaitable
from types import NoneType, SimpleNamespace
from typing import Final, Protocol, cast

import aiohttp
from yarl import URL

from proxy.server.clients.headers import Headers, Written
from proxy.server.upstreams.direct import DirectResponse
from proxy.server.upstreams.direct_connection import DirectReply
from proxy.server.upstreams.direct_request import LARGE_BODY, Body, DirectRequests, PlainReply, Sent
from proxy.server.upstreams.upstream_connection import InTheHead

#: What can be sent a second time.
_SENT_AGAIN: Final = (bytes, NoneType)


class Road(Protocol):
    """One way for a request to go."""

    def __call__(
        self, method: str, target: str, headers: Headers, body: Body, *, decode: bool, sent: Sent
    ) -> Awaitable[DirectReply | PlainReply | DirectResponse]:
        """Send a request once, and wait for the head of its answer."""


class Sender:
    """Sends the requests to one upstream.

    Args:
        session: aiohttp's, which `watch_reuse` watches and which sends nothing again by itself.
        base: the URL to which targets are appended.
        direct: sends what it can past the session; None: nothing.
    """

    def __init__(self, session: aiohttp.ClientSession, base: str, direct: DirectRequests | None):
        self._session = session
        self._base = base
        self._direct = direct

    async def send(
        self, method: str, target: str, *, headers: Headers, body: Body, decode: bool, written: Written
    ) -> DirectReply | PlainReply | DirectResponse:
        """Send a request and wait for the head of its answer.

        Where a kept connection turns out to have been closed meanwhile, it is sent again, once.

        Args:
            method: of the request.
            target: path and query, encoded as they came.
            headers: all of them, but for what follows from the body and the upstream's place.
            body: bytes, which can be sent again; or a stream, which cannot.
            decode: undo the answer's Content-Encoding.
            written: the one before of the same client, as it was written.

        Raises:
            aiohttp.ClientError: it cannot be sent, or is not answered.
            aiohttp.http_exceptions.HttpProcessingError: the answer is no HTTP.
            TimeoutError: the connection, or the head of the answer, takes too long.
        """
        sent = Sent(written)
        road: Road = self._send_by_session
        if self._direct is not None and self._direct.suits(method, target, body):
            road = self._direct.send
        try:
            return await road(method, target, headers, body, decode=decode, sent=sent)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
            if isinstance(error, InTheHead) or not (sent.reused and isinstance(body, _SENT_AGAIN)):
                raise
        return await road(method, target, headers, body, decode=decode, sent=sent)

    async def _send_by_session(
        self, method: str, target: str, headers: Headers, body: Body, *, decode: bool, sent: Sent
    ) -> DirectResponse:
        data = cast(io.BytesIO | Body, body)
        if isinstance(body, bytes) and len(body) > LARGE_BODY:
            data = io.BytesIO(body)  # it is sent in pieces, and others get their turn between them
        response = await self._session.request(
            method,
            URL(self._base + target, encoded=True),
            headers=headers,
            data=data,
            allow_redirects=False,
            auto_decompress=decode,
            trace_request_ctx=sent,
        )
        return cast(DirectResponse, response)


def watch_reuse() -> aiohttp.TraceConfig:
    """Return a trace that notes whether a request went out on a kept connection."""

    async def note_reuse(_session: object, sending: SimpleNamespace, _event: object) -> None:
        if sending.trace_request_ctx is not None:  # a WebSocket has none
            sending.trace_request_ctx.reused = True

    async def note_creation(_session: object, sending: SimpleNamespace, _event: object) -> None:
        if sending.trace_request_ctx is not None:
            sending.trace_request_ctx.reused = False

    traces = aiohttp.TraceConfig()
    traces.on_connection_reuseconn.append(note_reuse)
    traces.on_connection_create_end.append(note_creation)
    return traces
