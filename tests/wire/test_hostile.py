"""Whatever an upstream sends, a valid stream or a visible error leaves, in bounded memory."""

import json
import tracemalloc
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import UpstreamError
from proxy.wire.chunk import Origin
from proxy.wire.plan import compile_plan
from proxy.wire.repairs import CATALOGUE
from proxy.wire.requests import Endpoint, Request
from proxy.wire.rewriter import StreamRewriter
from tests.wire.cases import BEGAN, TOKEN, all_cases
from tests.wire.contract import check_stream, payloads
from tests.wire.cuts import cut
from tests.wire.test_rewriter import BROKEN, CHAT, ENDS, rewrite

FIXTURES = [case for case in all_cases() if not case.facts.get("switches")]
PIECES = [
    *(b"data: ", b"data:", b"\n\n", b"\n", b"\r\n", b"[DONE]", b"event: error\n", b"error: "),
    b"\xef\xbb\xbf",
    *(b"{", b"}", b"[", b"]", b'"', b"\\", b":", b",", b"null", b"0", b"-1", b"1e999", b"NaN", b"true"),
    b'""',
    *(b'"choices":', b'"delta":', b'"content":', b'"finish_reason":', b'"stop"', b'"index":'),
    b'"tool_calls":',
    *(b'"function":', b'"function_call":', b'"arguments":', b'"name":', b'"id":', b'"usage":', b'"error":'),
    *(b'"message":', b'"text":', b'"logprobs":', b'"role":', b'"custom":', b'"object":'),
    b'"chat.completion"',
    *(b"\xff", b"\xed\xa0\x80", b"\\ud83d", b"\\udc00", b"\0", b"<html>"),
]  # fmt: skip
REQUESTS = st.builds(
    Request,
    endpoint=st.sampled_from([Endpoint.CHAT, Endpoint.COMPLETIONS]),
    model=st.sampled_from([None, "gpt-4"]),
    stream=st.just(True),
    include_usage=st.booleans(),
    choices=st.integers(1, 2),
    tools=st.sampled_from([None, frozenset(), frozenset({"f"})]),
    functions=st.booleans(),
    named_tool=st.booleans(),
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """The bytes of a fixture, with some of them exchanged, doubled or lost."""
    stream = draw(st.sampled_from(FIXTURES)).upstream[:3000]
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(stream)))
        end = draw(st.integers(start, min(start + 40, len(stream))))
        again = draw(
            st.sampled_from([b"", stream[start:end] * 2]) | st.sampled_from(PIECES) | st.binary(max_size=4)
        )
        stream = stream[:start] + again + stream[end:]
    return stream


@settings(max_examples=150)
@given(
    mutated() | st.lists(st.sampled_from(PIECES), max_size=40).map(b"".join) | st.binary(max_size=200),
    REQUESTS,
    ENDS,
)
def test_whatever_comes_a_valid_stream_or_an_error_leaves(
    stream: bytes, request: Request, failure: UpstreamError | None
) -> None:
    out, report = rewrite(request, [stream], failure)

    answer = check_stream(out, request)
    assert answer.done == (report.outcome == "complete")
    assert set(report.repairs) <= set(CATALOGUE)


@given(mutated(), REQUESTS, st.lists(st.integers(0, 3000)))
def test_whatever_comes_no_cut_makes_a_difference(stream: bytes, request: Request, places: list[int]) -> None:
    assert rewrite(request, cut(stream, places)) == rewrite(request, [stream])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 9) | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([name.decode()[1:-2] for name in PIECES if name.endswith(b'":')]), inner
        )
    ),
    max_leaves=12,
)


@st.composite
def strange_chunks(draw: st.DrawFn) -> bytes:
    """Chunks whose every part may be anything."""
    chunks = draw(
        st.lists(
            st.fixed_dictionaries(
                {"choices": st.lists(JSON_CHOICES, max_size=2) | JSON},
                optional={"usage": JSON, "id": JSON, "created": JSON, "model": JSON, "object": JSON},
            ),
            max_size=4,
        )
    )
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks) + draw(
        st.sampled_from([b"", b"data: [DONE]\n\n"])
    )


CALLS = (
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "index": JSON,
                "id": JSON,
                "type": JSON,
                "custom": JSON,
                "function": st.fixed_dictionaries(
                    {}, optional={"name": JSON | st.just("f"), "arguments": JSON | st.just("{}")}
                )
                | JSON,
            },
        ),
        max_size=3,
    )
    | JSON
)
DELTAS = (
    st.fixed_dictionaries(
        {},
        optional={
            "role": JSON,
            "content": JSON,
            "reasoning": JSON,
            "tool_calls": CALLS,
            "function_call": JSON,
            "refusal": JSON,
        },
    )
    | JSON
)
JSON_CHOICES = st.fixed_dictionaries(
    {},
    optional={
        "index": st.integers(0, 1) | JSON,
        "delta": DELTAS,
        "text": JSON,
        "message": DELTAS,
        "finish_reason": st.sampled_from([None, "stop", "tool_calls"]) | JSON,
        "logprobs": JSON,
        "usage": JSON,
    },
)


@settings(max_examples=150)
@given(strange_chunks(), REQUESTS)
def test_chunks_of_anything_leave_as_a_valid_stream_or_an_error(stream: bytes, request: Request) -> None:
    out, _ = rewrite(request, [stream])

    check_stream(out, request)


