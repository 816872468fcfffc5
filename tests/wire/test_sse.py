"""The event stream against the WHATWG HTML standard, 9.2.5 and 9.2.6."""

import re
from dataclasses import dataclass, field

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy.wire.sse import Event, EventDecoder, encode
from tests.wire.cuts import cut
from tests.wire.effort import bytes_allocated, bytes_looked_at, pieces_of


@dataclass
class Reference:
    """The standard's algorithm, step by step, on the whole text at once."""

    dispatched: list[tuple[str, str]] = field(default_factory=list)
    last_event_id: str = ""
    retry: int | None = None
    data_buffer: str = ""
    event_type_buffer: str = ""
    last_event_id_buffer: str = ""

    @classmethod
    def read(cls, stream: bytes) -> "Reference":
        """Decode as UTF-8, take one BOM away, go through the lines; what has no line end is discarded."""
        self = cls()
        text = stream.decode("utf-8", "replace").removeprefix("\ufeff")
        for line in re.split("\r\n|\r|\n", text)[:-1]:
            self.process_line(line)
        return self

    def process_line(self, line: str) -> None:
        if line == "":
            self.dispatch()
        elif line.startswith(":"):
            pass
        elif ":" in line:
            name, value = line.split(":", 1)
            self.process_field(name, value[1:] if value.startswith(" ") else value)
        else:
            self.process_field(line, "")

    def process_field(self, name: str, value: str) -> None:
        if name == "event":
            self.event_type_buffer = value
        elif name == "data":
            self.data_buffer += value + "\n"
        elif name == "id":
            if "\0" not in value:
                self.last_event_id_buffer = value
        elif name == "retry" and re.fullmatch("[0-9]+", value) and len(value) <= 18:
            self.retry = int(value)

    def dispatch(self) -> None:
        self.last_event_id = self.last_event_id_buffer
        if self.data_buffer != "":
            self.dispatched.append((self.event_type_buffer, self.data_buffer[:-1]))
        self.data_buffer = ""
        self.event_type_buffer = ""


