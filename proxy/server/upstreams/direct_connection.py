"""A connection whose event streams take the fast road: `proxy.server.upstreams.direct` tells of it."""

import asyncio
from typing import Any, Final, Protocol

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.helpers import set_exception
from aiohttp.http import RawResponseMessage
from aiohttp.streams import StreamReader

from proxy.server.upstreams.answer import Source
from proxy.server.upstreams.answer_heads import Head, KnownHeads
from proxy.server.upstreams.direct_answer import ArrivedAnswer, DirectAnswer
from proxy.server.upstreams.direct_body import DirectBody
from proxy.server.upstreams.upstream_connection import HEADER_LIMIT, READ_AHEAD, Connection
from proxy.wire.chunked import ChunkedDecoder

_HEAD_END: Final = b"\r\n\r\n"

#: A head as aiohttp understood it, and its body, which aiohttp reads.
Plain = tuple[RawResponseMessage, StreamReader]


class DirectReply:
    """An answer whose body takes the fast road, to a request of `DirectConnection.ask`.

    Attributes:
        head: of the answer.
        raw: the bytes of a head that is to be remembered; b"": it is known, or not to be.
        body: of the answer.
    """

    __slots__ = ("_connection", "body", "head", "raw")

    def __init__(self, connection: "DirectConnection", body: DirectBody, head: Head, raw: bytes = b""):
        self._connection = connection
        self.body = body
        self.head = head
        self.raw = raw

    def close(self) -> None:
        """Close the connection, which is another's once the body has ended."""
        if not self.body.ended:
            self._connection.abandon()

    async def leave(self) -> None:
        """Do nothing: the connection went back with the end of the body, or has been closed."""


#: What comes of a request: an answer, if its head is known; else one whose head is to be looked at.
Coming = ArrivedAnswer | DirectAnswer | DirectReply | Plain


class Asker(Protocol):
    """Who sends requests past aiohttp's session.

    Attributes:
        source: who is asked.
        known: heads that the upstream has sent before.
        timeout: seconds for the head of an answer; None: for ever.
    """

    source: Source
    known: KnownHeads
    timeout: float | None

    def take_back(self, connection: "DirectConnection", *, whole: bool) -> None:
        """Take back a connection at the end of an answer, which has come whole or not."""


