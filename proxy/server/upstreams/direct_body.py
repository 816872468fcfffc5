"""The body of an event stream on the fast road, from the transport to whoever takes it."""

import asyncio
from collections.abc import Callable
from typing import Final

from proxy.server.alarms import Alarm
from proxy.server.upstreams.answer import Taker
from proxy.server.upstreams.upstream_connection import READ_AHEAD
from proxy.wire.chunked import ChunkedDecoder

#: Seconds in which the end of a body has to follow what is the last of its matter.
_LAST_WORDS: Final = 1.0


class DirectBody:
    """The body of an answer, without its chunks: kept for a reader, or handed over as it comes.

    Args:
        transport: which it comes from.
        end: is told of its proper end, and whether anything else has come after it.
        decoder: takes off its chunks.
        alarm: of the connection, which needs it no more.
    """

    __slots__ = (
        "_alarm",
        "_between",
        "_broken",
        "_close",
        "_decoder",
        "_end",
        "_kept",
        "_paused",
        "_taker",
        "_transport",
        "_waiter",
    )

    def __init__(
        self,
        transport: asyncio.Transport | None,
        end: Callable[[bool], None],
        decoder: ChunkedDecoder,
        alarm: Alarm,
    ):
        self._transport = transport
        self._end: Callable[[bool], None] | None = end
        self._decoder = decoder
        self._alarm = alarm
        self._between = True  # as the decoder says, which need not be asked for each read
        self._kept = b""
        self._paused = False
        self._taker: Taker | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._broken = False
        self._close: Callable[[], None] | None = None

    @property
    def ended(self) -> bool:
        """The body has come to its proper end, which need not have been read."""
        return self._decoder.ended

    @property
    def over(self) -> bool:
        """Nothing more will come."""
        return self._decoder.ended or self._broken

    @property
    def malformed(self) -> bool:
        """What has come cannot be taken apart."""
        return self._decoder.broken

    @property
    def kept(self) -> bool:
        """Something has come that has not been read."""
        return bool(self._kept)

    def receive(self, data: bytes) -> None:
        """Take what the transport has read."""
        taker = self._taker
        if taker is not None and self._between and self._offer(data, taker):
            return
        self.take(self._decoder.feed(data))

    def take(self, data: bytes) -> None:
        """Take what the decoder has made of a read."""
        decoder = self._decoder
        self._between = decoder.between
        if data and self._close is not None:
            self.break_off()
            return
        if data:
            if self._taker is not None:
                self._hand_over(data, self._taker)
            else:
                self._keep(data)
        if decoder.ended:
            self._resume()
            if self._end is not None:
                self._end(decoder.surplus)
            self._let_go()
        elif decoder.broken:
            self.break_off()

    def break_off(self) -> None:
        """Take the news that nothing more will come."""
        if not self._decoder.ended:
            self._broken = True
            if self._transport is not None:
                self._transport.close()
        self._let_go()

    def await_end(self, close: Callable[[], None]) -> None:
        """Wait a moment for the end; if it does not come, or anything else does, `close` the connection."""
        self._close = close
        self._alarm.ring = self.break_off
        self._alarm.set(self._alarm.loop.time() + _LAST_WORDS)

    async def read(self) -> bytes:
        """Return what has come, as soon as anything has; b"" when nothing more will come."""
        if not (self._kept or self.over):
            await self._woken()
        data, self._kept = self._kept, b""
        self._resume()
        return data

    async def pour(self, taker: Taker) -> bool:
        """Hand over what comes until `taker` wants no more, or it has to be read.

        Returns:
            Whether it wants more.
        """
        if self._kept or self.over:
            return True
        self._taker = taker
        try:
            await self._woken()
            return self._taker is not None
        finally:
            self._taker = None

    def _keep(self, data: bytes) -> None:
        self._kept += data
        if len(self._kept) > READ_AHEAD and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def _offer(self, data: bytes, taker: Taker) -> bool:
        try:
            return taker.take_chunk(data)
        except Exception as error:  # noqa: BLE001 - it belongs to the task that waits
            self._pour_no_more(error)
            return True

    def _hand_over(self, data: bytes, taker: Taker) -> None:
        try:
            if not taker.take(data):
                self._pour_no_more()
        except Exception as error:  # noqa: BLE001 - likewise
            self._pour_no_more(error)

    def _pour_no_more(self, error: Exception | None = None) -> None:
        self._taker = None
        if error is not None and self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)
        self._wake()

    async def _woken(self) -> None:
        self._waiter = self._alarm.loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _resume(self) -> None:
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    def _let_go(self) -> None:
        """Hold nothing any more of a connection that goes on without this body, and tell who waits."""
        close, self._close = self._close, None
        if close is not None:
            self._alarm.rest()
            close()
        self._transport = self._end = None
        self._wake()
