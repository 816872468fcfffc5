"""The event stream, read at a glance where a server writes each of its events in the same way.

Around the value of an event stand bytes that do not change: `data: ` and a blank
line, or whatever a server's own way is (LocalAI of May 2023: an event without
data before each, and a blank line too many after it). Once they are known, events
are found by comparing bytes, and their lines need not be read one by one.
"""

import re
from functools import lru_cache
from typing import Final, NamedTuple

from proxy.wire.sse import BOM, Event, EventDecoder, new_event

#: What can stand around every event of a stream and has no effect but to be counted.
REGULAR: Final = frozenset({"event-line", "surplus-blank-line", "carriage-return", "missing-space"})
#: More bytes than any server writes around a value.
MAX_SIZE: Final = 64
#: What stands after a value.
_LINE_ENDS: Final = re.compile(rb"[\r\n]+")
_FIELD: Final = b"data:"
#: The shortest that ends an event. Some servers write more.
_BLANK_LINE: Final = b"\n\n"
#: A stream whose events look different each time is not looked at for long.
MAX_GUESSES: Final = 8
#: The bytes of a few events, of whose surroundings it is cheaper to read every line than to learn them.
FEW: Final = 1024


class Wrapping(NamedTuple):
    """The bytes around a value that has no line end in it.

    Attributes:
        before: ends in `data:`, or in that and a space.
        after: nothing but line ends, the last of them that of a blank line.
        name: the name of the event.
        bare: `before` has no space at its end, so that one in a value would be taken for it.
        deviations: what is to be counted for each event.
    """

    before: bytes
    after: bytes
    name: bytes = b""
    bare: bool = False
    deviations: tuple[tuple[str, int], ...] = ()

    def values(self, data: bytes) -> list[bytes] | None:
        """Return the values in `data`, if that is nothing but wrapped events; else None."""
        if not (data.startswith(self.before) and data.endswith(self.after)):
            return None
        inner = data[len(self.before) : -len(self.after)]
        joint = self.after + self.before
        values = inner.split(joint)
        joints = len(values) - 1
        if inner.count(b"\n") != joint.count(b"\n") * joints:
            return None  # more lines than those of the joints
        if b"\r" in inner and inner.count(b"\r") != joint.count(b"\r") * joints:
            return None
        if self.bare and any(value[:1] in b" " for value in values):
            return None
        return values

    def whole(self, data: bytes) -> tuple[int, int]:
        """Return where whole events begin and end in `data`; the same place twice where there are no two."""
        joint = self.after + self.before
        first = data.find(joint)
        if first < 0:
            return 0, 0
        begin = 0 if data.startswith(self.before) else first + len(self.after)
        return begin, len(data) if data.endswith(self.after) else data.rfind(joint) + len(self.after)


PLAIN: Final = Wrapping(b"data: ", b"\n\n")


