"""The shortest road leads to the same as the others, in bytes and in counts, whatever comes on it."""

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import UpstreamError
from proxy.wire.chunk import Origin
from proxy.wire.chunked import ChunkedDecoder
from proxy.wire.plan import Plan
from proxy.wire.report import StreamReport
from proxy.wire.requests import Request
from proxy.wire.rewriter import StreamRewriter
from tests.wire.cases import BEGAN, TOKEN, Case
from tests.wire.cuts import cut
from tests.wire.deviations import Deviant, deviant
from tests.wire.test_hostile import REQUESTS, mutated
from tests.wire.test_rewriter import CHAT, ENDS, PLAN
from tests.wire.test_splice import (
    CASES,
    EVERYTHING,
    FORMS,
    NOTHING,
    STRIDE,
    TEXTS,
    TOOLS,
    filled,
    form_of,
    prolonged,
)

LAST_CHUNK = b"0\r\n\r\n"
DONE = b"data: [DONE]\n\n"
#: What came of a read: the bytes for the client, and how many events had come by then, where that was asked.
Step = tuple[bytes, int]


def as_chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def relayed(
    request: Request,
    reads: Iterable[bytes],
    failure: UpstreamError | None = None,
    *,
    plan: Plan = PLAN,
    limit: int = 0,
    short: bool,
) -> tuple[list[Step], StreamReport, int]:
    """Return what came of each read and of the stream, and how many reads took the shortest road."""
    chunks = ChunkedDecoder()
    rewriter = StreamRewriter(request, Origin(TOKEN, BEGAN), plan, event_limit=limit)
    steps: list[Step] = []
    taken = 0
    for read in reads:
        shortcut = rewriter.shortcut() if short and chunks.between else None
        sent = shortcut.take(read) if shortcut else None
        if sent is not None:
            taken += 1
        else:
            data = chunks.feed(read)
            sent = b"".join(map(as_chunk, rewriter.receive_data(data) if data else []))
        asked = len(steps) % 5 == 0
        steps.append((sent, rewriter.events_in if asked else 0))
    frames = rewriter.receive_failure(failure) if failure else rewriter.receive_eof()
    return [*steps, (b"".join(map(as_chunk, frames)), rewriter.events_in)], rewriter.report, taken


def assert_same(
    request: Request,
    reads: list[bytes],
    failure: UpstreamError | None = None,
    *,
    plan: Plan = PLAN,
    limit: int = 0,
) -> int:
    """Take both roads; return how many reads took the shortest."""
    steps, report, taken = relayed(request, reads, failure, plan=plan, limit=limit, short=True)
    expected, long_report, _ = relayed(request, reads, failure, plan=plan, limit=limit, short=False)
    assert (steps, report) == (expected, long_report)
    return taken


def events_of(stream: bytes) -> list[bytes]:
    ends = b"\r\n\r\n" if b"\r\n\r\n" in stream else b"\n\n"
    return [event + ends for event in stream.split(ends)]


@pytest.mark.parametrize(
    "name", [name for name in FORMS if name not in ("lines of JSON", "on two lines", "finished each time")]
)
def test_like_events_take_it(name: str) -> None:
    form, request = FORMS[name]
    reads = [as_chunk(event) for event in filled(form, *[b" %d" % n for n in range(100)])]

    assert assert_same(request, reads) > 90


def test_what_comes_between_is_counted_where_it_belongs() -> None:
    form, _ = FORMS["OpenAI"]
    like = filled(form, b" a", b" b", b" c", b" d")
    odd = [b": ping\n\n", b"event: data\n\n", b'data: {"x":1}\n\n']
    reads = [as_chunk(each) for other in odd for each in (*like, other, *like)]

    assert assert_same(CHAT, reads) > 9


@pytest.mark.sweep
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_fixtures(case: Case) -> None:
    events = events_of(prolonged(case.upstream))
    reads = [as_chunk(event) for event in events]
    assert_same(case.request, reads, plan=case.plan)
    body = b"".join(reads)
    for phase in range(0, STRIDE, 20):
        assert_same(case.request, cut(body, list(range(phase, len(body), STRIDE))), plan=case.plan)
    for plan in (EVERYTHING, NOTHING):
        assert_same(case.request, reads, plan=plan)


@pytest.mark.sweep
@settings(max_examples=300)
@given(deviant(), st.lists(st.integers(0, 8000)), ENDS, st.sampled_from([PLAN, EVERYTHING, NOTHING]))
def test_streams_that_deviate(
    given: Deviant, places: list[int], failure: UpstreamError | None, plan: Plan
) -> None:
    reads = [as_chunk(event) for event in events_of(prolonged(given.stream))]
    assert_same(given.request, reads, failure, plan=plan)
    assert_same(given.request, cut(b"".join(reads), places), failure, plan=plan)


@pytest.mark.sweep
@settings(max_examples=300)
@given(mutated(), REQUESTS, st.lists(st.integers(0, 8000)), ENDS)
def test_streams_that_are_broken(
    stream: bytes, request: Request, places: list[int], failure: UpstreamError | None
) -> None:
    reads = [as_chunk(event) for event in events_of(prolonged(stream))]
    assert_same(request, reads, failure)
    assert_same(request, cut(b"".join(reads), places), failure)


