"""A stream that answers a request for a body: folded into it, whatever way it is cut."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import UpstreamError, UpstreamMalformed, UpstreamReported, UpstreamTruncated, error_body
from proxy.wire.bodies import rewrite_body
from proxy.wire.chunk import Origin
from proxy.wire.convert import SNIFFED, StreamFolder, sniff
from proxy.wire.plan import compile_plan
from proxy.wire.repairs import CATALOGUE
from proxy.wire.requests import Endpoint, Request, read_request
from proxy.wire.rewriter import StreamRewriter
from tests.wire.body_cases import BodyCase, all_bodies
from tests.wire.body_contract import check_body, check_error
from tests.wire.cases import BEGAN, TOKEN, Case, all_cases
from tests.wire.contract import check_stream

FOLDED = [case for case in all_bodies() if case.is_stream]
#: Bodies that answer, and that a stream can say as well.
WHOLES = [
    case
    for case in all_bodies()
    if not case.is_stream
    and case.facts.get("status", 200) == 200
    and not case.facts.get("switches")
    and case.request.endpoint in (Endpoint.CHAT, Endpoint.COMPLETIONS)
    and "custom" not in case.name
    and "content_type" not in case.facts  # a stream is UTF-8
]
STREAMS = [case for case in all_cases() if not case.facts.get("switches")]
ORIGIN = Origin(TOKEN, BEGAN)
PLAN = compile_plan()
CHAT = Request(Endpoint.CHAT, model="gpt-4")


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    body = {"id": "c-1", "object": "chat.completion.chunk", "created": 1700000000, "model": "m"}
    return b"data: " + orjson.dumps(body | {"choices": [choice]} | more) + b"\n\n"


def fold(data: bytes, request: Request = CHAT, **limits: int) -> tuple[dict[str, Any], dict[str, int]]:
    folder = StreamFolder(request, ORIGIN, PLAN, **limits)
    folder.receive_data(data)
    return check_body(folder.receive_eof(), request), folder.repairs


def check_texts(message: dict[str, Any], said: dict[str, str]) -> None:
    """What a message says is what a stream said."""
    for key in ("content", "reasoning", "reasoning_content", "refusal", "text"):
        assert (message.get(key) or "") == said.get(key, ""), key


WHOLE = chunk({"role": "assistant", "content": ""}) + chunk({"content": "Hi"}) + chunk({}, "stop")
DONE = b"data: [DONE]\n\n"


@pytest.mark.parametrize("case", FOLDED, ids=lambda case: case.name)
@given(data=st.data())
@settings(max_examples=10)
def test_any_cuts_make_no_difference(case: BodyCase, data: st.DataObject) -> None:
    edges = sorted(data.draw(st.lists(st.integers(0, len(case.upstream)))))
    pieces = [case.upstream[start:end] for start, end in zip([0, *edges], [*edges, None], strict=True)]
    assert case.play(pieces) == case.play([case.upstream])


@pytest.mark.parametrize("case", STREAMS, ids=lambda case: case.name)
def test_a_folded_stream_says_what_the_stream_says(case: Case) -> None:
    asked = case.facts["request"]["body"]
    request = read_request(case.request.endpoint, orjson.dumps(asked | {"stream": False}))
    plan = compile_plan(missing_finish=case.facts.get("on_missing_finish", "error"))
    folder = StreamFolder(request, ORIGIN, plan, event_limit=case.facts.get("event_limit", 1 << 20))
    answer = check_stream(case.expected, case.request)
    out, failure = b"", None
    try:
        folder.receive_data(case.upstream)
        ends = case.facts.get("ends", "cleanly")
        out = folder.receive_eof() if ends == "cleanly" else folder.receive_failure(UpstreamTruncated("Cut."))
    except UpstreamError as error:
        failure = error
    if failure is not None:
        check_error(error_body(failure))
        assert answer.error is not None
        assert set(failure.repairs) <= set(CATALOGUE)
        return
    assert answer.done
    body = check_body(out, request)
    assert rewrite_body(out, request, ORIGIN, PLAN) == (out, {})
    for choice in body["choices"]:
        said = answer.choices[choice["index"]]
        message = choice.get("message", choice)
        check_texts(message, said.texts)
        calls = [{"id": call["id"], **call["function"]} for call in message.get("tool_calls", ())]
        assert len(calls) == len(said.calls)
        assert all(call | their == call for call, their in zip(calls, said.calls, strict=True))
        assert choice["finish_reason"] == said.finish


@pytest.mark.parametrize("include_usage", [False, True])
@pytest.mark.parametrize("case", WHOLES, ids=lambda case: case.name)
def test_a_body_that_answers_a_request_for_a_stream_says_the_same_there(
    case: BodyCase, include_usage: bool
) -> None:
    told = case.facts["request"]["body"] | {
        "stream": True,
        "stream_options": {"include_usage": include_usage},
    }
    request = read_request(case.request.endpoint, orjson.dumps(told))
    rewriter = StreamRewriter(request, case.origin, PLAN)
    out = b"".join(rewriter.receive_data(case.upstream) + rewriter.receive_eof())
    answer = check_stream(out, request)
    assert answer.done is not case.is_error
    if case.is_error:
        return
    body = json.loads(case.expected)
    assert answer.usage == (body["usage"] if include_usage else None)
    assert sorted(answer.choices) == [choice["index"] for choice in sorted(body["choices"], key=_index)]
    for choice in body["choices"]:
        said = answer.choices[choice["index"]]
        message = choice.get("message", choice)
        check_texts(message, said.texts)
        calls = [{"id": call["id"], **call["function"]} for call in message.get("tool_calls", ())]
        assert calls == said.calls
        assert message.get("function_call") == said.function_call
        assert choice["finish_reason"] == said.finish


def _index(choice: dict[str, Any]) -> int:
    return int(choice["index"])


def test_a_body_reports_usage_that_stood_beside_choices() -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}
    body, repairs = fold(WHOLE.replace(b'"model":"m"', b'"model":"m","usage":' + orjson.dumps(usage)) + DONE)
    assert body["usage"] == usage
    assert repairs == {"stream-for-body": 1}


def test_unknown_keys_are_kept_at_every_level() -> None:
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}}
    data = (
        chunk({"role": "assistant", "content": None}, system_fingerprint="fp", obfuscation="xx")
        + chunk({"reasoning_details": [{"text": "a"}], "thinking": "Let "})
        + chunk({"reasoning_details": [{"text": "b"}], "thinking": "me", "sound": {"data": "QQ", "n": 1}})
        + chunk({"sound": {"data": "==", "n": 2}, "tool_calls": [call | {"extra_content": {"s": "x"}}]})
        + chunk({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}, provider="Acme")
        + chunk({}, "tool_calls", provider=None)
        + DONE
    )
    tools = [{"type": "function", "function": {"name": "f"}}]
    body, _ = fold(data, read_request(Endpoint.CHAT, orjson.dumps({"tools": tools})))
    message = body["choices"][0]["message"]
    assert message["reasoning_details"] == [{"text": "a"}, {"text": "b"}]
    assert message["thinking"] == "Let me"
    assert message["sound"] == {"data": "QQ==", "n": 2}
    assert message["tool_calls"][0]["extra_content"] == {"s": "x"}
    assert message["tool_calls"][0]["function"] == {"name": "f", "arguments": "{}"}
    assert (body["system_fingerprint"], body["provider"]) == ("fp", "Acme")
    assert "obfuscation" not in body


@pytest.mark.parametrize("delta", ["Hi", {"tool_calls": None}, {"content": "Hi"}], ids=str)
def test_a_completion_may_have_a_delta_that_means_nothing(delta: Any) -> None:
    choice = {"index": 0, "text": "Hi", "delta": delta, "finish_reason": "stop"}
    request = Request(Endpoint.COMPLETIONS, model="m")
    body, _ = fold(b"data: " + orjson.dumps({"choices": [choice]}) + b"\n\ndata: [DONE]\n\n", request)

    assert body["choices"][0]["text"] == "Hi"
    assert body["choices"][0]["delta"] == delta


def test_calls_may_be_null_where_that_is_left_as_it_is() -> None:
    folder = StreamFolder(CHAT, ORIGIN, compile_plan({"empty-tool-calls": False}))
    folder.receive_data(chunk({"role": "assistant", "content": "Hi", "tool_calls": None}))
    folder.receive_data(chunk({}, "stop") + b"data: [DONE]\n\n")

    assert orjson.loads(folder.receive_eof())["choices"][0]["message"]["content"] == "Hi"


def test_a_number_that_no_parser_holds_is_none() -> None:
    huge = b"1" + b"0" * 400
    body, counts = fold(WHOLE.replace(b'"content":"Hi"', b'"content":"Hi","huge":' + huge) + DONE)

    assert body["choices"][0]["message"]["huge"] is None
    assert counts["rough-json"] == 1


def test_a_number_that_no_parser_holds_is_none_in_usage_after_the_end() -> None:
    late = b'data: {"choices":[],"usage":{"prompt_tokens":3,"huge":1%b}}\n\n' % (b"0" * 400)
    body, _ = fold(WHOLE + DONE + late)

    assert body["usage"]["prompt_tokens"] == 3
    assert body["usage"]["huge"] is None


def test_deeply_nested_extras_do_not_stop_it() -> None:
    deep: Any = "x"
    for _ in range(100):
        deep = {"in": deep}
    body, _ = fold(WHOLE.replace(b'"content":"Hi"', b'"content":"Hi","deep":' + orjson.dumps(deep)) + DONE)
    assert body["choices"][0]["message"]["deep"] == deep


def test_it_says_when_nothing_more_need_be_read() -> None:
    folder = StreamFolder(CHAT, ORIGIN, PLAN)
    folder.receive_data(WHOLE)
    assert not folder.ended
    folder.receive_data(DONE)
    assert folder.done
    assert not folder.ended
    folder.receive_data(b'data: {"usage":{"prompt_tokens":9,"completion_tokens":1}}\n\n')
    assert folder.ended
    assert check_body(folder.receive_eof(), CHAT)["choices"][0]["message"]["content"] == "Hi"


def test_an_error_is_raised_as_soon_as_it_comes() -> None:
    folder = StreamFolder(CHAT, ORIGIN, PLAN)
    folder.receive_data(chunk({"role": "assistant", "content": "Hal"}))
    with pytest.raises(UpstreamReported) as raised:
        folder.receive_data(b'data: {"error":{"code":429,"message":"Slow down"}}\n\n')
    assert raised.value.status == 429
    assert raised.value.repairs["numeric-error-code"] == 1


def test_a_break_after_the_finish_loses_nothing_and_before_it_all() -> None:
    folder = StreamFolder(CHAT, ORIGIN, PLAN)
    folder.receive_data(WHOLE)
    assert check_body(folder.receive_failure(UpstreamTruncated("Reset.")), CHAT)
    assert folder.repairs["broken-after-finish"] == 1
    folder = StreamFolder(CHAT, ORIGIN, PLAN)
    folder.receive_data(chunk({"role": "assistant", "content": "Hal"}))
    with pytest.raises(UpstreamTruncated, match=r"Reset\."):
        folder.receive_failure(UpstreamTruncated("Reset."))


@pytest.mark.parametrize("endpoint", [Endpoint.EMBEDDINGS, Endpoint.EDITS, Endpoint.MODELS])
def test_a_stream_where_there_can_be_none_is_an_error(endpoint: Endpoint) -> None:
    with pytest.raises(UpstreamMalformed, match="a stream, where there is none to be had"):
        StreamFolder(Request(endpoint), ORIGIN, PLAN)


def test_an_answer_that_is_too_long_is_an_error() -> None:
    size = len(WHOLE + DONE)
    assert fold(WHOLE + DONE, body_limit=size)
    assert fold(WHOLE + DONE, body_limit=0)
    with pytest.raises(UpstreamMalformed, match="longer than"):
        fold(WHOLE + DONE, body_limit=size - 1)
    with pytest.raises(UpstreamMalformed, match="an event of more than 50 bytes"):
        fold(WHOLE + DONE, event_limit=50)


def test_a_long_answer_is_folded_whole() -> None:
    pieces = 20_000
    body, _ = fold(
        WHOLE.replace(chunk({}, "stop"), chunk({"content": "x"}) * pieces + chunk({}, "stop")) + DONE
    )
    assert body["choices"][0]["message"]["content"] == "Hi" + "x" * pieces


def test_switches_hold_for_the_folded_body_too() -> None:
    plan = compile_plan({"missing-usage": False, "missing-index": False, "missing-refusal": False})
    folder = StreamFolder(CHAT, ORIGIN, plan)
    folder.receive_data(WHOLE.replace(b'"index":0,', b"") + DONE)
    body = json.loads(folder.receive_eof())
    assert body["choices"][0]["message"]["content"] == "Hi"
    assert "usage" not in body
    assert not {"missing-usage", "missing-index", "missing-refusal"} & set(folder.repairs)


@given(data=st.lists(st.binary(max_size=30) | st.sampled_from([WHOLE, DONE, chunk({"content": "x"})])))
def test_anything_makes_a_body_or_an_error(data: list[bytes]) -> None:
    folder = StreamFolder(CHAT, ORIGIN, PLAN)
    try:
        for piece in data:
            folder.receive_data(piece)
        out = folder.receive_eof()
    except UpstreamError as error:
        check_error(error_body(error))
    else:
        check_body(out, CHAT)


CHUNK_LINE = b'{"object":"chat.completion.chunk","choices":[{"delta":{}}]}\n'
BODY_LINE = b'{"object":"text_completion","choices":[{"text":"x"}]}\n'
SNIFFS = {
    "nothing": ("text/event-stream", b"", None),
    "blank lines": ("application/json", b"\n \n", None),
    "a BOM": ("application/json", b"\xef\xbb\xbf", None),
    "the beginning of a BOM": ("application/json", b"\xef\xbb", None),
    "an event": ("application/json", b"data: {", "events"),
    "an event after a BOM": ("application/json", b"\xef\xbb\xbfdata:", "events"),
    "an event's name": ("", b"event: message\n", "events"),
    "a comment": ("", b": ping\n", "events"),
    "the beginning of a field": ("", b"dat", None),
    "an object": ("text/event-stream", b'{"id":', None),
    "an object on several lines": ("text/event-stream", b'{\n "id":', "body"),
    "a body and a line end": ("text/event-stream", BODY_LINE, None),
    "a body and an end of stream": ("", BODY_LINE + b"\ndata: [DONE]\n\n", "body"),
    "a chunk on a line": ("application/json", CHUNK_LINE, "events"),
    "two objects on lines": ("application/json", BODY_LINE + BODY_LINE[:1], "events"),
    "an object, said to be on lines": ("application/x-ndjson", b"{", "events"),
    "a list": ("application/json", b"[\n", "body"),
    "a page": ("text/html", b"<html>", "body"),
    "text": ("text/plain", b"Internal Server Error", "body"),
    "text, said to be events": ("text/event-stream; charset=utf-8", b"hello", "events"),
    "a long line": ("application/json", b'{"x":"' + b"x" * SNIFFED, "body"),
    "many blanks": ("application/json", b" " * SNIFFED, "body"),
}


@pytest.mark.parametrize(("content_type", "first", "kind"), SNIFFS.values(), ids=SNIFFS)
def test_the_first_bytes_tell_a_stream_from_a_body(content_type: str, first: bytes, kind: str | None) -> None:
    assert sniff(content_type, first) == kind
    assert sniff(content_type, first, at_end=True) == (kind or "body")


@given(
    content_type=st.text(max_size=10), first=st.binary(max_size=50) | st.sampled_from([WHOLE, BODY_LINE * 2])
)
def test_what_is_sniffed_is_sniffed_again_with_more_bytes(content_type: str, first: bytes) -> None:
    decided = None
    for length in range(len(first) + 1):
        kind = sniff(content_type, first[:length])
        assert decided is None or kind == decided
        decided = decided or kind


@given(content_type=st.text(max_size=20), first=st.binary(max_size=100), at_end=st.booleans())
def test_sniffing_never_fails(content_type: str, first: bytes, at_end: bool) -> None:
    kind = sniff(content_type, first, at_end=at_end)
    assert kind in ("events", "body", None)
    assert kind or not at_end
