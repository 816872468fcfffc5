"""The quick decoder delivers and counts what the one that reads every line does."""

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from proxy.wire import wrapping
from proxy.wire.framing import TolerantDecoder
from proxy.wire.sse import Event, EventDecoder
from proxy.wire.wrapping import QuickDecoder
from tests.wire.cuts import cut
from tests.wire.effort import bytes_looked_at, pieces_of
from tests.wire.test_sse import streams

#: An event with its surroundings, and what they are counted as.
WAYS = {
    "plain": (b"data: %b\n\n", {}),
    "LocalAI of May 2023": (b"event: data\n\ndata: %b\n\n\n", {"event-line": 1, "surplus-blank-line": 1}),
    "named": (b"event: message\ndata: %b\n\n", {"event-line": 1}),
    "CRLF": (b"data: %b\r\n\r\n", {"carriage-return": 2}),
    "no space": (b"data:%b\n\n", {"missing-space": 1}),
    "CR": (b"data: %b\r\r", {"carriage-return": 2}),
    "an id": (b"id: 7\ndata: %b\n\n", {"id-line": 1}),
    "a comment": (b": x\ndata: %b\n\n", {"comment": 1}),
    "a blank line first": (b"\ndata: %b\n\n", {"surplus-blank-line": 1}),
    "a stray line": (b"x\ndata: %b\n\n", {"ignored-line": 1}),
    "two fields": (b"data: %b\ndata: more\n\n", {"multi-line-data": 1}),
}
VALUES = [
    b'{"a":1}',
    b'{"b":2}',
    b"",
    b" ",
    b" x",
    b"x",
    b"data: ",
    b"data:",
    b"[DONE]",
    "é".encode(),
    b"y" * 99,
]
VALUES += [b"a\rb", b"a\nb", b"\r", b"a\n\ndata: b"]
way_of = pytest.mark.parametrize(("way", "deviations"), WAYS.values(), ids=WAYS)


both = pytest.mark.parametrize("kind", [QuickDecoder, TolerantDecoder])


@pytest.fixture(autouse=True, scope="module", params=[1, wrapping.FEW], ids=["at-once", "later"])
def learns(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each test is one of decoders that learn from the first read, and of those that read its lines."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wrapping, "FEW", request.param)
        yield


def read(decoder: QuickDecoder, pieces: list[bytes]) -> tuple[list[Event], dict[str, object]]:
    """What comes of the pieces, and all that can be seen of the decoder after them."""
    events = [event for piece in pieces for event in decoder.feed(piece)]
    names = ("deviations", "last_event_id", "retry", "overflowed", "stray")
    return events, {name: getattr(decoder, name, None) for name in names}


def assert_same(kind: type[QuickDecoder], pieces: list[bytes], limit: int = 0) -> None:
    """Compare with the same bytes one by one: no wrapping is ever seen in a single byte."""
    stream = b"".join(pieces)
    assert read(kind(limit), pieces) == read(kind(limit), pieces_of(stream, 1))


def events_in(way: bytes, values: list[bytes]) -> list[bytes]:
    return [way.replace(b"%b", value) for value in values]


@way_of
def test_what_is_counted_is_what_the_lines_say(way: bytes, deviations: dict[str, int]) -> None:
    values = [b"%d" % n for n in range(50)]
    for reads in (events_in(way, values), [b"".join(events_in(way, values))]):
        decoder = EventDecoder()
        events, seen = read(QuickDecoder(), [b"data: x\n\n", *reads])

        assert events == [event for data in [b"data: x\n\n", *reads] for event in decoder.feed(data)]
        assert seen["deviations"] == {form: 50 * each for form, each in deviations.items()}
        assert seen["deviations"] == decoder.deviations


@pytest.mark.sweep
@both
@way_of
def test_every_value_after_every_other(
    kind: type[QuickDecoder], way: bytes, deviations: dict[str, int]
) -> None:
    for pair in itertools.product(VALUES, repeat=2):
        pieces = events_in(way, [b"{}", b"{}", b"{}", *pair, b"{}"])
        assert_same(kind, pieces)
        assert_same(kind, [b"".join(pieces)])


@pytest.mark.sweep
@both
@way_of
def test_every_cut_of_a_long_read(kind: type[QuickDecoder], way: bytes, deviations: dict[str, int]) -> None:
    stream = b"".join(events_in(way, [b'{"n":%d}' % n for n in range(6)]))
    for place in range(len(stream)):
        assert_same(kind, [stream, stream[:place], stream[place:], stream])


@pytest.mark.sweep
@both
@way_of
def test_every_limit(kind: type[QuickDecoder], way: bytes, deviations: dict[str, int]) -> None:
    pieces = events_in(way, [b"{}", b'{"a":1}', b"{}", b'{"longer":"%b"}' % (b"x" * 20), b"{}"])
    for limit in range(1, 80):
        assert_same(kind, pieces, limit)
        assert_same(kind, [b"".join(pieces[:2]), b"".join(pieces)], limit)


@both
def test_what_begins_at_the_end_of_a_read_is_not_taken_for_its_event(kind: type[QuickDecoder]) -> None:
    event = b"data: {}\n\nevent: x\n"
    assert_same(kind, [b"data: {}\n\n", event, b"\n", event, b"data: y\n\n", event, b"\n", event])


@both
def test_once_a_blank_line_was_missing_every_read_counts_alike(kind: type[QuickDecoder]) -> None:
    assert_same(kind, [b"data: {}\ndata: {}\n\n", b'data: {"a":1}\n\n', b'data: {"a":2}\n\n'])


@both
def test_ways_by_turns(kind: type[QuickDecoder]) -> None:
    for (one, _), (other, _) in itertools.permutations(WAYS.values(), 2):
        pieces = events_in(one, [b"{}"] * 3) + events_in(other, [b"[]"] * 3)
        assert_same(kind, pieces * 2)
        assert_same(kind, [b"".join(pieces * 2)])


@pytest.mark.sweep
@both
@settings(max_examples=300)
@given(
    st.lists(
        st.tuples(st.sampled_from([way for way, _ in WAYS.values()]), st.sampled_from(VALUES)), max_size=12
    ),
    streams,
    st.lists(st.integers(0, 400)),
    st.sampled_from([0, 0, 5, 30, 200]),
)
@example([(b"data: %b\ndata: {}\n\n", b"{}")], b'data: {"a":1}\n\ndata: {}\n\n', [21, 36], 0)
def test_any_stream_however_it_is_cut(
    kind: type[QuickDecoder], wrapped: list[tuple[bytes, bytes]], rest: bytes, places: list[int], limit: int
) -> None:
    stream = b"".join(way.replace(b"%b", value) for way, value in wrapped)
    for whole in (stream + rest, rest + stream, stream + rest + stream):
        assert_same(kind, cut(whole, places), limit)


@both
@way_of
def test_the_work_is_that_of_the_bytes(kind: type[QuickDecoder], way: bytes, deviations: object) -> None:
    stream = b"".join(events_in(way, [b'{"n":%d}' % n for n in range(4000)]))
    for size in (100, 4096, 65536):
        assert bytes_looked_at(kind().feed, pieces_of(stream, size)) < 20 * len(stream)
