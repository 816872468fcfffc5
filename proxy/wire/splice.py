"""The short road: an event that says the same as the last but for its text is rewritten without JSON.

A stream of text is one event over and over: only the content between two quotes
differs. So what the long road (intake, machine, repairs, writer) has just made of
such an event is what it would make of the next. `Splice` learns the bytes around
the text, on both sides, from an event that the long road has rewritten, once
another comes that may be like it, and then moves the text of like events from the
one to the other.

Nothing is assumed about what was done to the event. That the text, and only the
text, is what stands between the bytes is tried out by parsing both sides with
another text in its place. That the long road would do the same again follows from
what it may look at: the chunk, which is the same but for a string that is not
empty; and the state of the stream, which does not change where the choice has
begun, holds nothing back and has made no calls. Repairs may ask whether a text is
empty, not what it says. Of those that do ask, `think-tags` either changes the
text, and then nothing is learnt, or is past the place where it would; and
`error-as-text` looks at a choice's last chunk alone, which is never learnt.
"""

import re
from typing import Final, NamedTuple

import orjson

from proxy.wire import codec
from proxy.wire.chunk import STREAMING, TEXTS, StreamState
from proxy.wire.frames import FrameWriter
from proxy.wire.intake import Intake
from proxy.wire.sse import Event

#: The inside of a JSON string as orjson writes it: such a text is the same on both sides.
CANONICAL: Final = re.compile(rb'[^"\\\x00-\x1f]*(?:\\["\\bfnrt][^"\\\x00-\x1f]*)*').fullmatch
#: A text that stands for any other.
ANY: Final = "straightwire's stand-in for a text"
#: Where there are calls, more than a text is said.
CALLS: Final = ("tool_calls", "function_call")
#: The length of `data: `, with which a frame begins.
FIELD: Final = 6
#: After how many events, at most, it is tried again to learn where learning has not paid.
MAX_PAUSE: Final = 64
#: How many bytes at their ends tell, at no cost, most events that are not alike: the last of a choice is not.
TAIL: Final = 4
#: An event that is shorter than the last by more bytes is mostly the end of a choice, which says nothing.
SHORTER: Final = 32


def are_alike(last: bytes, coming: bytes) -> bool:
    """The data of two events looks alike, from afar: there may be something to learn."""
    return last[-TAIL:] == coming[-TAIL:] and len(last) - len(coming) <= SHORTER


class Seam(NamedTuple):
    """What was learnt of one event: the bytes around its text, as it came and as it left.

    Attributes:
        name: the event's name.
        head: what stood before its text.
        tail: what stood after it.
        begin: what the frame has before the text.
        end: what the frame has after it.
        texts: where the long road remembers each text; None where it does not.
        counts: which repairs acted, and how often.
    """

    name: bytes
    head: bytes
    tail: bytes
    begin: bytes
    end: bytes
    texts: list[str] | None
    counts: tuple[tuple[str, int], ...]


class Sample(NamedTuple):
    """An event that the long road has taken, from which to learn if the next is like it.

    Attributes:
        event: the event.
        frame: the only frame that came of it.
        before: the counts of repairs before it.
        remembers: the long road has kept its text.
    """

    event: Event
    frame: bytes
    before: dict[str, int]
    remembers: bool