class QuickDecoder(EventDecoder):
    """An `EventDecoder` that learns how the server wraps its events.

    It delivers the same events and counts the same deviations, whatever it has learnt.
    """

    __slots__ = ("_brief", "_guesses", "_wrapped", "_wrapping")

    def __init__(self, limit: int = 0) -> None:
        super().__init__(limit)
        self._wrapping = PLAIN
        self._brief: Wrapping | None = None  # the same, but with no more line ends than a blank line needs
        self._wrapped = 0  # events whose deviations are still to be counted
        self._guesses = MAX_GUESSES

    @property
    def deviations(self) -> dict[str, int]:
        """How often each form was met that a plain stream does not have."""
        times, self._wrapped = self._wrapped, 0
        if times:
            for form, each in self._wrapping.deviations:
                self.note(form, each * times)
        return self._counts

    @property
    def expected(self) -> Wrapping | None:
        """What the next event is expected to be wrapped in; None in the middle of one."""
        return self._wrapping if self._between else None

    def skip(self, events: int) -> None:
        """Count events so wrapped that have been read without `feed`."""
        self._wrapped += events

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that end within `data`, in order."""
        before, after, name, bare, _ = self._wrapping
        if self._between and data.startswith(before) and data.endswith(after):
            value = data[len(before) : -len(after)]
            if (
                value.find(b"\n") < 0
                and value.find(b"\r") < 0
                and (len(data) <= self._limit or not self._limit)
                and (not bare or value[:1] not in b" ")
            ):
                self._wrapped += 1
                return [new_event(Event, (value, name))]
        return self._feed_several(data)

    def _feed_several(self, data: bytes) -> list[Event]:
        if self._start is not None:
            if self._start or len(data) < FEW or data[0] == BOM[0]:
                return super().feed(data)
            self._begin(data)
            return self.feed(data)
        if self.overflowed:
            return super().feed(data)
        begins = self._between
        first, last = self._wrapping.whole(data)
        strange = first > 0 or first == last
        # What was cut, at the beginning and at the end, has its lines read.
        events = super().feed(data[:first]) if first else []
        if first < last:
            events += self._feed_as(self._wrapping, data[first:last])
        if last < len(data):
            events += self._feed_as(self._brief, data[last:])
        if strange and self._guesses and (len(events) > 1 or (begins and events)):
            self._guess(data, [event.data for event in events[-2:]])
        return events

    def _feed_as(self, wrapping: Wrapping | None, data: bytes) -> list[Event]:
        """Take what may be nothing but events so wrapped, and if it is not, its lines."""
        values = wrapping.values(data) if wrapping is not None and self._between else None
        if wrapping is None or values is None or 0 < self._limit < len(data):
            return super().feed(data)
        for form, each in wrapping.deviations:
            self.note(form, each * len(values))
        name = wrapping.name
        return [new_event(Event, (value, name)) for value in values]

    def _begin(self, data: bytes) -> None:
        """Begin a stream that has no BOM with a look at its first event."""
        self._start = None
        self._between = True
        if data.startswith(PLAIN.before):
            return
        place = data.find(_FIELD, 0, MAX_SIZE) + len(_FIELD)
        after = _LINE_ENDS.match(data, data.find(b"\n", place))
        if place >= len(_FIELD) and after is not None:
            self._try(data[: place + data.startswith(b" ", place)], after.group())

    def _guess(self, data: bytes, values: list[bytes]) -> None:
        """Look at what stands around the last of the `values` that came in `data`."""
        end = data.rfind(values[-1])
        if len(values) > 1:
            place = data.rfind(values[0], 0, max(end, 0))
            joint = data[place + len(values[0]) : end]
            before = joint.lstrip(b"\r\n")
            after = joint[: len(joint) - len(before)]
        else:
            before, after = data[:end], data[end + len(values[0]) :]
        self._try(before, after)

    def _try(self, before: bytes, after: bytes) -> None:
        """Expect events to be so wrapped, if that is possible."""
        known = self._wrapping
        if (before, after) == (known.before, known.after) or len(before) + len(after) > MAX_SIZE:
            return
        self._guesses -= 1
        wrapping, brief = _tried(type(self), before, after)  # type: ignore[arg-type]  # classes are hashable
        if wrapping is not None:
            _ = self.deviations  # before the wrapping changes that they are counted by
            self._wrapping, self._brief = wrapping, brief


@lru_cache(maxsize=256)
def _tried(kind: type[QuickDecoder], before: bytes, after: bytes) -> tuple[Wrapping | None, Wrapping | None]:
    """Try it: return the wrapping, and if more than a blank line ends it, also the same without that."""
    has_more = after.startswith(_BLANK_LINE) and after != _BLANK_LINE
    return _wrapping(kind(), before, after), _wrapping(kind(), before, _BLANK_LINE) if has_more else None


def _wrapping(decoder: QuickDecoder, before: bytes, after: bytes) -> Wrapping | None:
    """A wrapping means one event, leaves nothing behind, and has no effect but its counts."""
    decoder.feed(b"\n")
    decoder.deviations.clear()
    events = EventDecoder.feed(decoder, before + b"x" + after)
    met = decoder.deviations
    if len(events) != 1 or events[0].data != b"x" or not decoder._between or met.keys() - REGULAR:
        return None
    return Wrapping(before, after, events[0].event, before.endswith(b":"), tuple(met.items()))
