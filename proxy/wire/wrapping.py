"""The event stream, read at a glance where a server writes each of its events in the same way.

Around the value of an event stand bytes that do not change: `data: ` and a blank
line, or whatever a server's own way is (LocalAI of May 2023: an event without
data before each, and a blank line too many after it). Once they are known, events
are found by comparing bytes, and their lines need not be read one by one.
"""

from functools import lru_cache
from typing import Final, NamedTuple

from proxy.wire.sse import Event, EventDecoder, new_event

#: What can stand around every event of a stream and has no effect but to be counted.
REGULAR: Final = frozenset({"event-line", "surplus-blank-line", "carriage-return", "missing-space"})
#: More bytes than any server writes around a value.
MAX_SIZE: Final = 64
#: A stream whose events look different each time is not looked at for long.
MAX_GUESSES: Final = 8


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
        if any(inner.count(end) != joint.count(end) * joints for end in (b"\n", b"\r")):
            return None  # more lines than those of the joints
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

    __slots__ = ("_guesses", "_wrapped", "_wrapping")

    def __init__(self, limit: int = 0) -> None:
        super().__init__(limit)
        self._wrapping = PLAIN
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
        begins = self._between
        first, last = self._wrapping.whole(data)
        if first == last:
            events = super().feed(data)
        else:  # what was cut, at the beginning and at the end, has its lines read
            events = super().feed(data[:first]) if first else []
            events += self._feed_wrapped(data[first:last])
            events += super().feed(data[last:]) if data[last:] else []
        if self._guesses and (len(events) > 1 or (begins and events)):
            self._guess(data, [event.data for event in events[-2:]])
        return events

    def _feed_wrapped(self, data: bytes) -> list[Event]:
        """Take what may be nothing but wrapped events."""
        values = self._wrapping.values(data) if self._between else None
        if values is None or 0 < self._limit < len(data):
            return super().feed(data)
        self._wrapped += len(values)
        name = self._wrapping.name
        return [new_event(Event, (value, name)) for value in values]

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
        known = self._wrapping
        if (before, after) == (known.before, known.after) or len(before) + len(after) > MAX_SIZE:
            return
        self._guesses -= 1
        wrapping = _tried(type(self), before, after)  # type: ignore[arg-type]  # classes are hashable
        if wrapping is not None:
            _ = self.deviations  # before the wrapping changes that they are counted by
            self._wrapping = wrapping


@lru_cache(maxsize=256)
def _tried(kind: type[QuickDecoder], before: bytes, after: bytes) -> Wrapping | None:
    """Try it: a wrapping means one event, leaves nothing behind, and has no effect but its counts."""
    decoder = kind()
    decoder.feed(b"\n")
    decoder.deviations.clear()
    events = EventDecoder.feed(decoder, before + b"x" + after)
    met = decoder.deviations
    if len(events) != 1 or events[0].data != b"x" or not decoder._between or met.keys() - REGULAR:
        return None
    return Wrapping(before, after, events[0].event, before.endswith(b":"), tuple(met.items()))
