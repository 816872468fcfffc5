"""The short road leads to the same as the long one, byte for byte, whatever comes on it."""

import itertools
from collections.abc import Iterable
from dataclasses import replace
from types import SimpleNamespace

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import UpstreamError
from proxy.wire import codec, splice
from proxy.wire.chunk import Origin
from proxy.wire.plan import Plan, compile_plan
from proxy.wire.repairs import CATALOGUE
from proxy.wire.report import StreamReport
from proxy.wire.requests import Endpoint, Request
from proxy.wire.rewriter import StreamRewriter
from tests.wire.cases import BEGAN, TOKEN, Case, all_cases
from tests.wire.cuts import cut
from tests.wire.deviations import Deviant, deviant
from tests.wire.test_hostile import REQUESTS, mutated
from tests.wire.test_rewriter import CHAT, ENDS, PLAN

CASES = all_cases()
COMPLETIONS = replace(CHAT, endpoint=Endpoint.COMPLETIONS)
TOOLS = replace(CHAT, tools=frozenset({"f"}))
EVERYTHING = compile_plan(dict.fromkeys(CATALOGUE, True))
NOTHING = compile_plan({repair.name: False for repair in CATALOGUE.values() if not repair.fixed})
STRIDE = 97

HEAD = (
    '{"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"gpt-4","choices":[{"index":0,'
)
LOCALAI = (
    'event: data\n\ndata: {"object":"chat.completion.chunk","model":"m","choices":[{"delta":'
    '{"role":"assistant","content":"%s"}}],"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}}'
)
#: Events as servers write them, with a place for the text.
FORMS = {
    "OpenAI": ("data: " + HEAD + '"delta":{"content":"%s"},"finish_reason":null}]}\n\n', CHAT),
    "LocalAI of May 2023": (LOCALAI + "\n\n\n", CHAT),
    "no space, CRLF": ('data:{"choices":[{"delta":{"content":"%s"},"finish_reason":""}]}\r\n\r\n', CHAT),
    "reasoning": (
        'data: {"choices":[{"delta":{"content":null,"reasoning_content":"%s","tool_calls":null}}]}\n\n',
        CHAT,
    ),
    "with spaces": ('data: {"choices": [{"index": 0, "delta": {"content": "%s"}}]}\n\n', TOOLS),
    "the text first": ('data: {"choices":[{"delta":{"content":"%s"}}],"model":"content"}\n\n', CHAT),
    "finished each time": ('data: {"choices":[{"text":"%s","finish_reason":"stop"}]}\n\n', COMPLETIONS),
    "digits": ('data: {"choices":[{"delta":{"content":"%s"},"token":18446744073709551617}]}\n\n', CHAT),
    "the stand-in before it": (
        'data: {"model":"straightwire\'s stand-in for a text","choices":[{"delta":{"content":"%s"}}]}\n\n',
        CHAT,
    ),
    "the text before it": ('data: {"id":"content","model":"a","choices":[{"text":"%s"}]}\n\n', COMPLETIONS),
    "on two lines": ('data: {"choices":[{"delta":\ndata: {"content":"%s"}}]}\n\n', CHAT),
    "lines of JSON": ('{"choices":[{"delta":{"content":"%s"}}]}\n', CHAT),
    "a name": ('event: message\ndata: {"choices":[{"delta":{"refusal":"%s"}}]}\n\n', CHAT),
    "completions": ('data: {"id":"c","choices":[{"text":"%s","index":0,"logprobs":null}]}\n\n', COMPLETIONS),
}
form_of = pytest.mark.parametrize(("form", "request_"), FORMS.values(), ids=FORMS)
#: What may stand between the quotes, and must not, all in bytes.
TEXTS = [
    *(
        b"a",
        b" b",
        b"'",
        b"/",
        b"\x7f",
        b"<think>",
        b"</think>x",
        b"[DONE]",
        b"data: ",
        b"assistant",
        b"stop",
    ),
    *(b"content", b"straightwire's stand-in for a text", b"null", b"7", b"Internal error: x"),
    *(b"12345678901234567890", b",12345678901234567890,", b"[1234567890123456789012]", b"0" * 40),
    *(rb"\n", rb"\\", rb"\"", rb"\"}", rb"\t\r\b\f", rb"\/", rb"\u0041", rb"\u000a", rb"\u001f", rb"\u2028"),
    *(rb"\ud83d\ude00", rb"\ud83d", rb"\ude00", rb"\ud83d\u0041", rb"\uZZZZ", rb"\u12", rb"\x41", rb"\a"),
    *(b"", b'"', b"\\", b'\\\\"', b'","x":"', b'"},"y":{"', b"\x00", b"\x1f", b"\t", b"\xc2\x85"),
    *("é".encode(), "日本".encode(), "😀".encode(), "\u2028".encode(), "\ufeff".encode(), "\ufffd".encode()),
    *(b"\xff", b"\xc3", b"\xa9", b"\xc0\x80", b"\xed\xa0\x80", b"\xf0\x9f\x98", b"\xf4\x90\x80\x80"),
    *(b"a\nb", b"a\rb", b"a\n\nb", b"a\n\ndata: b", b"x" * 5000),
]


