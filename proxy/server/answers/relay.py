"""One upstream answer into one client answer: the only loop between the two sockets.

There is no queue in it and no second task: what a read brought, what the rewriter makes of it, a write; and
a wait where the client does not keep up. Whatever ends it closes the upstream's connection, the client's
leaving (which cancels it) above all, so that the model stops.
"""

import asyncio
from collections.abc import Awaitable, Sequence

from aiohttp import web

from proxy.errors import UpstreamError
from proxy.server.answers.failures import error_response
from proxy.server.answers.passthrough import pass_answer
from proxy.server.answers.silence import Patience, Silence
from proxy.server.answers.stream import ClientStream
from proxy.server.clients.client_connections import ClientConnection
from proxy.server.clients.exchange import Exchange
from proxy.server.clients.headers import asking_uncompressed, passing
from proxy.server.stopping import stopped, was_cut_off
from proxy.server.upstreams.answer import Answer, Taker
from proxy.server.upstreams.answer_heads import Head
from proxy.server.upstreams.upstream import Upstream
from proxy.wire.charset import Transcoder
from proxy.wire.rewriter import StreamRewriter
from proxy.wire.shortcut import Shortcut


class StreamRelay:
    """One stream, from the upstream's socket to the client's.

    Args:
        request: the client's.
        upstream: who answers it.
        rewriter: made for this one answer.
        patience: how long it may be silent.
        body: of the request, as the upstream shall get it.
    """

    __slots__ = (
        "_body",
        "_head",
        "_last_frames",
        "_record",
        "_request",
        "_rewriter",
        "_shortcut",
        "_silence",
        "_stream",
        "_upstream",
    )

    def __init__(
        self,
        request: Exchange,
        upstream: Upstream,
        rewriter: StreamRewriter,
        patience: Patience,
        body: bytes,
    ):
        self._request = request
        self._record = request.record
        self._upstream = upstream
        self._rewriter = rewriter
        self._stream = ClientStream(request)
        self._silence = Silence(patience, self._stream, rewriter, self._let_go, request.alarm)
        self._body = body
        self._head: Head | None = None
        self._last_frames: Sequence[bytes] = ()
        self._shortcut: Shortcut | None = None

    async def run(self) -> web.StreamResponse:
        """Ask the upstream, and answer the client: with a stream, or with a status while nothing has left.

        Raises:
            ConnectionResetError: the client has gone.
        """
        rewriter, silence = self._rewriter, self._silence
        self._record.stream = True
        try:
            silence.begin()
            try:
                passed = await self._receive()
            finally:
                silence.end()
            if passed is not None:
                return passed
            if rewriter.failure is not None and not (rewriter.opened or self._stream.opened):
                return error_response(rewriter.failure, self._head.without_body if self._head else None)
            return await self._stream.end(self._last_frames)
        finally:
            self._record.streamed(rewriter, silence.pace, self._stream.size)

    async def _receive(self) -> web.StreamResponse | None:
        """Take the answer up to its last frames; or pass it on, where it leads elsewhere."""
        try:
            answer = await self._ask()
            self._head = head = answer.head
            if answer.arrived is not None and 200 <= head.status < 300:
                self._take_whole(head, answer.arrived)
                return None
            async with answer:
                if 300 <= head.status < 400 and not self._stream.opened:
                    self._silence.end()
                    return await pass_answer(self._request, answer)
                await self._rewrite(answer)
        except UpstreamError as error:
            self._last_frames = self._rewriter.receive_failure(error)
        except asyncio.CancelledError as cancellation:
            if not was_cut_off(cancellation):
                raise
            self._last_frames = self._rewriter.receive_failure(stopped())
        return None

    def _ask(self) -> Awaitable[Answer]:
        request = self._request
        body, self._body = self._body, b""  # it may be large, and the stream long
        return self._upstream.ask(
            request.method,
            request.target,
            headers=asking_uncompressed(request),
            body=body,
            decode=True,
            passing=passing(request),
            written=request.admission.written,
        )

    def _take_whole(self, head: Head, data: bytes) -> None:
        """Rewrite an answer that has come whole: it leaves in one write, too."""
        rewriter = self._rewriter
        self._stream.adopt(head)
        if head.encoding:
            self._note_encoding()
            data = Transcoder(head.encoding).feed(data, final=True)
        frames = rewriter.receive_data(data)
        if rewriter.events_in:
            self._silence.note_event()
        if not rewriter.ended:
            frames += rewriter.receive_eof()
        self._last_frames = frames

    async def _rewrite(self, answer: Answer) -> None:
        """Forward the answer's events until the last ones, which are kept: the upstream is done then."""
        self._stream.adopt(answer.head)
        self._silence.listen(answer)
        if not 200 <= answer.status < 300:
            raise await answer.reported()
        taker: Taker = self
        if answer.head.encoding:
            self._note_encoding()
            taker = _Transcoding(self, answer.head.encoding)
        while not self._rewriter.ended:
            await answer.forward(taker)
            if not answer.over:  # else head, frames and end leave in one write
                await self._stream.settle()
        if self._rewriter.failure is None:
            answer.conclude()

    def _note_encoding(self) -> None:
        self._record.count(self._upstream.name, {"foreign-charset": 1})

    def _let_go(self) -> None:
        """Hold nothing any more of how the stream began: of those that last, thousands may be open."""
        connection = self._request.protocol
        if isinstance(connection, ClientConnection):
            connection.let_go(self._request)
        self._stream.let_go()
        self._head = None

    def take(self, data: bytes) -> bool:
        """Rewrite what one read brought, b"" at the end, and send it; say whether more can come at once."""
        rewriter, self._shortcut = self._rewriter, None
        events = rewriter.events_in
        frames = rewriter.receive_data(data) if data else rewriter.receive_eof()
        self._silence.note(frames, rewriter.events_in - events)
        if rewriter.ended:
            self._last_frames = frames
            return False
        return not frames or self._stream.write(frames)

    def take_chunk(self, data: bytes) -> bool:
        """Take a read with an event like the last on the shortest road, if that leads to the client now."""
        if self._shortcut is None:
            self._shortcut = self._rewriter.shortcut()
        if self._shortcut is None or not self._stream.flows:
            return False
        chunk = self._shortcut.take(data)
        if chunk is None:
            return False
        self._silence.note_event()
        self._stream.pass_on(chunk)
        return True


class _Transcoding:
    """Hands on to a relay, in UTF-8, what comes in another encoding: JSON that should have been a stream."""

    def __init__(self, relay: StreamRelay, encoding: str):
        self._relay = relay
        self._transcoder = Transcoder(encoding)

    def take(self, data: bytes) -> bool:
        """Take the body as `StreamRelay.take` does; a character that is cut at its end is nothing."""
        text = self._transcoder.feed(data)
        return self._relay.take(text) if text or not data else True

    def take_chunk(self, _data: bytes) -> bool:
        """Leave every read to `take`."""
        return False