class Splice:
    """Takes the events of one stream, by the short road where that leads to the same.

    Args:
        stream: the state that the long road works on.
        intake: the long road.
        writer: where the frames go.

    Attributes:
        seam: what the next event is expected to be; None where that is not known.
    """

    __slots__ = ("_hits", "_intake", "_is_chat", "_pause", "_rest", "_sample", "_stream", "_writer", "seam")

    def __init__(self, stream: StreamState, intake: Intake, writer: FrameWriter) -> None:
        self._stream = stream
        self._is_chat = stream.is_chat
        self._intake = intake
        self._writer = writer
        self.seam: Seam | None = None
        self._sample: Sample | None = None
        self._hits = 0  # events spliced, whose repairs are still to be counted
        self._rest = 0  # events until it is tried again to learn
        self._pause = 0  # the next such rest, if learning does not pay until then

    def take(self, event: Event) -> bool:
        """Take an event by the short road; return whether that was possible."""
        seam = self.seam
        if seam is None:
            if self._sample is None:
                return False
            seam = self._learn(self._sample, event)
            if seam is None:
                return False
        data, name = event
        expected, head, tail, begin, end, texts, _ = seam
        if name != expected or not data.startswith(head) or not data.endswith(tail):
            return False
        text = data[len(head) : -len(tail)]
        if not text or not CANONICAL(text):
            return False
        if texts is not None or not text.isascii():
            try:
                said = orjson.loads(b'"%b"' % text)
            except orjson.JSONDecodeError:  # no UTF-8
                return False
            if texts is not None:
                texts.append(said)
        self._writer.frames.append(begin + text + end)
        self._intake.events += 1
        self._hits += 1
        return True

    def receive(self, event: Event) -> bool:
        """Take an event by the long road, and keep it as a sample for the next.

        The argument, the result and what it raises are those of `Intake.receive`.
        """
        self._sample = None
        if self.seam is not None:
            self._forget()
        if self._rest or not self._is_steady():
            self._rest = max(self._rest - 1, 0)
            return self._intake.receive(event)
        frames, counts = self._writer.frames, self._stream.repairs.copy()
        before, remembered = len(frames), len(self._texts)
        over = self._intake.receive(event)
        if len(frames) == before + 1 and self._is_steady():
            self._sample = Sample(event, frames[-1], counts, len(self._texts) > remembered)
        return over

    def skip(self, events: int) -> None:
        """Count events that have been taken as `take` would have taken them."""
        self._intake.events += events
        self._hits += events

    def settle(self) -> None:
        """Count the repairs of the events that went by the short road."""
        hits, self._hits = self._hits, 0
        if hits and self.seam is not None:
            for repair, times in self.seam.counts:
                self._stream.count(repair, hits * times)

    def _forget(self) -> None:
        if self._hits:
            self._rest = self._pause = 0
        self.settle()
        self.seam = None

    def _is_steady(self) -> bool:
        """There is one choice, it has begun, and nothing that may still come of what it said is held back."""
        stream = self._stream
        if len(stream.choices) != 1:
            return False
        (state,) = stream.choices.values()
        return state.phase is STREAMING and state.finish is None and not (state.halves or state.waiting)

    @property
    def _texts(self) -> list[str]:
        (state,) = self._stream.choices.values()
        return state.text

    def _learn(self, sample: Sample, coming: Event) -> Seam | None:
        """Learn from a sample how to take the event that comes after it; None where they are not alike."""
        self._sample = None
        event, frame, before, remembers = sample
        if not are_alike(event.data, coming.data):
            return None
        self._rest, self._pause = self._pause, min(2 * self._pause + 1, MAX_PAUSE)
        said = self._said(event.data)
        if said is None or said != self._said(frame[FIELD:]):
            return None
        came, left = self._around(event.data, said), self._around(frame, said, FIELD)
        if came and left:
            counts = self._stream.repairs.items()
            new = {repair: times - before.get(repair, 0) for repair, times in counts}
            acted = tuple((repair, times) for repair, times in new.items() if times)
            self.seam = Seam(event.event, *came, *left, self._texts if remembers else None, acted)
        return self.seam

    def _said(self, data: bytes) -> tuple[str, str] | None:
        """Return the key and the text of a chunk that says just that; None if it is not such a chunk."""
        try:
            chunk = orjson.loads(data)
        except orjson.JSONDecodeError:
            return None
        choices = chunk.get("choices") if isinstance(chunk, dict) else None
        if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
            return None
        choice = choices[0]
        texts = choice.get("delta") if self._is_chat else choice
        if not isinstance(texts, dict) or choice.get("logprobs") or any(map(texts.get, CALLS)):
            return None
        said = [(key, texts[key]) for key in (TEXTS if self._is_chat else ("text",)) if texts.get(key)]
        return said[0] if len(said) == 1 and isinstance(said[0][1], str) else None

    def _around(self, data: bytes, said: tuple[str, str], start: int = 0) -> tuple[bytes, bytes] | None:
        """Return what stands before and after the text in `data`; None where that is not certain.

        Args:
            data: bytes that are a chunk from `start` on.
            said: the key and the text that it says.
            start: where the chunk begins.
        """
        key, text = said
        body = codec.dumps(text)[1:-1]
        head, quoted, tail = data.partition(b'"%b"' % body)
        if not quoted or text == ANY:
            return None
        head, tail = head + b'"', b'"' + tail
        certain = self._said(head[start:] + ANY.encode() + tail) == (key, ANY)
        return (head, tail) if certain else None
