"""The event stream of the WHATWG HTML standard (9.2.5, 9.2.6): bytes in, events out.

`EventDecoder` is a complete, incremental decoder. It is fed what one read
brought, cut anywhere, and delivers an event with the byte that ends it. It
knows nothing about OpenAI; what it passes over (comments, fields without
meaning, surplus blank lines) it counts in `deviations` by the name of the
form, so that others may care.

Bytes stay bytes: an event's `data` is what stood on the wire, because most of
it is forwarded as it came. `Event.text` is the string the standard means, with
U+FFFD in the place of invalid UTF-8.
"""

from typing import Final, NamedTuple

BOM: Final = b"\xef\xbb\xbf"
LF: Final = 0x0A
#: An event as it leaves, around its data.
FRAME: Final = b"data: %b\n\n"
#: Enough for a million years in milliseconds; more digits are nobody's reconnection time.
MAX_RETRY_DIGITS: Final = 18


class Event(NamedTuple):
    """One server-sent event.

    Attributes:
        data: the values of its `data` fields, joined by one LF.
        event: the value of its last `event` field; empty where there was none.
    """

    data: bytes
    event: bytes = b""

    @property
    def text(self) -> str:
        """The data as the standard decodes it: invalid UTF-8 becomes U+FFFD."""
        return self.data.decode("utf-8", "replace")


#: Skips NamedTuple's keyword handling, a third of the cost of an event.
new_event = tuple.__new__


