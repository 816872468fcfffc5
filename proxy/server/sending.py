"""A request on its way to an upstream: on which road, and whether it is sent again."""

import io
from collections.abc import AsyncIterable
from types import SimpleNamespace
from typing import Final, cast

import aiohttp
from yarl import URL

from proxy.server.direct import DirectResponse
from proxy.server.direct_connection import DirectReply
from proxy.server.direct_request import DirectRequests, PlainReply
from proxy.server.headers import Headers

#: From here on the bytes of a request are not given to its socket in one go.
_LARGE_BODY: Final = 2**18

Body = bytes | AsyncIterable[bytes] | None


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
        self, method: str, target: str, *, headers: Headers, body: Body, decode: bool
    ) -> DirectReply | PlainReply | DirectResponse:
        """Send a request and wait for the head of its answer.

        Where a kept connection turns out to have been closed meanwhile, it is sent again, once.

        Args:
            method: of the request.
            target: path and query, encoded as they came.
            headers: all of them, but for what follows from the body and the upstream's place.
            body: bytes, which can be sent again; or a stream, which cannot.
            decode: undo the answer's Content-Encoding.

        Raises:
            aiohttp.ClientError: it cannot be sent, or is not answered.
            aiohttp.http_exceptions.HttpProcessingError: the answer is no HTTP.
            TimeoutError: the connection, or the head of the answer, takes too long.
        """
        sent = SimpleNamespace(reused=False)
        try:
            return await self._send_once(method, target, headers, body, decode=decode, sent=sent)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
            if not (sent.reused and _nothing_came(error) and isinstance(body, bytes | None)):
                raise
        return await self._send_once(method, target, headers, body, decode=decode, sent=sent)

    async def _send_once(
        self, method: str, target: str, headers: Headers, body: Body, *, decode: bool, sent: SimpleNamespace
    ) -> DirectReply | PlainReply | DirectResponse:
        direct, data = self._direct, cast(io.BytesIO | Body, body)
        if isinstance(body, bytes) and len(body) > _LARGE_BODY:
            data = io.BytesIO(body)  # it is sent in pieces, and others get their turn between them
        elif direct is not None and isinstance(body, bytes | None) and direct.suit(method, target):
            return await direct.send(method, target, headers, body, decode=decode, sent=sent)
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

    async def note_reuse(_session: object, connection: SimpleNamespace, _event: object) -> None:
        if connection.trace_request_ctx is not None:  # a WebSocket has none
            connection.trace_request_ctx.reused = True

    async def note_creation(_session: object, connection: SimpleNamespace, _event: object) -> None:
        if connection.trace_request_ctx is not None:
            connection.trace_request_ctx.reused = False

    traces = aiohttp.TraceConfig()
    traces.on_connection_reuseconn.append(note_reuse)
    traces.on_connection_create_end.append(note_creation)
    return traces


def _nothing_came(error: Exception) -> bool:
    """Tell whether the connection ended without a byte of an answer (else aiohttp puts the torso there)."""
    return not isinstance(error, aiohttp.ServerDisconnectedError) or isinstance(error.message, str)
