"""The servers behind us, asked with aiohttp's client.

Its exceptions end here: whatever goes wrong between us and an upstream leaves as one of
`proxy.errors.Upstream…`, with the server's host and the reason in one line.
"""

from collections.abc import AsyncIterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError
from multidict import CIMultiDict
from yarl import URL

from proxy.config import schema
from proxy.errors import ClientError, UpstreamReported
from proxy.server.clients.headers import Headers, Written
from proxy.server.tls import towards
from proxy.server.upstreams.answer import Answer, Source
from proxy.server.upstreams.connector import Connector
from proxy.server.upstreams.direct import DirectResponse, kind_of_connection
from proxy.server.upstreams.direct_connection import DirectConnection
from proxy.server.upstreams.direct_request import DirectRequests
from proxy.server.upstreams.no_answer import before_the_answer
from proxy.server.upstreams.sending import Sender, watch_reuse
from proxy.server.upstreams.upstream_connection import HEADER_LIMIT, READ_AHEAD

#: What aiohttp would add to a request of its own accord. A proxy adds nothing.
_ADDED_BY_AIOHTTP: Final = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
#: What is shorter, in characters, is no secret but perhaps a team's name, which an error may well repeat.
_SHORTEST_SECRET: Final = 12
#: The longest message of a WebSocket, in bytes: it is held whole.
LARGEST_MESSAGE: Final = 2**26
#: Seconds for an upstream to answer a WebSocket's close.
_LAST_WORDS: Final = 1.0

_NONE: Final[Mapping[str, str]] = MappingProxyType({})

UpstreamSocket = aiohttp.ClientWebSocketResponse


class Upstream:
    """One server behind the proxy. To be made while the event loop runs.

    Args:
        name: its name in the configuration.
        settings: what the configuration says of it.

    Attributes:
        secrets: what it is shown, and nobody else.

    Raises:
        ConfigurationError: a certificate or key in them is none.
    """

    def __init__(self, name: str, settings: schema.Upstream):
        self.name = name
        self.settings = settings
        self.host = URL(settings.base).authority
        secure = settings.base.startswith("https:")
        self._own_headers = _own_headers(settings)
        self.secrets = _secrets(settings)
        shown = tuple(secret.encode() for secret in self.secrets)
        source = Source(self.host, settings.base, settings.timeouts, shown)
        # Connecting, and waiting for a connection, are limited by the connector.
        timeout = aiohttp.ClientTimeout(total=None, sock_read=settings.timeouts.first_byte or None)
        kind = kind_of_connection()
        connector = Connector(
            settings.timeouts,
            connections=kind,
            limit=settings.max_connections,
            ssl=towards(settings.tls, f"upstreams.{name}.tls") if secure else True,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            response_class=DirectResponse,
            cookie_jar=aiohttp.DummyCookieJar(),  # a cookie is one client's, never the next one's
            timeout=timeout,
            skip_auto_headers=_ADDED_BY_AIOHTTP,
            trace_configs=[watch_reuse()],
            read_bufsize=READ_AHEAD,
            max_line_size=HEADER_LIMIT,
            max_field_size=HEADER_LIMIT,
        )
        # aiohttp would ask again on fresh connections too, and after half a head. `Sender` decides that.
        self._session._retry_connection = False
        self._sender = Sender(self._session, source)
        self._direct: DirectRequests | None = None
        if kind is DirectConnection:
            self._direct = DirectRequests(self._session, connector, source, self._own_headers)

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()

    def discard(self) -> None:
        """Do without it, where it has never been asked."""
        self._session.detach()

    async def ask(
        self,
        method: str,
        target: str,
        *,
        headers: Mapping[str, str],
        body: bytes | AsyncIterable[bytes] | None = None,
        decode: bool = False,
        passing: Mapping[str, str] = _NONE,
        written: Written | None = None,
    ) -> Answer:
        """Send a request and wait for the head of its answer, whatever its status.

        Args:
            method: of the request.
            target: path and query, encoded as they came.
            headers: what the upstream gets, but for what the configuration or the body's length decides.
            body: bytes, which can be sent again; or a stream, which cannot.
            decode: undo the answer's Content-Encoding.
            passing: more of them, which are others for each request.
            written: the one before of the same client, as it was written; it takes note of this one.

        Returns:
            The answer, for an `async with`. A redirect is an answer too.

        Raises:
            UpstreamUnreachable: there is no connection.
            UpstreamTimeout: the connection, or the first byte, took longer than configured.
            UpstreamTruncated: the connection ended before the head did.
            UpstreamMalformed: what came is not HTTP, or cannot be decoded.
            ClientError: raised by the stream that `body` is.
        """
        direct, request = self._direct, None
        if direct is not None:
            written = written or Written()
            request = direct.write(method, target, headers, body, passing=passing, written=written)
        try:
            if direct is not None and request is not None:
                return await direct.send(request, decode=decode)
            completed = self._completed(headers, passing)
            return await self._sender.send(method, target, headers=completed, body=body, decode=decode)
        except (aiohttp.ClientError, HttpProcessingError, TimeoutError) as error:
            if isinstance(error.__cause__, ClientError):  # it was the client's body that failed
                raise error.__cause__ from None
            raise before_the_answer(error, self.host, self.settings.timeouts) from error

    async def open_websocket(
        self, target: str, *, headers: Mapping[str, str], protocols: Sequence[str]
    ) -> UpstreamSocket:
        """Open a WebSocket, whose pings and closes are the caller's matter.

        Args:
            target: path and query, encoded as they came.
            headers: as for `ask`.
            protocols: the subprotocols, of which the upstream takes one or none.

        Raises:
            UpstreamReported: the upstream refuses; in its own status.
            UpstreamError: as for `ask`.
        """
        url = URL(self.settings.base + target, encoded=True)
        try:
            return await self._session.ws_connect(
                url,
                headers=self._completed(headers),
                protocols=protocols,
                autoping=False,
                autoclose=False,
                max_msg_size=LARGEST_MESSAGE,
                timeout=aiohttp.ClientWSTimeout(ws_close=_LAST_WORDS),
            )
        except aiohttp.WSServerHandshakeError as error:
            if error.status >= 400:
                raise UpstreamReported(
                    f"The upstream {self.host} opens no WebSocket there.", status=error.status
                ) from error
            raise before_the_answer(error, self.host, self.settings.timeouts) from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise before_the_answer(error, self.host, self.settings.timeouts) from error

    def _completed(self, headers: Mapping[str, str], passing: Mapping[str, str] = _NONE) -> Headers:
        completed = CIMultiDict(headers)
        completed.extend(passing)
        completed.update(self._own_headers)
        return completed


def _own_headers(settings: schema.Upstream) -> Headers:
    """Return the header fields that take the place of a client's."""
    own = CIMultiDict((name, value.get_secret_value()) for name, value in settings.headers.items())
    if settings.api_key is not None:
        own["Authorization"] = f"Bearer {settings.api_key.get_secret_value()}"
    return own


def _secrets(settings: schema.Upstream) -> tuple[str, ...]:
    """Return what is shown to the upstream and to nobody else; not what is too short to be a secret."""
    shown = [*settings.headers.values(), *([settings.api_key] if settings.api_key else [])]
    values = [each.get_secret_value() for each in shown]
    return tuple(value for value in values if len(value) >= _SHORTEST_SECRET)