class EventDecoder:
    r"""Incremental decoder of one event stream.

    Args:
        limit: the greatest size of one event in bytes: its data lines, or one
            line of whatever kind. 0 means none. A stream that breaks it is not
            read further: `overflowed` is set, and later bytes are discarded.

    Attributes:
        last_event_id: the last `id` without a NUL; as in the standard, it counts with the
            blank line after it.
        retry: the last `retry` that is all digits, in milliseconds.
        overflowed: the limit was broken; the stream cannot be trusted further.
    """

    __slots__ = (
        "_after_cr",
        "_between",
        "_counts",
        "_event",
        "_fragments",
        "_held",
        "_id",
        "_in_block",
        "_limit",
        "_lines",
        "_pending",
        "_ready",
        "_start",
        "_unseparated",
        "last_event_id",
        "overflowed",
        "retry",
    )

    def __init__(self, limit: int = 0) -> None:
        self._limit = limit
        self._start: bytes | None = b""  # until the BOM is decided, what might become one
        self._between = False  # nothing is pending: the next byte begins an event; for subclasses
        self._after_cr = False  # the last byte was a CR: an LF now belongs to it
        self._fragments: list[bytes] = []  # of a line without its end: joined once, so linear
        self._pending = 0  # bytes in the fragments
        self._lines: list[bytes] = []  # the data lines of an event without its end
        self._held = 0  # bytes in those lines
        self._event = b""
        self._id = b""  # takes effect with the next blank line
        self._in_block = False  # a field was seen since the last blank line
        self._unseparated = False  # each data line is looked at by itself; for subclasses
        self._ready: list[Event] = []
        self._counts: dict[str, int] = {}
        self.last_event_id = b""
        self.retry: int | None = None
        self.overflowed = False

    @property
    def deviations(self) -> dict[str, int]:
        r"""How often each form was met that a plain stream of `data: …\n\n` does not have."""
        return self._counts

    def feed(self, data: bytes) -> list[Event]:
        """Return the events that end within `data`, in order."""
        if self._start is not None:
            data = self._without_bom(data)
        if self._after_cr or b"\r" in data:
            data = self._with_line_feeds(data)
        events = self._ready = []
        if self.overflowed:
            return events
        size = len(data) + self._pending + self._held
        within = size <= self._limit or not self._limit  # however the lines are cut
        lines = data.split(b"\n")
        rest = lines.pop()
        if lines and self._fragments:
            self._fragments.append(lines[0])
            lines[0] = b"".join(self._fragments)
            self._fragments.clear()
            self._pending = 0
        self._take_lines(lines, within=within)
        if self.overflowed:
            return events
        if rest:
            self._keep(rest)
        self._between = not (
            rest
            or self._lines
            or self._in_block
            or self._after_cr
            or self._unseparated
            or self._start is not None
        )
        self._ready = []  # an open stream need not keep its last events
        return events

    def finish(self) -> list[Event]:
        """Return what the end of the stream left without its blank line.

        The standard discards it. A caller that can tell whether it is complete
        may keep it.
        """
        self._ready = []
        if self._fragments:
            line = b"".join(self._fragments)
            self._fragments.clear()
            self._field(line)
        if self._lines:
            self._dispatch()
        return self._ready

    def note(self, form: str, times: int = 1) -> None:
        """Count a deviation from the plain form."""
        self._counts[form] = self._counts.get(form, 0) + times

    def on_further_data(self) -> None:
        """Act before a second or later `data` line joins its event; for subclasses."""

    def on_ignored_line(self, line: bytes) -> None:
        """Act on a line that the standard ignores; for subclasses."""
        self.note("ignored-line")

    def _take_lines(self, lines: list[bytes], *, within: bool) -> None:
        """Take whole lines; `within`: not even all together do they break the limit."""
        held = self._lines
        named = surplus = 0
        for line in lines:
            if not within and len(line) + self._held > self._limit:
                self._overflow()
                break
            if not line:
                if held:
                    self._dispatch()
                elif self._in_block:
                    self._end_block()
                else:
                    surplus += 1
            elif line[:6] == b"data: " and not held and not self._unseparated:
                held.append(line[6:])
                self._held = len(line)
            elif line[:7] == b"event: ":
                self._event = line[7:]
                self._in_block = True
                named += 1
            else:
                self._field(line)
        if named:
            self.note("event-line", named)
        if surplus:
            self.note("surplus-blank-line", surplus)

    def _keep(self, rest: bytes) -> None:
        """Keep the beginning of a line until its end comes."""
        self._fragments.append(rest)
        self._pending += len(rest)
        if self._limit and self._pending + self._held > self._limit:
            self._overflow()

    def _dispatch(self) -> None:
        lines = self._lines
        self._ready.append(new_event(Event, (b"\n".join(lines), self._event)))
        lines.clear()
        self._held = 0
        self._event = b""
        self.last_event_id = self._id
        self._in_block = False

    def _end_block(self) -> None:
        """A blank line without data before it dispatches nothing, and resets the event's name."""
        self._event = b""
        self.last_event_id = self._id
        self._in_block = False

    def _field(self, line: bytes) -> None:
        self._in_block = True
        name, _, value = line.partition(b":")
        spaced = value[:1] == b" "
        if spaced:
            value = value[1:]
        if name == b"data":
            self._data(value, len(line))
            if value and not spaced:
                self.note("missing-space")
        elif name == b"event":
            self._event = value
            self.note("event-line")
        elif not name:
            self.note("comment")
        elif name == b"id":
            self.note("id-line")
            if b"\0" not in value:
                self._id = value
        elif name == b"retry":
            self.note("retry-line")
            if value.isdigit() and len(value) <= MAX_RETRY_DIGITS:
                self.retry = int(value)
        else:
            self.on_ignored_line(line)

    def _data(self, value: bytes, size: int) -> None:
        if self._lines:
            self.on_further_data()
        if self._lines:
            self.note("multi-line-data")
        self._lines.append(value)
        self._held += size

    def _overflow(self) -> None:
        self.overflowed = True
        self._between = False
        self._fragments.clear()
        self._lines.clear()

    def _without_bom(self, data: bytes) -> bytes:
        data = (self._start or b"") + data
        if len(data) < len(BOM) and BOM.startswith(data):
            self._start = data
            return b""
        self._start = None
        if data.startswith(BOM):
            self.note("byte-order-mark")
            return data[len(BOM) :]
        return data

    def _with_line_feeds(self, data: bytes) -> bytes:
        """Make each CR and CRLF an LF, also where a read ends between the two."""
        if self._after_cr and data:
            self._after_cr = False
            if data[0] == LF:
                data = data[1:]
        if b"\r" in data:
            self.note("carriage-return", data.count(b"\r"))
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return data


def encode(data: bytes) -> bytes:
    """Return the frame of one event: `data` must hold no line end."""
    return FRAME % data
