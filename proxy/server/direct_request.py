"""The fast road to an upstream: a request without aiohttp's session, which costs more than all else of one.

Connections, TLS, timeouts and the parsing of the answer's head stay aiohttp's. What is written here is the
head of the request, and it is written only for what the session would write in the same way: GET and POST,
with a body that goes out at once. `proxy.server.sending` sends all else through the session.
"""

import re
from http import HTTPStatus
from types import SimpleNamespace, TracebackType
from typing import Final

import aiohttp
from aiohttp.connector import Connection as Lease
from aiohttp.http import RawResponseMessage
from aiohttp.streams import StreamReader
from multidict import CIMultiDict
from yarl import URL

from proxy.server.direct import DirectConnection
from proxy.server.direct_body import DirectBody
from proxy.server.upstream_connection import HEADER_LIMIT, READ_AHEAD

_UPGRADE: Final = HTTPStatus.SWITCHING_PROTOCOLS
_METHODS: Final = frozenset({"GET", "POST"})
#: What a target may hold that goes out as it came; aiohttp would cut off a fragment.
_TARGET: Final = re.compile(r"/[!\"$-~]*")
#: What would end a header field, or be taken for its end (RFC 9110, section 5.5).
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class DirectReply:
    """The answer to such a request, with what `BufferedAnswer` needs of an `aiohttp.ClientResponse`.

    Attributes:
        status: the HTTP status.
        reason: the words beside it.
        headers: as they came.
        content: the body, where it does not take the fast road.
        connection: the one it comes on; None once it has come whole, or the connection has been closed.
        body: the body, if it takes the fast road.
    """

    def __init__(
        self, head: RawResponseMessage, content: StreamReader, lease: Lease, body: DirectBody | None
    ):
        self.status = head.code
        self.reason = head.reason
        self.headers = head.headers
        self.content = content
        self.connection: Lease | None = lease
        self.body = body
        content.on_eof(self.release)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """Give the connection back to the pool, which closes it if the body has not come whole."""
        if self.connection is not None:
            self.connection.release()
            self.connection = None

    def close(self) -> None:
        """Close the connection."""
        if self.connection is not None:
            if self.connection.transport is not None:
                self.connection.transport.abort()
            self.connection.close()
            self.connection = None
            self.content.set_exception(aiohttp.ClientConnectionError("Connection closed"))


class DirectRequests:
    """Sends requests to one upstream.

    Args:
        session: whose connections are used.
        base: the URL to which targets are appended.
        timeout: of which `sock_read` is observed, for the head alone.
    """

    def __init__(self, session: aiohttp.ClientSession, base: str, timeout: aiohttp.ClientTimeout):
        connector = session.connector
        if connector is None:
            raise RuntimeError("the session is closed")
        url = URL(base, encoded=True)
        self._connector = connector
        self._path = url.raw_path.rstrip("/")
        self._host = f"Host: {url.host_port_subcomponent}"
        self._timeout = timeout
        # Which server, and how it is reached, is all that the connector wants to know of a request.
        self._place = aiohttp.ClientRequest("GET", url, loop=connector._loop, session=session)

    @staticmethod
    def suit(method: str, target: str) -> bool:
        """Tell whether a request can be sent on this road."""
        return method in _METHODS and _TARGET.fullmatch(target) is not None

    async def send(
        self,
        method: str,
        target: str,
        headers: CIMultiDict[str],
        body: bytes | None,
        *,
        decode: bool,
        sent: SimpleNamespace,
    ) -> DirectReply:
        """Send a request and wait for the head of its answer.

        Args:
            method: of the request.
            target: path and query; `suit` has let it through.
            headers: all of them, but for what follows from place and body.
            body: sent in one go.
            decode: undo the answer's Content-Encoding.
            sent: gets `reused`: whether the connection had served another request before.

        Raises:
            aiohttp.ClientError: as the session would.
            aiohttp.http.HttpProcessingError: what came is no HTTP.
            TimeoutError: as the session would.
            ValueError: a header field holds control characters.
        """
        request = self._written(method, target, headers, body)
        try:
            lease = await self._connector.connect(self._place, traces=[], timeout=self._timeout)
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError("Connection timeout") from error
        try:
            connection = lease.protocol
            if not isinstance(connection, DirectConnection) or connection.transport is None:
                raise aiohttp.ServerDisconnectedError
            sent.reused = connection.used
            connection.set_response_params(
                auto_decompress=decode,
                read_until_eof=True,
                read_timeout=self._timeout.sock_read,
                read_bufsize=READ_AHEAD,
                max_line_size=HEADER_LIMIT,
                max_field_size=HEADER_LIMIT,
            )
            connection.transport.write(request)
            connection.start_timeout()
            head, content = await connection.read()
            while HTTPStatus.CONTINUE <= head.code < HTTPStatus.OK and head.code != _UPGRADE:
                head, content = await connection.read()
        except BaseException:
            lease.close()
            raise
        return DirectReply(head, content, lease, connection.body)

    def _written(self, method: str, target: str, headers: CIMultiDict[str], body: bytes | None) -> bytes:
        fields = [f"{name}: {value}" for name, value in headers.items()]
        if "Host" not in headers:
            fields.insert(0, self._host)
        if "Content-Length" not in headers and (body is not None or method == "POST"):
            fields.append(f"Content-Length: {len(body or b'')}")
        if _CONTROL.search("".join(fields)):
            raise ValueError("A header field of the request holds control characters.")
        head = "\r\n".join([f"{method} {self._path}{target} HTTP/1.1", *fields, "\r\n"])
        return head.encode("utf-8", "surrogateescape") + (body or b"")
