"""The plain road to an upstream: a request that aiohttp's session sends, and perhaps once more."""

import io
from types import NoneType, SimpleNamespace
from typing import Final, cast

import aiohttp
from yarl import URL

from proxy.server.clients.headers import Headers
from proxy.server.upstreams.answer import Answer, Source, examined
from proxy.server.upstreams.buffered_answer import BufferedAnswer
from proxy.server.upstreams.direct import DirectResponse
from proxy.server.upstreams.direct_answer import DirectAnswer
from proxy.server.upstreams.direct_request import LARGE_BODY, Body
from proxy.server.upstreams.upstream_connection import was_closed_meanwhile

#: What can be sent a second time.
_SENT_AGAIN: Final = (bytes, NoneType)


class _Sent:
    """A request on its way.

    Attributes:
        reused: it went out on a connection that had served another one.
    """

    reused = False


class Sender:
    """Sends requests to one upstream.

    Args:
        session: aiohttp's, which `watch_reuse` watches and which sends nothing again by itself.
        source: the upstream.
    """

    def __init__(self, session: aiohttp.ClientSession, source: Source):
        self._session = session
        self._source = source

    async def send(self, method: str, target: str, *, headers: Headers, body: Body, decode: bool) -> Answer:
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
            UpstreamMalformed: the head is nothing to build on.
        """
        sent = _Sent()
        try:
            response = await self._send_once(method, target, headers, body, decode=decode, sent=sent)
        except aiohttp.ClientError as error:
            if not (sent.reused and isinstance(body, _SENT_AGAIN) and was_closed_meanwhile(error)):
                raise
            response = await self._send_once(method, target, headers, body, decode=decode, sent=sent)
        head = examined(response, self._source, decode=decode)
        if response.body is not None:
            return DirectAnswer(response, response.body, head, self._source)
        return BufferedAnswer(response, head, self._source)

    async def _send_once(
        self, method: str, target: str, headers: Headers, body: Body, *, decode: bool, sent: _Sent
    ) -> DirectResponse:
        data = cast(io.BytesIO | Body, body)
        if isinstance(body, bytes) and len(body) > LARGE_BODY:
            data = io.BytesIO(body)  # it is sent in pieces, and others get their turn between them
        response = await self._session.request(
            method,
            URL(self._source.base + target, encoded=True),
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
