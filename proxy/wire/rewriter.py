"""An upstream's stream in, OpenAI's stream out: bytes in, frames out, no I/O.

`StreamRewriter` joins the parts (decoder, intake, machine, endings, writer) and
decides how the stream ends: well only where the upstream has shown that it was
finished, else in an error event.
"""

from typing import Final

from proxy.errors import (
    Stopped,
    UpstreamError,
    UpstreamMalformed,
    UpstreamTruncated,
    error_body,
    forget_frames,
)
from proxy.wire import codec, framing, reported
from proxy.wire.chunk import Origin, StreamState
from proxy.wire.endings import Endings
from proxy.wire.frames import FrameWriter
from proxy.wire.intake import Intake
from proxy.wire.machine import ChunkMachine
from proxy.wire.plan import Plan
from proxy.wire.report import StreamReport
from proxy.wire.requests import Request
from proxy.wire.shortcut import Shortcut, find
from proxy.wire.splice import Splice, are_alike
from proxy.wire.sse import BOM, Event, encode

DONE_FRAME: Final = encode(framing.DONE)
DEFAULT_EVENT_LIMIT: Final = 1024 * 1024
#: After how many events it pays to learn from one where none had to be repaired; else it does at once.
FEW: Final = 2
_NOTHING: Final = "The upstream ended its answer without having sent anything."
_ONLY_FOREIGN: Final = "The upstream sent events, but no chunk of an answer. Is its API like OpenAI's?"