@pytest.mark.sweep
@form_of
@pytest.mark.parametrize("plan", [PLAN, EVERYTHING, NOTHING], ids=["default", "everything", "nothing"])
def test_texts_of_every_kind(form: str, request_: Request, plan: Plan) -> None:
    for text in TEXTS:
        events = filled(
            form, b"Hi", b" one", b" two", b" three", text, b" four", text, b"", b" five", b" six"
        )
        assert_same(request_, [as_chunk(event) for event in [*events, DONE]], plan=plan)


def test_texts_that_are_remembered() -> None:
    form = 'data: {"choices":[{"delta":{"content":"%s"}}]}\n\n'
    call = '{"index":0,"id":"c","function":{"name":"f","arguments":"{}"}}'
    repeated = 'data: {"choices":[{"delta":{"content":"%s","tool_calls":[' + call + "]}}]}\n\n"
    said = ["one", "two", "three", "Ö", "a", "b", "\\n", "é"]
    events = filled(form, *[text.encode() for text in said])
    last = filled(repeated, "".join(said).encode())

    assert assert_same(TOOLS, [as_chunk(event) for event in [*events, *last, DONE]]) > 1


@pytest.mark.sweep
@form_of
def test_a_chunk_changed_in_any_byte(form: str, request_: Request) -> None:
    before = [as_chunk(event) for event in filled(form, b"Hi", b" one", b" two", b" three")]
    (read,) = (as_chunk(event) for event in filled(form, b" four"))
    after = [as_chunk(event) for event in [*filled(form, b" five", b" six"), DONE]]
    for place in range(len(read)):
        for new in (b"", b'"', b"\\", b"\n", b"\r", b" ", b"\xff", b"0", b"F", read[place : place + 1] * 2):
            changed = read[:place] + new + read[place + 1 :]
            assert_same(request_, [*before, changed, *after])


#: The same size, written in other ways, and what looks like it.
LINES = [
    *(b"%X\r\n", b"0%x\r\n", b"000000%x\r\n", b"%x;a=b\r\n", b"%x ;\r\n", b"%x \r\n", b"%x\t\r\n"),
    *(b"+%x\r\n", b"-%x\r\n", b" %x\r\n", b"0x%x\r\n", b"%x_\r\n", b"%x\n", b"%x\r", b"%x"),
    *(b"%d\r\n", b"%x0\r\n", b"0\r\n%x\r\n", b"\r\n%x\r\n", b"\r\n", b"%xdata: \r\n"),
    b"0" * 20 + b"%x\r\n",
]


@pytest.mark.sweep
@pytest.mark.parametrize("line", LINES)
@form_of
def test_sizes_in_every_writing(form: str, request_: Request, line: bytes) -> None:
    like = [as_chunk(event) for event in filled(form, b"Hi", b" one", b" two", b" three")]
    for more in range(32):
        (event,) = filled(form, b" four" + b"." * more)
        written = line.replace(b"%d", b"%d" % len(event)).replace(b"%x", b"%x" % len(event))
        if b"%X" in line:
            written = b"%X\r\n" % len(event)
        assert_same(request_, [*like, written + event + b"\r\n", *like, LAST_CHUNK])


def test_sizes_in_capital_letters_take_it() -> None:
    form, request = FORMS["OpenAI"]
    events = filled(form, *[b"." * n for n in range(1, 200)])

    assert assert_same(request, [b"%X\r\n%b\r\n" % (len(event), event) for event in events]) > 190


@form_of
def test_event_above_the_limit(form: str, request_: Request) -> None:
    events = filled(form, *[b"." * n for n in (1, 2, 3, 100, 4, 5)])
    longest = max(map(len, events))
    for limit in range(longest - 30, longest + 30):
        assert_same(request_, [as_chunk(event) for event in events], limit=limit)


def test_wrappings_by_turns_until_none_is_learnt_any_more() -> None:
    form = 'data:%s{"choices":[{"delta":{"content":"%%s"}}]}\n\n'
    forms = [form % "", form % " ", form % "  ", "event: message\n" + form % "", ": x\n" + form % " "]
    turns = [event for each in forms * 4 for event in filled(each, b" a", b" b", b" c", b" d")]
    assert_same(CHAT, [as_chunk(event) for event in [*turns, *turns[::-1]]])


def test_nothing_is_taken_after_the_end() -> None:
    form, _ = FORMS["OpenAI"]
    for end in (DONE, b'data: {"error":"x"}\n\n', b"x" * 3000):
        events = [*filled(form, b" a", b" b", b" c", b" d"), end, *filled(form, b" e", b" f", b" g")]
        assert_same(CHAT, [as_chunk(event) for event in events], limit=2000)


@pytest.mark.parametrize("failure", [None, UpstreamError("gone")], ids=["ended", "broken"])
def test_nothing_is_taken_once_the_stream_was_ended(failure: UpstreamError | None) -> None:
    form, _ = FORMS["OpenAI"]
    reads = [as_chunk(event) for event in filled(form, b" a", b" b", b" c", b" d")]
    chunks, rewriter = ChunkedDecoder(), StreamRewriter(CHAT, Origin(TOKEN, BEGAN), PLAN)
    for read in reads:
        rewriter.receive_data(chunks.feed(read))
    assert rewriter.receive_failure(failure) if failure else rewriter.receive_eof()

    assert rewriter.shortcut() is None