class DirectConnection(Connection):
    """A connection whose event streams take the fast road.

    Two sorts of requests go out on it: those of aiohttp's session, and those of `ask`. Their answers, too,
    are spared all of aiohttp if they begin, to the byte, as one before.

    Attributes:
        body: of the latest answer to the session, if it takes that road.
    """

    __slots__ = ("_asker", "_decode", "_open_body", "_reply", "body")

    def __init__(self, loop: asyncio.AbstractEventLoop):
        super().__init__(loop)
        self.body: DirectBody | None = None
        self._open_body: DirectBody | None = None  # one that still comes
        self._asker: Asker | None = None
        self._decode = False
        self._reply: asyncio.Future[Coming] | None = None

    @property
    def idle(self) -> bool:
        """Nothing may come now."""
        return self._open_body is None and super().idle

    def ask(self, request: bytes, asker: Asker, *, decode: bool) -> "asyncio.Future[Coming]":
        """Send a request; return its answer to be.

        Args:
            request: head and body.
            asker: gets the connection back by itself at the end of a body on the fast road.
            decode: aiohttp undoes the answer's Content-Encoding.

        Raises:
            aiohttp.ServerDisconnectedError: the connection has ended meanwhile.
        """
        self._asker, self._decode, self._read_timeout = asker, decode, asker.timeout
        if self.transport is None:
            raise aiohttp.ServerDisconnectedError
        self._expect_answer()
        self._parser = self._payload = None
        self._reply = reply = self._loop.create_future()
        self.transport.write(request)
        self.start_timeout()
        return reply

    def withdraw(self, reply: "asyncio.Future[Coming] | None") -> None:
        """Close the connection, unless that answer has come whole and it is another's by now.

        Args:
            reply: the answer; None: it could not be asked for.
        """
        if reply is self._reply:
            self.abandon()

    def let_go(self) -> None:
        """Hold an answer no more that cannot be withdrawn: it holds this connection, and would in a cycle."""
        self._reply = None

    def abandon(self) -> None:
        """Close the connection in the middle of an answer to `ask`."""
        self.abort()
        self.let_go()
        asker, self._asker = self._asker, None
        if asker is not None:
            asker.take_back(self, whole=False)

    # From aiohttp

    def set_response_params(self, **settings: Any) -> None:
        """Expect the answer to a request that is about to be sent."""
        self.body = self._asker = self._reply = None
        super().set_response_params(**settings)

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        """Take the news that no answer will come, unless its head is there."""
        if self._reply is not None and not (self._head_came or self._reply.done()):
            set_exception(self._reply, self._torn(exc), *cause)
        super().set_exception(exc, *cause)

    # From the event loop

    def data_received(self, data: bytes) -> None:
        """Take bytes: those of a body on the fast road past aiohttp."""
        if self._open_body is not None:
            self._open_body.receive(data)
        elif self._asker is not None and self._parser is None and not self._head_came:
            self._receive_beginning(data, self._asker)
        else:
            super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Note the end."""
        if self._open_body is not None:
            self._open_body.break_off()
            self._open_body = None
        super().connection_lost(exc)

    def _receive_beginning(self, data: bytes, asker: Asker) -> None:
        """Take the first bytes of an answer to `ask`: without a parser, if they are known."""
        end = data.find(_HEAD_END) + len(_HEAD_END)
        head = asker.known.get(data[:end])
        if head is not None:
            self._head_came = True
            self._alarm.rest()
            self._begin_known(head, data[end:], asker)
            return
        ResponseHandler.set_response_params(
            self,
            auto_decompress=self._decode,
            read_until_eof=True,
            read_timeout=self._read_timeout,
            read_bufsize=READ_AHEAD,
            max_line_size=HEADER_LIMIT,
            max_field_size=HEADER_LIMIT,
        )
        super().data_received(data)

    def _begin_known(self, head: Head, data: bytes, asker: Asker) -> None:
        """Begin an answer whose head is known, with what has come of its body: often that is all of it."""
        decoder = ChunkedDecoder()
        data = decoder.feed(data)
        if decoder.ended:
            self._tell(ArrivedAnswer(head, asker.source, data))
            self._end_body(decoder.surplus)
            return
        body = self._open(decoder)
        self._tell(DirectAnswer(DirectReply(self, body, head), body, head, asker.source))
        body.take(data)

    def _take_head(self, data: Plain) -> None:
        """Give a head to who waits for it; its body may take the fast road."""
        message, content = data
        is_direct = self._head_came and self._can_be_direct(message, content)
        if self._reply is None:
            super()._take_head(data)
            if is_direct:
                self.body = self._open(ChunkedDecoder())
        elif is_direct:
            raw = b"" if message.should_close else self._raw_head
            head = Head(message.code, message.reason, message.headers)
            self._tell(DirectReply(self, self._open(ChunkedDecoder()), head, raw))
            self._payload = None
        elif self._head_came:
            self._tell(data)

    def _open(self, decoder: ChunkedDecoder) -> DirectBody:
        self._parser = None
        self._open_body = body = DirectBody(self.transport, self._end_body, decoder, self._alarm)
        return body

    def _tell(self, coming: Coming) -> None:
        if self._reply is not None and not self._reply.done():
            self._reply.set_result(coming)

    def _end_body(self, surplus: bool) -> None:
        """Let the connection serve the next request: the body has come whole."""
        self._open_body = None
        if surplus:
            self.force_close()
        asker, self._asker = self._asker, None
        if asker is not None:
            self._reply = None
            asker.take_back(self, whole=True)
        elif self._payload is not None:
            self._payload.feed_eof()  # aiohttp gives it back

    def _can_be_direct(self, head: RawResponseMessage, content: StreamReader) -> bool:
        return (
            head.chunked
            and not head.upgrade
            and not self._skip_payload
            and head.headers.get("Content-Encoding", "identity").lower() == "identity"
            and head.headers.get("Content-Type", "").lower().startswith("text/event-stream")
            # none of it has gone past with a head whose end could not be seen
            and not (content.total_bytes or content.is_eof())
        )