class StreamRewriter:
    """Rewrites one stream.

    Args:
        request: the facts of the request that it answers.
        origin: a random token and the time, since this floor knows neither.
        plan: the repairs that are on.
        event_limit: the greatest size of one upstream event in bytes; 0 means none.
        splice: take the short roads where they lead to the same; False for the long one only.

    Attributes:
        ended: nothing more will leave: `[DONE]` or an error event has been returned.
        done: `[DONE]` has come, and only usage that was asked for and comes after it is waited for.
            Some servers keep the connection: then `receive_failure` ends the stream, and well.
        failure: why the stream ended in an error; None while it did not.
        opened: a frame that is no error has been returned. Before that a failure
            can still become an HTTP status.
    """

    __slots__ = (
        "_decoder",
        "_endings",
        "_first",
        "_intake",
        "_last",
        "_limit",
        "_plan",
        "_shortcut",
        "_splice",
        "_stream",
        "_writer",
        "done",
        "ended",
        "failure",
        "opened",
    )

    def __init__(
        self,
        request: Request,
        origin: Origin,
        plan: Plan,
        *,
        event_limit: int = DEFAULT_EVENT_LIMIT,
        splice: bool = True,
    ) -> None:
        self.ended = False
        self.done = False
        self.failure: UpstreamError | Stopped | None = None
        self.opened = False
        self._limit = event_limit
        self._plan = plan
        self._stream = StreamState(request, origin)
        self._writer = FrameWriter(self._stream)
        self._endings = Endings(self._stream, plan, self._writer)
        self._intake = Intake(self._stream, ChunkMachine(self._stream, plan, self._writer, self._endings))
        self._splice: Splice | None = None  # until two events look alike
        self._last = b"" if splice else None  # the data of the event before, until then
        self._shortcut: Shortcut | None = None  # past the splice, as long as nothing else comes
        self._decoder: framing.TolerantDecoder | framing.JSONDecoder | None = None
        self._first = b""  # until it shows what kind of body this is

    @property
    def events_in(self) -> int:
        """How many events of the upstream have said something so far."""
        if self._shortcut is not None:
            self._shortcut.settle()
        return self._intake.events

    @property
    def begun(self) -> bool:
        """The model has begun to speak: more has come than the role of each choice.

        Many servers send the roles before they load the model, or read the prompt.
        """
        if self._shortcut is not None:
            self._shortcut.settle()
        roles = len(self._stream.choices) if self._stream.is_chat else 0
        return max(self._intake.events, self._writer.written) > roles

    @property
    def report(self) -> StreamReport:
        """What became of the stream so far."""
        if self._shortcut is not None:
            self._shortcut.settle()
        if self._splice is not None:
            self._splice.settle()
        repairs = dict(self._stream.repairs)
        for form, times in self._decoder.deviations.items() if self._decoder else ():
            repairs[form] = repairs.get(form, 0) + times
        outcome = self.failure.outcome if self.failure else "complete" if self.ended else "open"
        return StreamReport(outcome, self._intake.events, self._writer.written, repairs)

    def receive_data(self, data: bytes) -> list[bytes]:
        """Take what one read brought, cut anywhere; return the frames that can leave."""
        if self._shortcut is not None:
            self._shortcut.settle()
            self._shortcut = None
        decoder = self._decoder
        if decoder is None:
            self._first += data
            decoder = self._decoder = framing.decoder(self._first, self._limit)
            if decoder is None:
                return []
            bare = self._intake.bare = isinstance(decoder, framing.JSONDecoder)
            data = self._first.removeprefix(BOM) if bare else self._first
            self._first = b""
        for event in decoder.feed(data):
            splice = self._splice
            if splice is None or not splice.take(event):
                self._event(event)
        if decoder.overflowed and not self.ended:
            if self.done:
                self._close()
            else:
                said = f"The upstream sent an event of more than {self._limit} bytes."
                self._fail(UpstreamMalformed(said))
        return self._take()

    def shortcut(self) -> Shortcut | None:
        """Return a shorter road for reads that bring an event like the last, chunk and all, if there is one.

        Until `receive_…` is called again, whatever the shortcut takes has been received.
        """
        if self._shortcut is None:
            decoder, splice = self._decoder, self._splice
            if splice is not None and not self.ended and isinstance(decoder, framing.TolerantDecoder):
                self._shortcut = find(decoder, splice, self._writer, self._limit)
        return self._shortcut

    def receive_eof(self) -> list[bytes]:
        """Take the proper end of the upstream's body."""
        if self._shortcut is not None:
            self._shortcut.settle()
            self._shortcut = None
        cut = self._left_over()
        if self.done:
            self._close()
        elif cut:
            self._end_broken(UpstreamTruncated("The upstream ended its answer in the middle of an event."))
        elif not self.ended:
            self._end_unmarked()
        return self._take()

    def receive_failure(self, error: UpstreamError | Stopped) -> list[bytes]:
        """Take the news that the upstream's body broke off, or fell silent, or is waited for no longer."""
        if self._shortcut is not None:
            self._shortcut.settle()
            self._shortcut = None
        self._left_over()
        if self.done:
            self._close()
        elif not self.ended:
            self._end_broken(error)
        return self._take()

    def _take(self) -> list[bytes]:
        writer = self._writer
        frames, writer.frames = writer.frames, []
        writer.written += len(frames)
        if frames and not self.opened:
            self.opened = self.failure is None or len(frames) > 1
        return frames

    def _event(self, event: Event) -> None:
        if self.ended or self.done:
            self._late_event(event)
            return
        if self._last is not None:
            last, self._last = self._last, event.data
            if (self._stream.repairs or self._intake.events >= FEW) and are_alike(last, event.data):
                self._last, self._splice = None, Splice(self._stream, self._intake, self._writer)
        try:
            if (self._splice or self._intake).receive(event):
                self._end_marked()
        except UpstreamError as error:
            self._fail(error)

    def _late_event(self, event: Event) -> None:
        if self.done and self._endings.take_late_usage(event.data):
            self._stream.count("usage-after-done")
            self._close()
        elif self.failure is None:
            self._stream.count("repeated-done" if framing.says_done(event.data) else "data-after-done")

    def _left_over(self) -> bool:
        """Take what the end of the body left; say whether it is a piece of an event."""
        cut = False
        for event in self._decoder.finish() if self._decoder else ():
            data = event.data.strip()
            if self.ended or not data:
                continue
            if not framing.says_done(data) and not framing.is_object(data):
                cut = True
            elif "unterminated-event" in self._plan.on:
                self._stream.count("unterminated-event")
                self._event(event)
        return cut and not self.ended

    def _end_unmarked(self) -> None:
        """The body ended properly, and there was no `[DONE]`."""
        choices = self._stream.choices
        stray = self._decoder.stray if self._decoder else b""
        if self._endings.all_finished or (self._stream.whole and self._intake.events == 1 and choices):
            self._end_well()
        elif stray and (said := stray.decode("utf-8", "replace").strip()):
            self._fail(self._stream.counted(*reported.from_text(said)))
        elif not choices:
            foreign = "foreign-event" in self._stream.repairs
            self._fail(UpstreamTruncated(_ONLY_FOREIGN if foreign else _NOTHING))
        elif self._plan.missing_finish == "stop" and not self._endings.calls_open:
            self._end_well()
        else:
            self._fail(UpstreamTruncated("The upstream ended its answer before it was finished."))

    def _end_broken(self, error: UpstreamError | Stopped) -> None:
        """The body broke off. It is whole all the same if every choice had finished, and stayed so."""
        begun = len(self._stream.choices) >= self._stream.request.choices and not self._endings.only_begun
        if begun and self._endings.all_finished and not self._stream.early_finishes:
            self._stream.count("broken-after-finish")
            self._end_well()
        else:
            self._fail(error)

    def _end_marked(self) -> None:
        """`[DONE]` has come: the choices are over, and the stream but for usage that may still follow."""
        stream, decoder = self._stream, self._decoder
        if not stream.choices and ("foreign-event" in stream.repairs or (decoder and decoder.stray.strip())):
            self._end_unmarked()  # something was said, but no answer
            return
        self._endings.finish()
        if "usage-after-done" in self._plan.on and self._endings.awaits_usage:
            self.done = True
        else:
            self._close()

    def _end_well(self) -> None:
        try:
            self._endings.finish()
        except UpstreamError as error:
            self._fail(error)
        else:
            if says_so := "missing-done" in self._plan.on:
                self._stream.count("missing-done")
            self._close(says_so=says_so)

    def _close(self, *, says_so: bool = True) -> None:
        """Nothing more comes: send the usage and, unless it may not be made up, `[DONE]`."""
        self.done, self.ended = False, True
        try:
            self._endings.report()
            if says_so:
                self._writer.frames.append(DONE_FRAME)
        except UpstreamError as error:
            self._fail(error)

    def _fail(self, error: UpstreamError | Stopped) -> None:
        self.ended = True
        self.failure = error
        forget_frames(error)
        reported.hide(error, self._plan.secrets)
        self._writer.frames.append(encode(codec.dumps(error_body(error))))