AWKWARD = {
    "a delta beside a completion's text": (b'{"choices":[{"delta":null,"text":"a"}]}', "completions"),
    "tool calls that are a number": (b'{"choices":[{"delta":{"tool_calls":5}}]}', "chat"),
    "a tool call of a list": (b'{"choices":[{"delta":{"tool_calls":[{"function":[]}]}}]}', "chat"),
    "a tool call that is named late, as another kind": (
        (b'{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{"}},'
        b'{"index":0,"custom":{"name":"f"}}]}}]}'),
        "chat",
    ),
    "a function call that is a number": (b'{"choices":[{"delta":{"function_call":5}}]}', "chat"),
    "a function that is a number": (b'{"choices":[{"delta":{"function_call":{"name":5}}}]}', "chat"),
    "a function without a name": (b'{"choices":[{"delta":{"function_call":{"arguments":"{}"}}}]}', "chat"),
    "a second call before the first is named": (
        b'{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a"},{"index":1,"function":{"name":"f"}}]}}]}',
        "chat",
    ),
    "log probabilities in a list": (b'{"choices":[{"delta":{"content":"a"},"logprobs":[null]}]}', "chat"),
    "log probabilities of a number": (b'{"choices":[{"delta":{},"logprobs":{"content":5}}]}', "chat"),
    "log probabilities of nothing": (b'{"choices":[{"delta":{},"logprobs":{"content":[{}]}}]}', "chat"),
    "old log probabilities without any": (
        b'{"choices":[{"delta":{},"logprobs":{"tokens":["a"],"token_logprobs":5,"top_logprobs":5}}]}',
        "chat",
    ),
    "a completion's in a list": (b'{"choices":[{"text":"a","logprobs":[null]}]}', "completions"),
    "nesting": (b'{"choices":' + b"[" * 5000 + b"]" * 5000 + b"}", "chat"),
}  # fmt: skip


@pytest.mark.parametrize(("chunk", "endpoint"), AWKWARD.values(), ids=AWKWARD)
def test_no_chunk_is_too_awkward(chunk: bytes, endpoint: str) -> None:
    request = Request(Endpoint(endpoint), model="gpt-4", stream=True)
    for stream in (b"data: %b\n\n" % chunk, b"data: %b\n\ndata: [DONE]\n\n" % chunk):
        check_stream(rewrite(request, [stream])[0], request)


def test_what_nobody_can_read_of_log_probabilities_is_dropped() -> None:
    out, report = rewrite(
        CHAT, [b'data: {"choices":[{"delta":{"content":"a"},"logprobs":[null]}]}\n\ndata: [DONE]\n\n']
    )

    assert b'"content":"a"},"logprobs":null' in out
    assert report.repairs["malformed-logprobs"] == 1


NESTED = {
    "in a finish frame that is written anew": b'{"choices":[{"delta":{},"finish_reason":"eos"}],"x":%b}',
    "in the usage": b'{"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":1,"x":%b}}',
    "in usage after the end": b'{"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'
    b'data: [DONE]\n\ndata: {"choices":[],"usage":{"prompt_tokens":1,"x":%b}}',
    "in arguments": b'{"choices":[{"delta":{"tool_calls":[{"function":{"name":"f","arguments":%b}}]}}]}',
}


@pytest.mark.parametrize("stream", NESTED.values(), ids=NESTED)
@pytest.mark.parametrize("depth", [*range(960, 1_030, 5), 5_000])
@pytest.mark.parametrize("failure", [None, BROKEN], ids=["ended", "broken"])
def test_nesting_that_can_be_read_and_not_written_is_an_error(
    stream: bytes, depth: int, failure: UpstreamError | None
) -> None:
    request = replace(CHAT, include_usage=True)
    out, report = rewrite(request, [b"data: %b\n\n" % stream % (b"[" * depth + b"]" * depth)], failure)

    last = payloads(out)[-1]
    assert (last == "[DONE]") == (report.outcome == "complete")
    assert (last == "[DONE]") != last.startswith('{"error":')


def test_a_long_stream_takes_no_more_memory_than_a_short_one() -> None:
    rewriter = StreamRewriter(CHAT, Origin(TOKEN, BEGAN), compile_plan())
    event = b'data: {"choices":[{"delta":{"role":"assistant","content":"%b"}}]}\n\n' % (b"x" * 100)
    rewriter.receive_data(event * 10)
    tracemalloc.start()
    try:
        for _ in range(5_000):
            rewriter.receive_data(event)
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert grown < 50_000


@pytest.mark.parametrize(
    "endless", [b"x", b"data: x", b'{"a":"', b"[[", b"\n", b": \n", b"data: x\n", b"hello\n"]
)
def test_an_endless_stream_of_nothing_takes_no_more_memory_than_the_limit(endless: bytes) -> None:
    rewriter = StreamRewriter(CHAT, Origin(TOKEN, BEGAN), compile_plan(), event_limit=1 << 16)
    tracemalloc.start()
    try:
        for _ in range(1_000):
            rewriter.receive_data(endless * 100)
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert grown < 200_000


def test_an_event_above_the_limit_is_an_error() -> None:
    out, report = rewrite(CHAT, [b"data: " + b"x" * 100 + b"\n\n"], limit=100)

    error = check_stream(out, CHAT).error
    assert error is not None
    assert error["message"] == "The upstream sent an event of more than 100 bytes."
    assert report.outcome == "upstream_malformed"
