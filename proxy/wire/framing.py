"""Bytes into events, for upstreams that speak the event stream badly, or not at all.

`decoder` looks at the first byte that says something: `{` or `[` begins bare
JSON (one body, or a line per chunk), everything else is an event stream. Both
decoders deliver events, with the byte that ends them, within the same limit.
"""

import re
from typing import Final

from proxy.wire.codec import NotJSON, loads
from proxy.wire.sse import BOM, Event
from proxy.wire.wrapping import QuickDecoder

DONE: Final = b"[DONE]"
#: What most event streams begin with.
_FIELDS: Final = (b"data:", b"event:")
#: `[DONE]` as it is also spelt, where it shows that nothing of it is missing.
_DONES: Final = frozenset({b"[done]", b'"[done]"', b"'[done]'", b"[ done ]", b'"done"'})
_BLANK: Final = b" \t\r\n"
BACKSLASH: Final = 0x5C
#: As much of an upstream's stray text as is worth reporting.
MAX_STRAY: Final = 4096
#: Blanks before the first byte that says something; after as many the body is no JSON.
MAX_BLANK: Final = 4096
#: An escape with what it escapes, where that has come; a quote; a bracket.
_STRUCTURE: Final = re.compile(rb'\\.?|["{}\[\]]', re.DOTALL)


def is_object(data: bytes) -> bool:
    """`data` is one complete JSON object: a cut one never is."""
    data = data.strip()
    if data[:1] != b"{" or data[-1:] != b"}":
        return False
    try:
        return isinstance(loads(data)[0], dict)
    except NotJSON:
        return False


def says_done(data: bytes) -> bool:
    """`data` is `[DONE]`, if not quite so spelt; a cut one never is."""
    return data.strip().lower() in _DONES


def _is_complete(data: bytes) -> bool:
    """`data` needs no further line: it is one object, or `[DONE]`."""
    return says_done(data) or is_object(data)


class TolerantDecoder(QuickDecoder):
    """The event stream of servers that leave something out.

    Where the standard would join or ignore, and the line is complete in itself,
    it becomes an event: a second `data` line after a complete object (the blank
    line is missing), an object or `[DONE]` without `data:` as it should be spelt, an
    `error:` line.

    Attributes:
        stray: the first of the text that is no field at all: a gateway's page, a panic.
    """

    __slots__ = ("stray",)

    def __init__(self, limit: int = 0) -> None:
        super().__init__(limit)
        self.stray = b""

    def on_further_data(self) -> None:
        """Deliver a complete object, or `[DONE]`, instead of joining the next line to it."""
        if len(self._lines) == 1 and _is_complete(self._lines[0]):
            self.note("missing-blank-line")
            self._unseparated = True
            self._dispatch()

    def on_ignored_line(self, line: bytes) -> None:
        """Deliver what is an event but for its field name."""
        name, _, value = line.partition(b":")
        field = name.strip().lower()  # to the standard, a blank or a capital makes it another one
        said = (value if field == b"data" else line).strip()
        if field == b"error" and value.strip():
            self.note("error-field")
            self._deliver(Event(value.strip(), b"error"))
        elif says_done(said):
            self.note("bare-done")
            self._deliver(Event(DONE))
        elif is_object(said):
            self.note("bare-json")
            self._deliver(Event(said))
        else:
            self.note("ignored-line")
            if len(self.stray) < MAX_STRAY:
                self.stray += line[:MAX_STRAY] + b"\n"

    def _deliver(self, event: Event) -> None:
        if self._lines:
            self._dispatch()
        self._ready.append(event)

    def _data(self, value: bytes, size: int) -> None:
        super()._data(value, size)
        if self._unseparated and len(self._lines) == 1 and _is_complete(value):
            self.note("missing-blank-line")
            self._dispatch()


class JSONDecoder:
    """JSON values one after the other, with space, `data:` or nothing between them.

    It has the attributes and methods of `TolerantDecoder` that the rewriter uses.
    """

    __slots__ = (
        "_begin",
        "_buffer",
        "_depth",
        "_in_string",
        "_limit",
        "_scanned",
        "deviations",
        "overflowed",
        "stray",
    )

    def __init__(self, limit: int = 0) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._begin = 0  # where the value or the gap before it begins
        self._scanned = 0  # what has been looked at
        self._depth = 0
        self._in_string = False
        self.deviations: dict[str, int] = {}
        self.overflowed = False
        self.stray = b""

    def feed(self, data: bytes) -> list[Event]:
        """Return the values that end within `data`, each as an event."""
        events: list[Event] = []
        if self.overflowed:
            return events
        self._buffer += data
        for match in _STRUCTURE.finditer(self._buffer, self._scanned):
            self._scanned = match.end()
            mark = match.group()
            if mark[0] == BACKSLASH:
                if len(mark) == 1:  # what it escapes is still to come
                    self._scanned = match.start()
            elif mark == b'"':
                self._in_string = not self._in_string
            elif not self._in_string:
                self._bracket(mark in b"{[", match.start(), events)
                if self.overflowed:
                    break
        self._scanned = max(self._scanned, len(self._buffer) - 1)
        del self._buffer[: self._begin]
        self._scanned -= self._begin
        self._begin = 0
        if self._is_too_much(len(self._buffer)):
            self._buffer.clear()
        return events

    def finish(self) -> list[Event]:
        """Return the rest that is no complete value, if it is more than space."""
        rest = _between(bytes(self._buffer))
        self._buffer.clear()
        return [Event(rest)] if rest else []

    def _is_too_much(self, size: int) -> bool:
        """Hold a value, or the gap before it, against the limit, whether it came in one piece or in many."""
        if 0 < self._limit < size:
            self.overflowed = True
        return self.overflowed

    def _bracket(self, opens: bool, place: int, events: list[Event]) -> None:
        if opens and not self._depth:
            if self._is_too_much(place - self._begin):
                return
            gap = _between(bytes(self._buffer[self._begin : place]))
            if gap:
                events.append(Event(gap))
            self._begin = place
        self._depth += 1 if opens else -1
        if self._depth <= 0:
            self._depth = 0
            if self._is_too_much(place + 1 - self._begin):
                return
            value = bytes(self._buffer[self._begin : place + 1])
            events.append(Event(DONE if value.strip() == DONE else value))
            self._begin = place + 1


def _between(gap: bytes) -> bytes:
    """What of the bytes between two values says something."""
    return gap.strip(b" \t\r\n,").removesuffix(b"data:").strip()


def decoder(first: bytes, limit: int) -> TolerantDecoder | JSONDecoder | None:
    """Choose by the first bytes of a body; None while they say nothing yet, and are few."""
    if first.startswith(_FIELDS):
        return TolerantDecoder(limit)
    if BOM.startswith(first):
        return None
    said = first[:MAX_BLANK].removeprefix(BOM).lstrip(_BLANK)
    if not said and len(first) < MAX_BLANK:
        return None
    if said[:1] in (b"{", b"["):
        chosen = JSONDecoder(limit)
        chosen.deviations["bare-json"] = 1
        if first.startswith(BOM):
            chosen.deviations["byte-order-mark"] = 1
        return chosen
    return TolerantDecoder(limit)


def split(data: bytes) -> list[bytes]:
    """Return the JSON values in the data of one event, and the text between them."""
    values = JSONDecoder()
    return [event.data for event in (*values.feed(data), *values.finish())]
