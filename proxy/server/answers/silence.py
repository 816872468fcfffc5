"""What a stream does while its upstream says nothing: it opens, keeps alive, and at last gives up."""

import asyncio
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from proxy.errors import UpstreamTimeout
from proxy.server.alarms import Alarm
from proxy.server.answers.pace import Pace
from proxy.server.answers.stream import ClientStream
from proxy.server.upstreams.answer import Answer
from proxy.wire.rewriter import StreamRewriter

#: Seconds that an upstream has for its usage after a `[DONE]` without. Most end their answer at once.
LAST_WORD: Final = 1.0
#: Seconds after which a stream that has been opened is one that lasts.
_LASTING: Final = 1.0


@dataclass(frozen=True)
class Patience:
    """How long a stream may be silent, in seconds.

    Attributes:
        open_after: then the response is opened, event or no event.
        keep_alive: then a comment is sent, which opens the response too; 0: never.
        first_word: then the upstream is given up, 0: never. From the head of its answer to what the model
            says first; until then it loads, or reads the prompt.
        idle: then the upstream is given up, 0: never. From event to event, from the first word on.
    """

    open_after: float
    keep_alive: float
    first_word: float
    idle: float

    @cached_property
    def before_opening(self) -> float:
        """The time after which the response is opened."""
        return min(self.open_after, self.keep_alive) if self.keep_alive else self.open_after

    @cached_property
    def first_look(self) -> float:
        """The time after which something becomes due before there is an answer."""
        return min(self.before_opening, _LASTING)

    @cached_property
    def shortest(self) -> float:
        """The time in which nothing can become due that has not begun to run."""
        return min(filter(None, (self.keep_alive, self.first_word, self.idle)), default=math.inf)


class Silence:
    """The one alarm of a stream. Whatever happens only leaves a note; the alarm reads the notes.

    So it rings a little too often: whenever something could have become due that was not foreseen.

    Args:
        patience: the limits.
        stream: what is opened and kept alive.
        rewriter: its count of events tells events from pings and comments.
        lasts: called once, if the stream lasts.
        alarm: that one, which rests before and after.

    Attributes:
        pace: when the events came.
    """

    __slots__ = (
        "_alarm",
        "_answer",
        "_begun",
        "_heard",
        "_lasts",
        "_loop",
        "_patience",
        "_rewriter",
        "_said",
        "_speaking",
        "_stream",
        "pace",
    )

    def __init__(
        self,
        patience: Patience,
        stream: ClientStream,
        rewriter: StreamRewriter,
        lasts: Callable[[], None],
        alarm: Alarm,
    ):
        self.pace = Pace()
        self._patience = patience
        self._stream = stream
        self._rewriter = rewriter
        self._lasts: Callable[[], None] | None = lasts
        self._alarm = alarm
        self._loop = alarm.loop
        self._answer: Answer | None = None
        self._begun = False
        self._heard = self._said = self._loop.time()
        self._speaking: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Set the alarm, which `end` puts to rest."""
        self._alarm.ring = self._read_notes
        self._alarm.set(self._said + self._patience.first_look)

    def end(self) -> None:
        """Do nothing any more, whatever has been set in motion."""
        self._lasts = None  # it is the relay's, which holds this: a cycle
        self._alarm.rest()
        if self._speaking is not None:
            self._speaking.cancel()

    def listen(self, answer: Answer) -> None:
        """Measure the silence of an answer that has just begun."""
        self._answer = answer
        self._heard = self._loop.time()

    def note(self, frames: Sequence[bytes], events: int) -> None:
        """Note what one read has brought: so many events, and perhaps frames, which are sent right after."""
        now = self._loop.time()
        if events:
            self._heard = now
            self.pace.note(now)
            self._begun = self._begun or self._rewriter.begun
            if self._rewriter.done:
                self._set_alarm(now)
        if frames:
            self._said = now

    def note_event(self) -> None:
        """Note one read with events after which the same is waited for as before, or nothing any more."""
        self._heard = self._said = now = self._loop.time()
        self.pace.note(now)

    def _speak_at(self) -> float:
        if not self._stream.opened:
            return self._said + self._patience.before_opening
        return self._said + (self._patience.keep_alive or math.inf)

    def _give_up_at(self) -> float:
        if self._answer is None:
            return math.inf
        limit = self._patience.idle if self._begun else self._patience.first_word
        if self._rewriter.done:
            return self._heard + LAST_WORD
        return self._heard + (limit or math.inf)

    def _set_alarm(self, now: float) -> None:
        shortest = self._patience.shortest if self._lasts is None else _LASTING
        self._alarm.set(min(self._speak_at(), self._give_up_at(), now + shortest))

    def _read_notes(self) -> None:
        now = self._loop.time()
        if self._answer is not None and now >= self._give_up_at():
            if not self._answer.waiting:
                self._answer.give_up(self._timeout())
                return
            self._heard = now  # the upstream has spoken; it is the client that does not listen
        if self._lasts is not None and self._answer is not None and self._stream.opened:
            self._lasts()
            self._lasts = None
        if now >= self._speak_at():
            self._said = now
            if self._speaking is None or self._speaking.done():
                self._speaking = self._loop.create_task(self._speak())
        self._set_alarm(now)

    async def _speak(self) -> None:
        # A client that has gone is the relay's matter: it is cancelled, or its next write fails.
        with suppress(ConnectionResetError):
            await (self._stream.keep_alive() if self._patience.keep_alive else self._stream.open())

    def _timeout(self) -> UpstreamTimeout:
        if self._begun:
            return UpstreamTimeout(f"The upstream sent no event within {self._patience.idle:g} s.")
        return UpstreamTimeout(f"The upstream said nothing within {self._patience.first_word:g} s.")