PIECES = [
    *(b"data", b"event", b"id", b"retry", b"DATA", b"data ", b"dat", b"a", b"x y"),
    *(b":", b": ", b":  ", b"::", b" ", b"\t"),
    *(b"\n", b"\r", b"\r\n", b"\n\n", b"\r\n\r\n", b"\r\r"),
    *(b"data: ", b"data:", b"event: e\n", b"id: 7\n", b"retry: 10\n", b": comment\n"),
    *(b"data: one\n\n", b"data: two\n\n", b"data: {}\r\n\r\n"),
    *(b"\xef\xbb\xbf", b"\xef\xbb", b"\xef", b"\xbf", b"\0", b"0", b"12"),
    *(b"\xff", b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98", b"\xed\xa0\x80"),
    *("é".encode(), "€".encode(), "😀".encode(), "\u2028".encode(), "\x85".encode(), b"\x0b", b"\x0c"),
]
FIELDS = st.sampled_from([b"data", b"event", b"id", b"retry", b"", b"other"])
VALUES = st.sampled_from([b"", b"a", b" b", b"7", b"30", b"x\0", b"\xff", "é😀".encode(), b"\xe2\x82"])
LINES = st.builds(
    lambda name, colon, value: name + (colon + value if colon else b""),
    FIELDS,
    st.sampled_from([b": ", b":", b""]),
    VALUES,
)
ENDED = st.tuples(LINES, st.sampled_from([b"\n", b"\r", b"\r\n", b"\n\n", b"\r\r", b"\r\n\r\n"])).map(
    b"".join
)
streams = st.lists(ENDED | st.sampled_from(PIECES) | st.binary(max_size=3), max_size=25).map(b"".join)


def seen(events: list[Event]) -> list[tuple[str, str]]:
    return [(event.event.decode("utf-8", "replace"), event.text) for event in events]


def decode(*pieces: bytes, limit: int = 0) -> list[Event]:
    decoder = EventDecoder(limit)
    return [event for piece in pieces for event in decoder.feed(piece)]


@settings(max_examples=500)
@given(streams, st.lists(st.integers(0, 200)))
@example(b"data: a\n\ndata: b\n\n", [9])
@example(b"\xef\xbb\xbfdata: a\r\n\r\n", [1, 2, 13, 14])
def test_any_stream_is_read_as_the_standard_reads_it_however_it_is_cut(
    stream: bytes, places: list[int]
) -> None:
    decoder = EventDecoder()
    events = [event for piece in cut(stream, places) for event in decoder.feed(piece)]

    reference = Reference.read(stream)
    assert seen(events) == reference.dispatched
    assert decoder.last_event_id.decode("utf-8", "replace") == reference.last_event_id
    assert decoder.retry == reference.retry


@given(streams)
def test_an_event_comes_with_the_byte_that_ends_it(stream: bytes) -> None:
    decoder = EventDecoder()
    count = 0
    for end in range(1, len(stream) + 1):
        count += len(decoder.feed(stream[end - 1 : end]))
        assert count == len(Reference.read(stream[:end]).dispatched)


@given(streams, st.lists(st.integers(0, 200)))
def test_what_is_counted_does_not_hang_on_the_cuts(stream: bytes, places: list[int]) -> None:
    whole, parts = EventDecoder(), EventDecoder()
    whole.feed(stream)
    for piece in cut(stream, places):
        parts.feed(piece)

    assert parts.deviations == whole.deviations
    assert parts.finish() == whole.finish()


NAMED = {
    "LF": (b"data: a\n\n", [("", "a")]),
    "CR": (b"data: a\r\r", [("", "a")]),
    "CRLF": (b"data: a\r\n\r\n", [("", "a")]),
    "CR, then CRLF": (b"data: a\r\r\n", [("", "a")]),
    "LF, then CR": (b"data: a\n\r", [("", "a")]),
    "each line its own end": (b"event: e\rdata: a\r\ndata: b\n\r\n", [("e", "a\nb")]),
    "a CRLF is one line end": (b"data: a\r\ndata: b\r\n\r\n", [("", "a\nb")]),
    "a BOM at the start": (b"\xef\xbb\xbfdata: a\n\n", [("", "a")]),
    "two BOMs at the start": (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: b\n\n", [("", "b")]),
    "a BOM later on": (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [("", "a")]),
    "a BOM in a value": (b"data: \xef\xbb\xbfa\n\n", [("", "\ufeffa")]),
    "half a BOM": (b"\xef\xbbdata: a\n\ndata: b\n\n", [("", "b")]),
    "a comment": (b": nothing\ndata: a\n:\n\n", [("", "a")]),
    "only comments": (b": nothing\n\n:\n\n", []),
    "a field without a colon": (b"data\n\n", [("", "")]),
    "two fields without a colon": (b"data\ndata\n\n", [("", "\n")]),
    "an event without a colon": (b"event: e\nevent\ndata: a\n\n", [("", "a")]),
    "one space is removed": (b"data:  a\n\n", [("", " a")]),
    "a tab is no space": (b"data:\ta\n\n", [("", "\ta")]),
    "no space": (b"data:a\n\n", [("", "a")]),
    "a space before the colon": (b"data : a\n\n", []),
    "a space before the name": (b" data: a\n\n", []),
    "names are compared with their case": (b"Data: a\n\n", []),
    "colons in the value": (b"data: a: b:c\n\n", [("", "a: b:c")]),
    "several data lines": (b"data: a\ndata: b\ndata: c\n\n", [("", "a\nb\nc")]),
    "an empty line among the data": (b"data: a\ndata:\ndata: c\n\n", [("", "a\n\nc")]),
    "empty data": (b"data:\n\ndata: \n\n", [("", ""), ("", "")]),
    "no data": (b"event: e\n\nid: 1\n\n", []),
    "a name does not leak from an event without data": (b"event: e\n\ndata: a\n\n", [("", "a")]),
    "a name does not leak from an event": (b"event: e\ndata: a\n\ndata: b\n\n", [("e", "a"), ("", "b")]),
    "the last name counts": (b"event: e\nevent: f\ndata: a\n\n", [("f", "a")]),
    "surplus blank lines": (b"\n\ndata: a\n\n\n\ndata: b\n\n\n", [("", "a"), ("", "b")]),
    "an unknown field": (b"error: e\ndata: a\n\n", [("", "a")]),
    "other separators end no line": ("data: \u2028\x0b\x0c\x85\n\n".encode(), [("", "\u2028\x0b\x0c\x85")]),
    "a NUL in data": (b"data: a\0b\n\n", [("", "a\0b")]),
    "invalid UTF-8": (b"data: a\xffb\xe2\x82\n\n", [("", "a\ufffdb\ufffd")]),
    "an encoded surrogate": (b"data: \xed\xa0\x80\n\n", [("", "\ufffd\ufffd\ufffd")]),
    "multi-byte characters": ("data: é€😀\n\n".encode(), [("", "é€😀")]),
    "an event that is not ended": (b"data: a\n\ndata: b\n", [("", "a")]),
    "a line that is not ended": (b"data: a\n\ndata: b", [("", "a")]),
    "nothing": (b"", []),
}  # fmt: skip


@pytest.mark.parametrize(("stream", "expected"), NAMED.values(), ids=NAMED)
def test_each_rule_wherever_the_stream_is_cut(stream: bytes, expected: list[tuple[str, str]]) -> None:
    assert Reference.read(stream).dispatched == expected
    for place in range(len(stream) + 1):
        assert seen(decode(stream[:place], stream[place:])) == expected
    assert seen(decode(*pieces_of(stream, 1))) == expected


IDS = {
    "none": (b"data: a\n\n", b""),
    "one": (b"id: 7\ndata: a\n\n", b"7"),
    "it stays": (b"id: 7\ndata: a\n\ndata: b\n\n", b"7"),
    "an empty one resets it": (b"id: 7\n\nid\ndata: a\n\n", b""),
    "one with a NUL is ignored": (b"id: 7\n\nid: 8\x009\ndata: a\n\n", b"7"),
    "it counts without data": (b"id: 7\n\n", b"7"),
    "it counts with the blank line": (b"id: 7\n\nid: 8\ndata: a\n", b"7"),
}


@pytest.mark.parametrize(("stream", "expected"), IDS.values(), ids=IDS)
def test_the_last_event_id(stream: bytes, expected: bytes) -> None:
    assert Reference.read(stream).last_event_id == expected.decode()
    for size in (1, len(stream)):
        decoder = EventDecoder()
        for piece in pieces_of(stream, size):
            decoder.feed(piece)
        assert decoder.last_event_id == expected


RETRIES = {
    "none": (b"data: a\n\n", None),
    "digits": (b"retry: 3000\n", 3000),
    "leading zeros": (b"retry: 007\n", 7),
    "zero": (b"retry:0\n", 0),
    "a sign": (b"retry: -1\n", None),
    "a fraction": (b"retry: 1.5\n", None),
    "a second space": (b"retry:  10\n", None),
    "no value": (b"retry\n", None),
    "other digits than ASCII's": ("retry: ٣\n".encode(), None),
    "what is wrong leaves what was right": (b"retry: 5\nretry: x\n", 5),
    "as many digits as a time can have": (b"retry: " + b"9" * 18 + b"\n", 10**18 - 1),
    "more digits": (b"retry: " + b"9" * 19 + b"\n", None),
    "more digits than Python turns into a number": (b"retry: " + b"9" * 5000 + b"\n", None),
}  # fmt: skip


@pytest.mark.parametrize(("stream", "expected"), RETRIES.values(), ids=RETRIES)
def test_retry(stream: bytes, expected: int | None) -> None:
    decoder = EventDecoder()
    decoder.feed(stream)

    assert decoder.retry == expected


FORMS = {
    "plain": (b"data: a\n\ndata: b\n\n", {}),
    "event-line": (b"event: e\n\nevent: f\ndata: a\n\n", {"event-line": 2}),
    "comment": (b": x\n\n:\ndata: a\n\n", {"comment": 2}),
    "id-line": (b"id: 1\nid: \x00\ndata: a\n\n", {"id-line": 2}),
    "retry-line": (b"retry: 1\nretry: x\ndata: a\n\n", {"retry-line": 2}),
    "ignored-line": (b"hello\nhello: you\ndata: a\n\n", {"ignored-line": 2}),
    "missing-space": (b"data:a\n\ndata:b\n\n", {"missing-space": 2}),
    "empty data needs no space": (b"data:\n\ndata\n\n", {}),
    "surplus-blank-line": (b"\ndata: a\n\n\n\n", {"surplus-blank-line": 3}),
    "carriage-return": (b"data: a\r\n\r\ndata: b\r\r", {"carriage-return": 4}),
    "byte-order-mark": (b"\xef\xbb\xbfdata: a\n\n", {"byte-order-mark": 1}),
    "multi-line-data": (b"data: a\ndata: b\ndata: c\n\n", {"multi-line-data": 2}),
}


@pytest.mark.parametrize(("stream", "expected"), FORMS.values(), ids=FORMS)
def test_each_form_is_counted_under_its_name(stream: bytes, expected: dict[str, int]) -> None:
    for size in (1, len(stream)):
        decoder = EventDecoder()
        for piece in pieces_of(stream, size):
            decoder.feed(piece)
        assert decoder.deviations == expected


@pytest.mark.parametrize(
    ("stream", "left"),
    [
        (b"data: a\n\n", []),
        (b"data: a\n\ndata: b\n", [("", "b")]),
        (b"data: a\n\ndata: b", [("", "b")]),
        (b"event: e\ndata: a\ndata: b", [("e", "a\nb")]),
        (b"data: a\r", [("", "a")]),
        (b"event: e", []),
        (b"da", []),
        (b"\xef\xbb", []),
        (b"", []),
    ],
)
def test_the_end_hands_over_what_has_no_blank_line(stream: bytes, left: list[tuple[str, str]]) -> None:
    for size in (1, max(len(stream), 1)):
        decoder = EventDecoder()
        for piece in pieces_of(stream, size):
            decoder.feed(piece)
        assert seen(decoder.finish()) == left
        assert decoder.finish() == []


@given(st.lists(st.text(st.characters(exclude_characters="\r\n"))), st.lists(st.integers(0, 200)))
def test_what_is_encoded_is_read_again(texts: list[str], places: list[int]) -> None:
    stream = b"".join(encode(text.encode()) for text in texts)
    decoder = EventDecoder()
    events = [event for piece in cut(stream, places) for event in decoder.feed(piece)]

    assert [event.text for event in events] == texts
    assert decoder.deviations == {}


# An event's size is that of its data lines; that of any other line is the line's own, beside them.
LIMITED = {
    "an event of just the size": (b"data: 3456\n\n", [("", "3456")], False),
    "an event of one byte more": (b"data: 34567\n\n", [], True),
    "two lines of just the size": (b"data:\ndata:\n\n", [("", "\n")], False),
    "two lines of one byte more": (b"data:\ndata:6\n\n", [], True),
    "each event by itself": (b"data: 1\n\ndata: 2\n\n", [("", "1"), ("", "2")], False),
    "what came before it": (b"data: 1\n\ndata: 34567\n\n", [("", "1")], True),
    "nothing after it": (b"data: 1\n\ndata: 34567\n\ndata: 2\n\n", [("", "1")], True),
    "a comment of just the size": (b":234567890\ndata: 1\n\n", [("", "1")], False),
    "a comment of one byte more": (b":2345678901\ndata: 1\n\n", [], True),
    "a line without an end": (b"data: 34567", [], True),
    "a line without an end, of just the size": (b"data: 3456", [], False),
    "carriage returns are no part of a line": (b"data: 3456\r\n\r\n", [("", "3456")], False),
    "a BOM is no part of a line": (b"\xef\xbb\xbfdata: 3456\n\n", [("", "3456")], False),
}


@pytest.mark.parametrize(("stream", "expected", "overflowed"), LIMITED.values(), ids=LIMITED)
def test_the_limit_does_not_hang_on_the_cuts(
    stream: bytes, expected: list[tuple[str, str]], overflowed: bool
) -> None:
    for places in [[], *([place] for place in range(1, len(stream))), list(range(1, len(stream)))]:
        decoder = EventDecoder(limit=10)
        events = [event for piece in cut(stream, places) for event in decoder.feed(piece)]
        assert seen(events) == expected, places
        assert decoder.overflowed is overflowed, places


@given(streams, st.lists(st.integers(0, 200)), st.integers(1, 30))
def test_no_limit_hangs_on_the_cuts(stream: bytes, places: list[int], limit: int) -> None:
    whole, parts = EventDecoder(limit), EventDecoder(limit)
    events = whole.feed(stream)

    assert [event for piece in cut(stream, places) for event in parts.feed(piece)] == events
    assert parts.overflowed is whole.overflowed


def test_after_an_overflow_nothing_is_delivered_any_more() -> None:
    decoder = EventDecoder(limit=20)
    assert seen(decoder.feed(b"data: a\n\n")) == [("", "a")]
    assert decoder.feed(b": a comment that is too long\n") == []
    assert decoder.overflowed

    assert decoder.feed(b"data: b\n\n") == []
    assert decoder.feed(b"data: c\n\ndata: d\n\n") == []
    assert decoder.finish() == []


LONG = 4 << 20


def long_line() -> bytes:
    return b"data: " + b"x" * LONG + b"\n\n"


def many_lines() -> bytes:
    return b"data: " + b"\ndata: ".join([b"x" * 58] * (LONG // 64)) + b"\n\n"


@pytest.mark.parametrize("stream", [long_line, many_lines])
def test_megabytes_cost_what_they_weigh(stream: object) -> None:
    assert callable(stream)
    pieces = pieces_of(stream(), 64)

    assert bytes_looked_at(EventDecoder().feed, pieces) < 10 * LONG
    assert bytes_allocated(EventDecoder().feed, pieces) < 20 * LONG


def test_megabytes_in_one_event_are_delivered_whole() -> None:
    events = decode(*pieces_of(long_line(), 64))

    assert events == [Event(b"x" * LONG)]


def test_memory_is_bounded_by_the_limit() -> None:
    decoder = EventDecoder(limit=1 << 16)

    assert bytes_allocated(decoder.feed, [b"x" * 1024] * 4096) < 1 << 20
    assert decoder.overflowed
