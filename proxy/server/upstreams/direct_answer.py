"""Answers whose body takes the fast road."""

from types import TracebackType

from proxy.errors import UpstreamError
from proxy.server.upstreams.answer import Answer, Reply, Source, Taker
from proxy.server.upstreams.answer_heads import Head
from proxy.server.upstreams.direct_body import DirectBody


class DirectAnswer(Answer):
    """An answer whose body comes on the fast road."""

    __slots__ = ("_body", "_concluded", "_reply")

    def __init__(self, reply: Reply, body: DirectBody, head: Head, source: Source):
        super().__init__(head, source)
        self._reply = reply
        self._body = body
        self._concluded = False

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._failure = None  # it has been raised: its frames hold this answer
        if kind is None and self._concluded and not (self._body.over or self._body.kept):
            self._body.await_end(self._reply.close)
            return
        if not self._body.ended:
            self._reply.close()
        await self._reply.leave()

    def conclude(self) -> None:
        """Let the end of the body come by itself, so that the connection can be used again."""
        self._concluded = True

    async def read(self) -> bytes:
        """Return what has arrived, as `Answer.read` does."""
        data = b""
        if self._failure is None:
            data = await self._body.read()
        if not data and self._failure is None and not self._body.ended:
            self._failure = self._broken_chunks() if self._body.malformed else self._broken_off()
        self._taken += len(data)
        if not data and self._failure is not None:
            raise self._failure
        return data

    async def forward(self, taker: Taker) -> None:
        """Hand over what arrives, as `Answer.forward` does."""
        more = True
        while more:
            more = await self._body.pour(taker) and taker.take(await self.read())

    @property
    def waiting(self) -> bool:
        """Something has arrived that has not been read."""
        return self._body.kept

    @property
    def over(self) -> bool:
        """All of it has been read."""
        return self._body.ended and not self._body.kept

    def give_up(self, failure: UpstreamError) -> None:
        """Close the connection; who waits, or reads next, gets `failure`."""
        self._failure = failure
        self._reply.close()
        self._body.break_off()


class ArrivedAnswer(Answer):
    """An answer that came whole with its head, in one read: its connection serves others by now.

    Args:
        head: of the answer.
        source: who gave it.
        body: without its chunks.
    """

    __slots__ = ("_left", "arrived")

    def __init__(self, head: Head, source: Source, body: bytes):
        super().__init__(head, source)
        self.arrived = self._left = body

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do nothing: the connection has gone back."""

    async def read(self) -> bytes:
        """Return what has arrived, as `Answer.read` does."""
        if self._failure is not None:
            raise self._failure
        data, self._left = self._left, b""
        self._taken += len(data)
        return data

    @property
    def waiting(self) -> bool:
        """Something has arrived that has not been read."""
        return bool(self._left)

    @property
    def over(self) -> bool:
        """All of it has been read."""
        return not self._left

    def conclude(self) -> None:
        """Do nothing: the end has come."""

    def give_up(self, failure: UpstreamError) -> None:
        """Have who reads next get `failure`."""
        self._failure = failure