def play(
    request: Request,
    pieces: Iterable[bytes],
    failure: UpstreamError | None = None,
    *,
    plan: Plan = PLAN,
    splice: bool,
) -> tuple[list[tuple[list[bytes], int]], StreamReport]:
    """Return the frames and the count of events after each piece, and what became of the stream."""
    rewriter = StreamRewriter(request, Origin(TOKEN, BEGAN), plan, splice=splice)
    steps = [(rewriter.receive_data(piece), rewriter.events_in) for piece in pieces]
    frames = rewriter.receive_failure(failure) if failure else rewriter.receive_eof()
    return [*steps, (frames, rewriter.events_in)], rewriter.report


def assert_same(
    request: Request,
    pieces: list[bytes],
    failure: UpstreamError | None = None,
    *,
    plan: Plan = PLAN,
) -> None:
    short = play(request, pieces, failure, plan=plan, splice=True)
    assert short == play(request, pieces, failure, plan=plan, splice=False)


def prolonged(stream: bytes, times: int = 4) -> bytes:
    """The stream with each of its events many times over, so that there is something to learn."""
    ends = b"\r\n\r\n" if b"\r\n\r\n" in stream else b"\n\n"
    return b"".join((event + ends) * times for event in stream.split(ends))


def filled(form: str, *texts: bytes) -> list[bytes]:
    head, tail = (side.encode() for side in form.split("%s"))
    return [head + text + tail for text in texts]


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The events that the long road has read, as they come."""
    seen: list[bytes] = []
    loads = codec.loads

    def noting(data: bytes) -> object:
        seen.append(data)
        return loads(data)

    monkeypatch.setattr(codec, "loads", noting)
    return seen


@form_of
def test_like_events_are_not_parsed(form: str, request_: Request, parsed: list[bytes]) -> None:
    if '"stop"' in form:  # each event ends the choice
        return
    frames, _ = play(request_, filled(form, *[b" %d" % n for n in range(100)]), splice=True)

    assert sum(len(step[0]) for step in frames) >= 100
    assert len(parsed) < 5


def test_texts_of_very_different_length_are_alike_all_the_same(parsed: list[bytes]) -> None:
    form, _ = FORMS["OpenAI"]
    play(CHAT, filled(form, *[b"word" * (1 + 30 * (n % 2)) for n in range(100)]), splice=True)

    assert len(parsed) < 6


@pytest.mark.sweep
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_fixtures(case: Case) -> None:
    for stream in (case.upstream, prolonged(case.upstream)):
        assert_same(case.request, [stream], plan=case.plan)
        assert_same(case.request, [stream[n : n + 1] for n in range(len(stream))], plan=case.plan)
        for phase in range(0, STRIDE, 20):
            places = list(range(phase, len(stream), STRIDE))
            assert_same(case.request, cut(stream, places), plan=case.plan)


@pytest.mark.sweep
@pytest.mark.parametrize("plan", [EVERYTHING, NOTHING], ids=["everything", "nothing"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_fixtures_however_repairs_are_switched(case: Case, plan: Plan) -> None:
    stream = prolonged(case.upstream)
    assert_same(case.request, [event + b"\n\n" for event in stream.split(b"\n\n")], plan=plan)


@pytest.mark.sweep
@settings(max_examples=300)
@given(deviant(), st.lists(st.integers(0, 8000)), ENDS, st.sampled_from([PLAN, EVERYTHING, NOTHING]))
def test_streams_that_deviate(
    given: Deviant, places: list[int], failure: UpstreamError | None, plan: Plan
) -> None:
    assert_same(given.request, cut(prolonged(given.stream), places), failure, plan=plan)


@pytest.mark.sweep
@settings(max_examples=300)
@given(mutated(), REQUESTS, st.lists(st.integers(0, 8000)), ENDS)
def test_streams_that_are_broken(
    stream: bytes, request: Request, places: list[int], failure: UpstreamError | None
) -> None:
    assert_same(request, cut(prolonged(stream), places), failure)


@pytest.mark.sweep
@form_of
@pytest.mark.parametrize("plan", [PLAN, EVERYTHING, NOTHING], ids=["default", "everything", "nothing"])
def test_texts_of_every_kind(form: str, request_: Request, plan: Plan) -> None:
    for text in TEXTS:
        pieces = filled(
            form, b"Hi", b" one", b" two", b" three", text, b" four", text, b"", b" five", b" six"
        )
        assert_same(request_, [*pieces, b"data: [DONE]\n\n"], plan=plan)
        assert_same(request_, [b"".join([*pieces, b"data: [DONE]\n\n"])], plan=plan)
        assert_same(request_, filled(form, text, text, text, b" one", text, b" two"), plan=plan)


@pytest.mark.sweep
@form_of
def test_texts_by_turns(form: str, request_: Request) -> None:
    for first, second in itertools.product(TEXTS, TEXTS[::7]):
        assert_same(request_, filled(form, b"Hi", b" one", b" two", first, second, b" three"))


@pytest.mark.sweep
@form_of
def test_an_event_changed_in_any_byte(form: str, request_: Request) -> None:
    before = filled(form, b"Hi", b" one", b" two", b" three")
    (event,) = filled(form, b" four")
    after = [*filled(form, b" five", b" six"), b"data: [DONE]\n\n"]
    for place in range(len(event)):
        for new in (b"", b'"', b"\\", b"\n", b"\r", b" ", b"\xff", b"0", b"}", event[place : place + 1] * 2):
            changed = event[:place] + new + event[place + 1 :]
            assert_same(request_, [*before, changed, *after])


def test_an_event_of_another_name_is_another_event() -> None:
    form = 'data: {"choices":[{"delta":{"content":"%s"}}]}\n\n'
    for one, other in itertools.permutations(["", "event: error\n", "event: message\n"], 2):
        first, second = filled(one + form, b"a", b"b", b"c", b"d"), filled(other + form, b"e", b"f", b"g")
        assert_same(CHAT, [*first, *second, *first])


@pytest.mark.parametrize("text", ["content", "straightwire's stand-in for a text"])
@pytest.mark.parametrize("key", ["id", "model"])
def test_what_reads_like_the_text_is_not_taken_for_it(key: str, text: str) -> None:
    form = 'data: {"%s":"%s","choices":[{"delta":{"content":"%s"}}]}\n\n'
    assert_same(CHAT, [(form % (key, said, text)).encode() for said in (text, text, text, "other", "more")])


def test_a_stream_may_change_its_form() -> None:
    forms = [form for form, request in FORMS.values() if request is CHAT]
    for one, other in itertools.permutations(forms, 2):
        first, second = filled(one, b" a", b" b", b" c", b" d"), filled(other, b" e", b" f", b" g", b" h")
        assert_same(CHAT, [*first, *second, *first, *second])


def studies(monkeypatch: pytest.MonkeyPatch, events: list[str]) -> int:
    """How often one of these events is read to learn from it."""
    studied: list[bytes] = []

    def noting(data: bytes) -> object:
        studied.append(data)
        return orjson.loads(data)

    monkeypatch.setattr(
        splice, "orjson", SimpleNamespace(loads=noting, JSONDecodeError=orjson.JSONDecodeError)
    )
    play(CHAT, [event.encode() for event in events], splice=True)
    return len(studied)


def test_a_stream_whose_events_are_never_alike_is_not_studied_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    form = 'data: {"place":%d,"choices":[{"delta":{"content":"a"}}]}\n\n'

    assert 0 < studies(monkeypatch, [form % n for n in range(1000)]) < 100


def test_what_ends_otherwise_than_the_event_before_it_is_not_studied(monkeypatch: pytest.MonkeyPatch) -> None:
    form = 'data: {"choices":[{"delta":{"content":"a"}}],"place":%d}\n\n'

    assert studies(monkeypatch, [form % n for n in range(1000)]) == 0


def test_what_is_much_shorter_than_the_event_before_it_is_not_studied(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    word = 'data: {"choices":[{"delta":{"content":"%s"}}],"usage":null}\n\n'
    finish = 'data: {"choices":[{"finish_reason":"stop"}],"usage":null}\n\n'

    assert studies(monkeypatch, [word % "one", word % ("word" * 9), finish]) == 0
    assert studies(monkeypatch, [word % "one", word % ("word" * 9), word % ("word" * 8)]) > 0
