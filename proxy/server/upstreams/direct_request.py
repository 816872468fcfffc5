"""The fast road to an upstream: a request without aiohttp's session, which costs more than all else of one.

Connections, TLS, timeouts and the parsing of the answer's head stay aiohttp's. What is written here is the
head of the request, and it is written only for what the session would write in the same way: GET and POST,
with a body that goes out at once. `proxy.server.upstreams.sending` sends all else through the session.
"""

import re
from collections.abc import AsyncIterable
from typing import Final, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection as Lease
from aiohttp.http import RawResponseMessage
from aiohttp.streams import StreamReader
from yarl import URL

from proxy.server.clients.headers import Headers, Written
from proxy.server.operator.record import REQUEST_ID
from proxy.server.upstreams.answer_heads import Head, KnownHeads
from proxy.server.upstreams.connector import Connector
from proxy.server.upstreams.direct_connection import DirectConnection, DirectReply

#: Of a request that goes out with its body at once; a larger one goes in pieces. In bytes.
LARGE_BODY: Final = 2**18
_METHODS: Final = frozenset({"GET", "POST"})
#: What would end a header field, or be taken for its end (RFC 9110, section 5.5).
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_REQUEST_ID: Final = REQUEST_ID.lower()

Body = bytes | AsyncIterable[bytes] | None


class Sent:
    """What is known of a request on its way.

    Attributes:
        written: the one before of the same client, as it was written.
        reused: it went out on a connection that had served another one.
    """

    __slots__ = ("reused", "written")

    def __init__(self, written: Written):
        self.written = written
        self.reused = False


class PlainReply:
    """The answer to such a request, where aiohttp reads its body; what `BufferedAnswer` needs of it.

    Attributes:
        head: as it came.
        content: the body.
        connection: the one it comes on; None once it has come whole, or the connection has been closed.
    """

    body: Final = None
    known: Final = False
    raw: Final = b""

    def __init__(self, message: RawResponseMessage, content: StreamReader, lease: Lease):
        self.head = Head(message.code, message.reason, message.headers)
        self.content = content
        self.connection: Lease | None = lease
        content.on_eof(self.release)

    async def leave(self) -> None:
        """Give the connection back, if the body has come whole; close it otherwise."""
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
        connector: where it has them from.
        base: the URL to which targets are appended.
        timeout: of which `sock_read` is observed, for the head alone.

    Attributes:
        known: heads that the upstream has sent before.
        timeout: seconds for the head of an answer; None: for ever.
    """

    def __init__(
        self, session: aiohttp.ClientSession, connector: Connector, base: str, timeout: aiohttp.ClientTimeout
    ):
        url = URL(base, encoded=True)
        self.known = KnownHeads()
        self.timeout = timeout.sock_read
        self._connector = connector
        self._path = url.raw_path.rstrip("/")
        self._host = f"Host: {url.host_port_subcomponent}"
        self._timeout = timeout
        # Which server, and how it is reached, is all that the connector wants to know of a request.
        self._place = aiohttp.ClientRequest("GET", url, loop=connector._loop, session=session)
        self._key = self._place.connection_key

    def suits(self, method: str, target: str, body: Body) -> bool:
        """Tell whether a request can be sent on this road: aiohttp would not send its target otherwise."""
        return (
            method in _METHODS
            and (body is None or (isinstance(body, bytes) and len(body) <= LARGE_BODY))
            and target.startswith("/")
            and target.isascii()
            and target.isprintable()
            and not (" " in target or "#" in target)
        )

    async def send(
        self, method: str, target: str, headers: Headers, body: Body, *, decode: bool, sent: Sent
    ) -> DirectReply | PlainReply:
        """Send a request and wait for the head of its answer.

        Args:
            method: of the request.
            target: path and query; `suits` has let it through, with method and body.
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
        request = self._written(method, target, headers, body, sent.written)
        kept = self._connector.take(self._key)
        connection = cast(DirectConnection, await self._connect() if kept is None else kept)
        sent.reused = connection.used
        try:
            reply = connection.ask(request, self, decode=decode)
        except BaseException:
            self.take_back(connection, whole=False)
            raise
        try:
            answer = await reply
        except BaseException:
            connection.withdraw(reply)
            del reply  # it holds the exception, which holds this frame: a cycle
            raise
        if isinstance(answer, DirectReply):
            return answer
        connection.let_go()
        return PlainReply(*answer, Lease(self._connector, self._key, connection, self._connector._loop))

    def take_back(self, connection: DirectConnection, *, whole: bool) -> None:
        """Take back a connection at the end of an answer, which has come whole or not."""
        self._connector.take_back(self._key, connection, whole=whole)

    async def _connect(self) -> ResponseHandler | None:
        try:
            lease = await self._connector.connect(self._place, traces=[], timeout=self._timeout)
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError("Connection timeout") from error
        connection, lease._protocol = lease.protocol, None  # from now on it is ours to give back
        return connection

    def _written(self, method: str, target: str, headers: Headers, body: Body, before: Written) -> bytes:
        """Write a request, with the lines of the one before where the same fields go to the same place."""
        content = body if isinstance(body, bytes) else b""
        request_id = headers.get(REQUEST_ID, "")
        before.fields[REQUEST_ID] = request_id  # which alone is another each time
        if before.writer is not self or before.fields != headers:
            before.writer, before.fields, before.lines = self, headers, self._lines(headers)
        head = f"{method} {self._path}{target} HTTP/1.1\r\n{before.lines}"
        if request_id:
            head += f"{REQUEST_ID}: {_checked(request_id)}\r\n"
        if "Content-Length" not in headers and (body is not None or method == "POST"):
            head += f"Content-Length: {len(content)}\r\n"
        return b"%b\r\n%b" % (head.encode("utf-8", "surrogateescape"), content)

    def _lines(self, headers: Headers) -> str:
        lines = [] if "Host" in headers else [self._host]
        lines += [f"{name}: {value}" for name, value in headers.items() if name.lower() != _REQUEST_ID]
        return "".join([f"{_checked(line)}\r\n" for line in lines])


def _checked(line: str) -> str:
    if _CONTROL.search(line):
        raise ValueError("A header field of the request holds control characters.")
    return line
