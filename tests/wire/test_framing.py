"""Event streams that leave something out, and JSON where an event stream should be."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.wire.framing import DONE, MAX_BLANK, JSONDecoder, TolerantDecoder, decoder, is_object, split
from proxy.wire.sse import BOM, Event
from tests.wire.cuts import cut
from tests.wire.effort import bytes_allocated, bytes_looked_at, pieces_of

Decoder = type[TolerantDecoder] | type[JSONDecoder]
BOTH = pytest.mark.parametrize("kind", [TolerantDecoder, JSONDecoder])


def read(kind: Decoder, pieces: list[bytes], limit: int = 0) -> tuple[list[Event], dict[str, int]]:
    """Feed the pieces, take what the end leaves, and return all events and what was counted."""
    chosen = kind(limit)
    events = [event for piece in pieces for event in chosen.feed(piece)]
    return events + chosen.finish(), chosen.deviations


def everywhere_cut(kind: Decoder, stream: bytes) -> list[tuple[list[Event], dict[str, int]]]:
    places = [[], *([place] for place in range(1, len(stream))), list(range(1, len(stream)))]
    return [read(kind, cut(stream, each)) for each in places]


A, B, C = b'{"a":1}', b'{"b":"}\\"{"}', b'{"c":[{}]}'

TOLERATED = {
    "a plain stream": (b"data: %b\n\ndata: [DONE]\n\n" % A, [A, DONE], {}),
    "a missing blank line": (
        b"data: %b\ndata: %b\n\n" % (A, B),
        [A, B], {"missing-blank-line": 2, "surplus-blank-line": 1},
    ),
    "no blank line at all": (
        b"data: %b\ndata: %b\ndata: %b\ndata: [DONE]\n" % (A, B, C),
        [A, B, C, DONE], {"missing-blank-line": 4},
    ),
    "a missing blank line before [DONE]": (
        b"data: %b\ndata: [DONE]\n" % A,
        [A, DONE], {"missing-blank-line": 2},
    ),
    "a missing blank line after [DONE]": (
        b"data: [DONE]\ndata: %b\n" % A,
        [DONE, A], {"missing-blank-line": 2},
    ),
    "a missing blank line, without a space": (
        b"data:%b\ndata:%b\n" % (A, B),
        [A, B], {"missing-blank-line": 2, "missing-space": 2},
    ),
    "an object over several lines": (
        b'data: {\ndata: "a":1\ndata: }\n\n',
        [b'{\n"a":1\n}'], {"multi-line-data": 2},
    ),
    "a text over several lines": (b"data: a\ndata: b\n\n", [b"a\nb"], {"multi-line-data": 1}),
    "bare objects": (b"%b\n%b\n" % (A, B), [A, B], {"bare-json": 2}),
    "a bare object with space around it": (b"  %b \n" % A, [A], {"bare-json": 1}),
    "bare [DONE]": (b"data: %b\n\n[DONE]\n" % A, [A, DONE], {"bare-done": 1}),
    "bare [DONE] without a line end": (b"data: %b\n\n[DONE]" % A, [A, DONE], {"bare-done": 1}),
    "bare [DONE] after an event without its blank line": (
        b"data: %b\n[DONE]\n" % A,
        [A, DONE], {"bare-done": 1},
    ),
    "[DONE] not quite so spelt": (
        b"data: %b\ndata: [done]\n'[DONE]'\n" % A,
        [A, b"[done]", DONE],
        {"missing-blank-line": 2, "bare-done": 1},
    ),
    "text": (b"hello\ndata: %b\n\n" % A, [A], {"ignored-line": 1}),
    "broken bare JSON": (b'{"a":\n\n', [], {"ignored-line": 1}),
}  # fmt: skip


@pytest.mark.parametrize(("stream", "data", "counted"), TOLERATED.values(), ids=TOLERATED)
def test_what_is_left_out_is_missed_by_nobody(
    stream: bytes, data: list[bytes], counted: dict[str, int]
) -> None:
    for events, deviations in everywhere_cut(TolerantDecoder, stream):
        assert [event.data for event in events] == data
        assert deviations == counted


def test_an_error_line_is_an_event() -> None:
    stream = b'data: %b\n\nerror: {"code":500}\n\n' % A
    for events, deviations in everywhere_cut(TolerantDecoder, stream):
        assert events == [Event(A), Event(b'{"code":500}', b"error")]
        assert deviations == {"error-field": 1}


def test_an_error_line_that_says_nothing_is_none() -> None:
    events, deviations = read(TolerantDecoder, [b"error\nerror: \n\n"])

    assert events == []
    assert deviations == {"ignored-line": 2}


def test_an_error_line_ends_the_event_before_it() -> None:
    events, _ = read(TolerantDecoder, [b"data: %b\nerror: boom\n\n" % A])

    assert events == [Event(A), Event(b"boom", b"error")]


@pytest.mark.parametrize("line", [b"data: %b", b"data:%b", b"%b"])
def test_without_blank_lines_an_event_ends_with_its_line(line: bytes) -> None:
    chosen = TolerantDecoder()
    chosen.feed(line % A + b"\n")
    for value in (B, C, A, DONE):
        stream = line % value + b"\n"
        # The event before the first blank line that is missing can only be ended by the next `data:`.
        assert [event.data for event in chosen.feed(stream)][-1:] == [value]
        assert chosen.feed(b"") == []


def test_stray_text_is_kept_as_long_as_it_is_worth_reporting() -> None:
    chosen = TolerantDecoder()
    chosen.feed(b"<html>\n<h1>502</h1>\n" + b"x" * 10_000 + b"\n" + b"more\n" * 10_000)

    assert chosen.stray.startswith(b"<html>\n<h1>502</h1>\nxxx")
    assert len(chosen.stray) < 10_000


JSONS = {
    "lines": (b"%b\n%b\n" % (A, B), [A, B]),
    "lines without an end": (b"%b\n%b" % (A, B), [A, B]),
    "CRLF": (b"%b\r\n%b\r\n" % (A, B), [A, B]),
    "nothing between": (A + B + C, [A, B, C]),
    "commas between": (b"%b,\n%b , %b" % (A, B, C), [A, B, C]),
    "one body": (b'{\n  "a": [1,\n  2]\n}\n', [b'{\n  "a": [1,\n  2]\n}']),
    "an array": (b"[%b,%b]" % (A, B), [b"[%b,%b]" % (A, B)]),
    "brackets in strings": (b'{"a":"}{]["}{"b":"{"}', [b'{"a":"}{]["}', b'{"b":"{"}']),
    "escaped quotes": (rb'{"a":"\"}"}{"b":"\\"}' + A, [rb'{"a":"\"}"}', rb'{"b":"\\"}', A]),
    "[DONE]": (b"%b\n[DONE]\n" % A, [A, DONE]),
    "data: between": (b"%b\ndata: %b\n\ndata: [DONE]\n\n" % (A, B), [A, B, DONE]),
    "text between": (b"%b hello %b" % (A, B), [A, b"hello", B]),
    "text at the end": (b"%b\nhello\n" % A, [A, b"hello"]),
    "a value cut off": (b'%b\n{"b":' % A, [A, b'{"b":']),
    "a bracket too many": (b"%b}%b" % (A, B), [A, b"}", B]),
    "nothing": (b" \n", []),
}


@pytest.mark.parametrize(("stream", "data"), JSONS.values(), ids=JSONS)
def test_json_values_are_told_apart(stream: bytes, data: list[bytes]) -> None:
    for events, _ in everywhere_cut(JSONDecoder, stream):
        assert [event.data for event in events] == data


@pytest.mark.parametrize(("stream", "data"), JSONS.values(), ids=JSONS)
def test_the_data_of_one_event_is_split_alike(stream: bytes, data: list[bytes]) -> None:
    assert split(stream) == data


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
)
OBJECTS = st.dictionaries(st.text(), VALUES, max_size=4)
SEPARATORS = st.sampled_from([b"", b" ", b"\n", b"\r\n", b"\n\n", b",", b" ,\n", b"\ndata: ", b"\n\ndata:"])
STYLES = st.sampled_from(
    [
        {},
        {"ensure_ascii": False},
        {"separators": (",", ":")},
        {"indent": 2},
        {"ensure_ascii": False, "separators": (",", ":"), "sort_keys": True},
    ]
)


@st.composite
def written(draw: st.DrawFn, values: st.SearchStrategy[Any]) -> tuple[Any, bytes]:
    value = draw(values)
    return value, json.dumps(value, **draw(STYLES)).encode("utf-8", "replace")


@given(
    st.lists(st.tuples(written(OBJECTS | st.lists(VALUES)), SEPARATORS)),
    st.lists(st.integers(0, 500)),
)
@example([(([{}], b"[{}]"), b"")], [])
def test_any_values_with_anything_between_them_are_told_apart(
    given: list[tuple[tuple[Any, bytes], bytes]], places: list[int]
) -> None:
    stream = b"".join(data + separator for (_, data), separator in given)
    events, _ = read(JSONDecoder, cut(stream, places))

    assert [json.loads(event.data) for event in events] == [json.loads(data) for (_, data), _ in given]


@given(st.lists(written(OBJECTS)), st.lists(st.integers(0, 500)))
def test_a_value_comes_with_the_byte_that_ends_it(given: list[tuple[Any, bytes]], places: list[int]) -> None:
    chosen = JSONDecoder()
    for _, data in given:
        *before, last = cut(data, [*(place for place in places if place < len(data)), len(data) - 1])
        assert [event for piece in before for event in chosen.feed(piece)] == []
        assert chosen.feed(last) == [Event(data)]


@given(
    st.lists(st.tuples(written(OBJECTS), st.sampled_from([b"\n", b"\n\n", b"\r\n", b"\r\n\r\n"]))),
    st.sampled_from([b"data: ", b"data:"]),
    st.lists(st.integers(0, 500)),
)
def test_objects_with_and_without_blank_lines_are_told_apart(
    given: list[tuple[tuple[Any, bytes], bytes]], field: bytes, places: list[int]
) -> None:
    stream = b"".join(field + data.replace(b"\n", b"") + end for (_, data), end in given)
    events, _ = read(TolerantDecoder, cut(stream, places))

    assert [json.loads(event.data) for event in events] == [json.loads(data) for (_, data), _ in given]


HOSTILE = st.lists(
    st.sampled_from(
        [
            *(
                b"data: ",
                b"data:",
                b"{",
                b"}",
                b"[",
                b"]",
                b'"',
                b"\\",
                b'\\"',
                b"\n",
                b"\r",
                b"\r\n",
                b"\n\n",
            ),
            *(b"[DONE]", b"error: ", b"error:{}", A, B, C, b"event: e\n", b":", b" ", b",", b"x", b"\xff"),
        ]
    ),
    max_size=30,
).map(b"".join)


@BOTH
@given(HOSTILE, st.lists(st.integers(0, 120)))
def test_no_cut_makes_a_difference(kind: Decoder, stream: bytes, places: list[int]) -> None:
    assert read(kind, cut(stream, places)) == read(kind, [stream])


@BOTH
@given(HOSTILE, st.lists(st.integers(0, 120)), st.integers(1, 40))
def test_no_limit_hangs_on_the_cuts(kind: Decoder, stream: bytes, places: list[int], limit: int) -> None:
    whole, parts = kind(limit), kind(limit)
    events = whole.feed(stream)

    assert [event for piece in cut(stream, places) for event in parts.feed(piece)] == events
    assert parts.overflowed is whole.overflowed
    assert all(len(event.data) <= limit for event in events)


LIMITED = {
    "a value of just the size": (b'{"a":"56789"}', 13, [b'{"a":"56789"}'], False),
    "a value of one byte more": (b'{"a":"56789"}', 12, [], True),
    "nothing after it": (b'{"a":1}{"a":"56789"}{}', 12, [b'{"a":1}'], True),
    "text between": (b"{}" + b"x" * 13 + b"{}", 12, [b"{}"], True),
    "a value cut off": (b'{"a":"567890123', 12, [], True),
}


@pytest.mark.parametrize(("stream", "limit", "data", "overflowed"), LIMITED.values(), ids=LIMITED)
def test_the_limit_of_a_json_value(stream: bytes, limit: int, data: list[bytes], overflowed: bool) -> None:
    for size in (1, 2, len(stream)):
        chosen = JSONDecoder(limit)
        events = [event for piece in pieces_of(stream, size) for event in chosen.feed(piece)]
        assert [event.data for event in events] == data
        assert chosen.overflowed is overflowed
        if overflowed:
            assert chosen.feed(b"{}") == []


LONG = 1 << 18


@pytest.mark.parametrize(
    ("kind", "unit"),
    [
        (TolerantDecoder, b'data: {"a":"' + b"x" * LONG + b'"}\n\n'),
        (TolerantDecoder, b'data: {\n' + b'data: "a":1,\n' * (LONG // 16) + b'data: "a":1}\n\n'),
        (JSONDecoder, b'{"a":"' + b"x" * LONG + b'"}'),
        (JSONDecoder, b'{"a":[' + b'{"b":[]},' * (LONG // 10) + b"{}]}"),
        (JSONDecoder, b'{"a":"' + b"\\\\" * (LONG // 2) + b'"}'),
        (JSONDecoder, b'{"a":1}' * (LONG // 8)),
    ],
)  # fmt: skip
def test_megabytes_cost_what_they_weigh(kind: Decoder, unit: bytes) -> None:
    pieces = pieces_of(unit, 128)

    assert bytes_looked_at(kind().feed, pieces) < 20 * LONG
    assert bytes_allocated(kind().feed, pieces) < 40 * LONG


@BOTH
def test_memory_is_bounded_by_the_limit(kind: Decoder) -> None:
    chosen = kind(1 << 16)

    assert bytes_allocated(chosen.feed, [b'{"x":"' + b"x" * 1018] * 4096) < 1 << 20
    assert chosen.overflowed


CHOSEN = {
    "nothing": (b"", None),
    "blank": (b" \r\n\t", None),
    "a BOM": (b"\xef\xbb\xbf", None),
    "the beginning of a BOM": (b"\xef", None),
    "a BOM and blanks": (b"\xef\xbb\xbf\n", None),
    "an object": (b"{", JSONDecoder),
    "an object after blanks": (b"\n\n {", JSONDecoder),
    "an object after a BOM": (b"\xef\xbb\xbf{", JSONDecoder),
    "an array": (b"[", JSONDecoder),
    "an event": (b"d", TolerantDecoder),
    "a comment": (b":", TolerantDecoder),
    "an event after a BOM": (b"\xef\xbb\xbfd", TolerantDecoder),
    "a page": (b"<", TolerantDecoder),
    "blanks without an end": (b"\n" * MAX_BLANK, TolerantDecoder),
    "an object after too many blanks": (b"\n" * MAX_BLANK + b"{", TolerantDecoder),
    "an object after just not too many blanks": (b"\n" * (MAX_BLANK - 1) + b"{", JSONDecoder),
}


@pytest.mark.parametrize(("first", "kind"), CHOSEN.values(), ids=CHOSEN)
def test_the_first_bytes_choose_the_decoder(first: bytes, kind: Decoder | None) -> None:
    chosen = decoder(first, 0)

    assert chosen is None if kind is None else type(chosen) is kind
    expected = {"bare-json": 1} if kind is JSONDecoder else {}
    if kind is JSONDecoder and first.startswith(BOM):
        expected["byte-order-mark"] = 1
    assert chosen is None or chosen.deviations == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"{}", True),
        (b' {"a":[1]}\n', True),
        (b'{"a":NaN}', True),
        (b'{"a":"\xff"}', True),
        (b"", False),
        (b"[]", False),
        (b'"{}"', False),
        (b"{}{}", False),
        (b'{"a":1', False),
        (b'{"a":{}', False),
        (b"{a}", False),
    ],
)
def test_an_object_is_whole_or_it_is_none(data: bytes, expected: bool) -> None:
    assert is_object(data) is expected


@given(written(OBJECTS), st.data())
def test_no_part_of_an_object_is_one(given: tuple[Any, bytes], data: st.DataObject) -> None:
    _, whole = given
    assert is_object(whole)
    assert not is_object(whole[: data.draw(st.integers(0, len(whole) - 1))])
