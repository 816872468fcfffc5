"""The fast road to an upstream: a request without aiohttp's session, which costs more than all else of one.

Connections, TLS, timeouts and the parsing of the answer's head stay aiohttp's. What is written here is the
head of the request, and it is written only for what the session would write in the same way: GET and POST,
with a body that goes out at once. `proxy.server.upstreams.sending` sends all else through the session.
"""

import re
from collections.abc import AsyncIterable, Mapping
from typing import Final

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection as Lease
from aiohttp.http import RawResponseMessage
from aiohttp.streams import StreamReader
from multidict import CIMultiDict
from yarl import URL

from proxy.server.clients.headers import LENGTH, Headers, Written
from proxy.server.upstreams.answer import Answer, Source, examined
from proxy.server.upstreams.answer_heads import Head, KnownHeads
from proxy.server.upstreams.buffered_answer import BufferedAnswer
from proxy.server.upstreams.connector import Connector
from proxy.server.upstreams.direct_answer import ArrivedAnswer, DirectAnswer
from proxy.server.upstreams.direct_connection import DirectConnection, DirectReply, Plain
from proxy.server.upstreams.upstream_connection import was_closed_meanwhile

#: Of a request that goes out with its body at once; a larger one goes in pieces. In bytes.
LARGE_BODY: Final = 2**18
_CONNECTOR_DECIDES: Final = aiohttp.ClientTimeout(total=None)
#: Answers whose head was known.
_EXAMINED: Final = (ArrivedAnswer, DirectAnswer)
_METHODS: Final = frozenset({"GET", "POST"})
#: What would end a header field, or be taken for its end (RFC 9110, section 5.5).
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

Body = bytes | AsyncIterable[bytes] | None


class PlainReply:
    """The answer to such a request, where aiohttp reads its body; what `BufferedAnswer` needs of it.

    Attributes:
        head: as it came.
        content: the body.
        connection: the one it comes on; None once it has come whole, or the connection has been closed.
    """

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
        source: the upstream.
        own: header fields of the upstream's, which take the place of a client's.

    Attributes:
        source: the same.
        known: heads that the upstream has sent before.
        timeout: seconds for the head of an answer; None: for ever.
    """

    def __init__(self, session: aiohttp.ClientSession, connector: Connector, source: Source, own: Headers):
        url = URL(source.base, encoded=True)
        self.source = source
        self.known = KnownHeads()
        self.timeout = source.timeouts.first_byte or None
        self._connector = connector
        self._path = url.raw_path.rstrip("/")
        self._host = _line("Host", url.host_port_subcomponent or "")
        self._own = own
        # Which server, and how it is reached, is all that the connector wants to know of a request.
        self._place = aiohttp.ClientRequest("GET", url, loop=connector._loop, session=session)
        self._key = self._place.connection_key

    def write(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: Body,
        *,
        passing: Mapping[str, str],
        written: Written,
    ) -> bytes | None:
        """Return the bytes of a request; None: it has to be sent in another way.

        Args:
            method: of the request.
            target: path and query.
            headers: but for the upstream's own, and those that follow from place and body.
            body: sent in one go.
            passing: more of them, which are others each time.
            written: the one before of the same client, whose head is taken over if it is the same; takes note
                of this one.

        Raises:
            ValueError: a header field holds control characters.
        """
        content = b"" if body is None else body
        if not isinstance(content, bytes) or len(content) > LARGE_BODY:
            return None
        if written.what != (what := (self, method, target, headers)):
            if not _suits(method, target):
                return None
            self._write_head(method, target, headers, written)
            written.what = what
        head = written.head
        for name, value in passing.items():
            if name not in written.fields:
                head += _line(name, value)
        if (body is not None or method == "POST") and LENGTH not in written.fields:
            head += b"Content-Length: %d\r\n" % len(content)
        return b"%b\r\n%b" % (head, content)

    async def send(self, request: bytes, *, decode: bool) -> Answer:
        """Send a request and wait for the head of its answer.

        Where a kept connection turns out to have been closed meanwhile, it is sent again, once.

        Args:
            request: from `write`.
            decode: undo the answer's Content-Encoding.

        Raises:
            aiohttp.ClientError: as the session would.
            aiohttp.http.HttpProcessingError: what came is no HTTP.
            TimeoutError: as the session would.
            UpstreamMalformed: the head is nothing to build on.
        """
        again = False
        while True:
            kept = self._connector.take(self._key)
            connection: DirectConnection = await self._connect() if kept is None else kept  # type: ignore[assignment]
            reused, reply = connection.used, None
            try:
                reply = connection.ask(request, self, decode=decode)
                coming = await reply
            except BaseException as error:
                connection.withdraw(reply)
                del reply  # it holds the exception, which holds this frame: a cycle
                if again or not (reused and was_closed_meanwhile(error)):
                    raise
                again = True
                continue
            if isinstance(coming, _EXAMINED):
                return coming
            return self._examined(coming, connection, decode=decode)

    def take_back(self, connection: DirectConnection, *, whole: bool) -> None:
        """Take back a connection at the end of an answer, which has come whole or not."""
        self._connector.take_back(self._key, connection, whole=whole)

    async def _connect(self) -> ResponseHandler | None:
        try:
            lease = await self._connector.connect(self._place, traces=[], timeout=_CONNECTOR_DECIDES)
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError("Connection timeout") from error
        connection, lease._protocol = lease.protocol, None  # from now on it is ours to give back
        return connection

    def _examined(self, coming: DirectReply | Plain, connection: DirectConnection, *, decode: bool) -> Answer:
        """Look at the head of an answer, and remember it if it is to be."""
        if isinstance(coming, DirectReply):
            head = examined(coming, self.source, decode=decode)
            if coming.raw:
                self.known.add(coming.raw, head)
            return DirectAnswer(coming, coming.body, head, self.source)
        connection.let_go()
        reply = PlainReply(*coming, Lease(self._connector, self._key, connection, self._connector._loop))
        return BufferedAnswer(reply, examined(reply, self.source, decode=decode), self.source)

    def _write_head(self, method: str, target: str, headers: Mapping[str, str], written: Written) -> None:
        fields = CIMultiDict(headers)
        fields.update(self._own)
        first = f"{method} {self._path}{target} HTTP/1.1\r\n".encode()
        host = b"" if "Host" in fields else self._host
        lines = [_line(name, value) for name, value in fields.items()]
        written.head, written.fields = b"".join([first, host, *lines]), fields


def _suits(method: str, target: str) -> bool:
    """Tell whether a request can be sent on this road: aiohttp would not send its target otherwise."""
    return (
        method in _METHODS
        and target.startswith("/")
        and target.isascii()
        and target.isprintable()
        and not (" " in target or "#" in target)
    )


def _line(name: str, value: str) -> bytes:
    line = f"{name}: {value}"
    if _CONTROL.search(line):
        raise ValueError("A header field of the request holds control characters.")
    return f"{line}\r\n".encode("utf-8", "surrogateescape")
