"""Each repair can be switched off by itself: the others go on, and it is not counted."""

import orjson
import pytest

from proxy.wire.chunk import Origin
from proxy.wire.plan import compile_plan
from proxy.wire.repairs import CATALOGUE
from proxy.wire.requests import Endpoint, Request
from proxy.wire.rewriter import StreamRewriter
from tests.wire.cases import BEGAN, TOKEN, Case, all_cases
from tests.wire.contract import check_stream

CASES = all_cases()
SWITCHABLE = {repair.name for repair in CATALOGUE.values() if not repair.fixed}
OFF = [
    pytest.param(case, name, id=f"{case.name}-{name}")
    for case in CASES
    for name in sorted(SWITCHABLE & set(case.facts["repairs"]))
]


def play_without(case: Case, *names: str) -> tuple[bytes, dict[str, int], str]:
    switches = case.facts.get("switches", {}) | dict.fromkeys(names, False)
    switched = Case(case.name, case.upstream, b"", case.facts | {"switches": switches})
    out, report = switched.play([case.upstream])
    return out, report.repairs, report.outcome


@pytest.mark.parametrize(("case", "name"), OFF)
def test_without_one_repair_the_others_go_on(case: Case, name: str) -> None:
    out, repairs, outcome = play_without(case, name)
    assert name not in repairs
    assert outcome != "open"
    assert out.endswith(b"\n\n")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_without_any_repair_every_stream_still_ends(case: Case) -> None:
    out, repairs, outcome = play_without(case, *SWITCHABLE)
    assert not SWITCHABLE & set(repairs)
    assert outcome != "open"
    assert out.endswith(b"\n\n")


def test_calls_that_are_null_are_none_of_the_functions_asked_for() -> None:
    plan = compile_plan({"empty-tool-calls": False})
    request = Request(Endpoint.CHAT, stream=True, functions=True)
    rewriter = StreamRewriter(request, Origin(TOKEN, BEGAN), plan)
    frames = rewriter.receive_data(b'data: {"choices":[{"delta":{"content":"Hi","tool_calls":null}}]}\n\n')

    assert b'"delta":{"content":"Hi","tool_calls":null}' in b"".join(frames)


def test_choices_that_only_their_places_tell_apart_stay_apart() -> None:
    plan = compile_plan({"missing-index": False})
    request = Request(Endpoint.CHAT, stream=True, choices=2)
    rewriter = StreamRewriter(request, Origin(TOKEN, BEGAN), plan)
    said = [
        [{"delta": {"role": "assistant", "content": ""}}, {"delta": {"role": "assistant", "content": ""}}],
        [{"delta": {"content": "A"}}, {"delta": {"content": "B"}}],
        [{"delta": {}, "finish_reason": "stop"}, {"delta": {"content": "B"}}],
        [{"delta": {}}, {"delta": {}, "finish_reason": "length"}],
    ]
    events = [b"data: " + orjson.dumps({"choices": choices}) + b"\n\n" for choices in said]
    frames = [frame for event in events for frame in rewriter.receive_data(event)] + rewriter.receive_eof()
    answer = check_stream(b"".join(frames), request)

    assert {index: choice.finish for index, choice in answer.choices.items()} == {0: "stop", 1: "length"}
    assert [choice.texts["content"] for choice in answer.choices.values()] == ["A", "BB"]
    assert "missing-index" not in rewriter.report.repairs


@pytest.mark.parametrize("reason", ["[]", "{}", "7", "true", '["stop"]'])
def test_a_reason_that_no_repair_may_correct_passes(reason: str) -> None:
    plan = compile_plan(dict.fromkeys(SWITCHABLE, False))
    rewriter = StreamRewriter(Request(Endpoint.CHAT, stream=True), Origin(TOKEN, BEGAN), plan)
    chunk = b'{"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":%b}]}' % reason.encode()
    frames = rewriter.receive_data(b"data: %b\n\ndata: %b\n\ndata: [DONE]\n\n" % (chunk, chunk))

    assert b"".join(frames).count(b'"content":"Hi"') == 2
    assert rewriter.ended
