"""Streams with any subset of deviations come out valid, and mean what they meant."""

import itertools
import json
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from proxy.errors import UpstreamError, UpstreamTimeout, UpstreamTruncated
from proxy.wire.chunk import Origin
from proxy.wire.plan import Plan, compile_plan
from proxy.wire.repairs import CATALOGUE
from proxy.wire.report import StreamReport
from proxy.wire.requests import Endpoint, Request
from proxy.wire.rewriter import StreamRewriter
from tests.wire.cases import BEGAN, TOKEN
from tests.wire.contract import Answer, check_stream
from tests.wire.cuts import cut
from tests.wire.deviations import Deviant, deviant

PLAN = compile_plan()
CHAT = Request(Endpoint.CHAT, model="gpt-4", stream=True)
BROKEN = UpstreamTruncated("The upstream closed the connection.")


def rewrite(
    request: Request,
    pieces: Iterable[bytes],
    failure: UpstreamError | None = None,
    *,
    plan: Plan = PLAN,
    limit: int = 1 << 20,
) -> tuple[bytes, StreamReport]:
    rewriter = StreamRewriter(request, Origin(TOKEN, BEGAN), plan, event_limit=limit)
    frames = [frame for piece in pieces for frame in rewriter.receive_data(piece)]
    frames += rewriter.receive_failure(failure) if failure else rewriter.receive_eof()
    assert rewriter.ended
    assert rewriter.report.events_out == len(frames)
    assert (rewriter.failure is None) == (rewriter.report.outcome == "complete")
    assert rewriter.opened == any(not frame.startswith(b'data: {"error":') for frame in frames)
    return b"".join(frames), rewriter.report


def assert_means(answer: Answer, given: Deviant) -> None:
    assert answer.done
    assert sorted(answer.choices) == sorted(given.choices)
    for index, meant in given.choices.items():
        said = answer.choices[index]
        assert said.texts == meant.texts
        assert [(call["name"], call["arguments"]) for call in said.calls] == meant.calls
        assert said.finish == meant.finish
    if given.request.include_usage:
        assert answer.usage is not None
        assert {key: answer.usage[key] for key in given.usage} == given.usage


@given(deviant(compliant=True), st.lists(st.integers(0, 5000)))
def test_what_is_compliant_leaves_as_it_came(given: Deviant, places: list[int]) -> None:
    out, report = rewrite(given.request, cut(given.stream, places))

    assert out == given.stream
    assert report.repairs == {}
    assert_means(check_stream(out, given.request), given)


@settings(max_examples=700)
@given(deviant())
def test_any_deviations_at_once_come_out_valid_and_mean_the_same(given: Deviant) -> None:
    out, report = rewrite(given.request, [given.stream])

    assert_means(check_stream(out, given.request), given)
    assert set(report.repairs) <= set(CATALOGUE)


@settings(max_examples=100)
@given(deviant(), st.lists(st.integers(0, 5000)))
def test_no_cut_makes_a_difference(given: Deviant, places: list[int]) -> None:
    out, report = rewrite(given.request, [given.stream])

    assert rewrite(given.request, cut(given.stream, places)) == (out, report)


@settings(max_examples=100)
@given(deviant())
def test_what_left_passes_again_untouched(given: Deviant) -> None:
    out, _ = rewrite(given.request, [given.stream])
    again, report = rewrite(given.request, [out])

    assert again == out
    assert report.repairs == {}


def said_by(given: Deviant, size: int) -> tuple[set[int], bool]:
    """Which choices the upstream has finished with its first `size` bytes, and whether it has said [DONE]."""
    heard = [mark for mark in given.marks if mark.end <= size]
    return {index for mark in heard for index in mark.finished}, any(mark.done for mark in heard)


ENDS = st.sampled_from([None, BROKEN, UpstreamTimeout("The upstream sent nothing for 120 s.")])


@settings(max_examples=250)
@given(deviant(), ENDS, st.data())
def test_half_an_answer_never_passes_for_a_whole_one(
    given: Deviant, failure: UpstreamError | None, data: st.DataObject
) -> None:
    assume(given.wrong.get("open finish") != "everywhere")  # such an upstream never says that it is over
    size = data.draw(st.integers(0, len(given.stream)))
    out, report = rewrite(given.request, [given.stream[:size]], failure)

    answer = check_stream(out, given.request)
    finished, done = said_by(given, size)
    if not done:
        assert {index for index, said in answer.choices.items() if said.finish} <= finished
        if failure:
            assert not answer.done or finished == set(given.choices)
        else:
            assert not answer.done or finished == set(answer.choices)
    assert answer.done == (report.outcome == "complete")
    for index, said in answer.choices.items():
        for key, text in said.texts.items():
            assert given.choices[index].texts[key].startswith(text)


@settings(max_examples=30)
@given(deviant(compliant=True), ENDS)
def test_every_end_of_a_compliant_stream_is_one_of_two(given: Deviant, failure: UpstreamError | None) -> None:
    for mark, following in itertools.pairwise([*given.marks, None]):
        assert mark is not None
        out, report = rewrite(given.request, [given.stream[: mark.end + 2]], failure)
        finished, done = said_by(given, mark.end)
        begun = set(check_stream(out, given.request).choices)
        whole = done or (finished == set(given.choices) if failure else finished == begun)
        assert (report.outcome == "complete") is whole, following


def chunks(*choices: str, **keys: object) -> bytes:
    """Events of one choice each."""
    told = "".join(f'"{key}":{json.dumps(value)},' for key, value in keys.items())
    return b"".join(b'data: {%b"choices":[%b]}\n\n' % (told.encode(), choice.encode()) for choice in choices)


def calls(*fragments: str) -> bytes:
    """Events of one fragment of a tool call each, and the end."""
    deltas = [f'{{"delta":{{"tool_calls":[{fragment}]}}}}' for fragment in fragments]
    return chunks(*deltas, '{"delta":{},"finish_reason":"tool_calls"}') + b"data: [DONE]\n\n"


TOOLS = replace(CHAT, tools=frozenset({"f", "g"}))


def called(stream: bytes) -> list[tuple[str, str]]:
    answer = check_stream(rewrite(TOOLS, [stream])[0], TOOLS)
    assert answer.done, answer.error
    return [(call["name"], call["arguments"]) for call in answer.choices[0].calls]


def test_two_calls_of_one_function_under_one_id_are_two() -> None:
    opening = '{"index":%d,"id":"c","function":{"name":"f","arguments":""}}'
    going_on = '{"index":%d,"id":"c","function":{"arguments":"%s"}}'
    for first, second in ((0, 0), (0, 1)):
        fragments = [opening % first, going_on % (first, "{}"), opening % second, going_on % (second, "[]")]
        assert called(calls(*fragments)) == [("f", "{}"), ("f", "[]")]


def test_space_after_a_call_is_no_call() -> None:
    pieces = ["{}", "", "\\n", "", " "]
    fragments = [f'{{"index":0,"function":{{"arguments":"{piece}"}}}}' for piece in pieces]

    assert called(calls('{"index":0,"id":"c","function":{"name":"f"}}', *fragments)) == [("f", "{}\n ")]


def test_a_fragment_without_a_function_is_one_without_arguments() -> None:
    fragments = ['{"index":0,"id":"c","function":{"name":"f"}}', '{"index":0}', '{"index":0,"function":null}']

    assert called(calls(*fragments, '{"index":0,"function":{"arguments":"{}"}}')) == [("f", "{}")]


def test_a_call_without_an_id_in_a_chunk_without_one_is_no_preview() -> None:
    usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    pieces = ['{"function":{"name":"f","arguments":"{"}}', '{"function":{"arguments":"}"}}']
    stream = chunks(*(f'{{"delta":{{"tool_calls":[{piece}]}}}}' for piece in pieces), usage=usage)

    assert called(stream + b"data: [DONE]\n\n") == [("f", "{}")]


def test_calls_are_previews_also_where_the_id_changes() -> None:
    growing = ["{}", '{"a":1}', '{"a":1,"b":2}']
    stream = b"".join(
        b"data: %b\n\n"
        % json.dumps(
            {
                "id": f"id-{place}",
                "choices": [
                    {
                        "delta": {
                            "tool_calls": [
                                {
                                    "index": place,
                                    "id": f"id-{place}",
                                    "function": {"name": "f", "arguments": arguments},
                                }
                            ]
                        }
                    }
                ],
                "usage": {"total_tokens": 0},
            }
        ).encode()
        for place, arguments in enumerate(growing)
    )

    assert called(stream + b"data: [DONE]\n\n") == [("f", growing[-1])]


def test_lines_of_whole_bodies_that_stop_before_the_end_are_no_answer() -> None:
    line = (
        b'{"object":"chat.completion","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n'
    )

    assert rewrite(CHAT, [line * 2])[1].outcome == "upstream_truncated"


def test_an_answer_that_breaks_off_before_all_choices_have_begun_is_not_whole() -> None:
    two = replace(CHAT, choices=2)
    first = chunks('{"index":0,"delta":{"content":"a"}}', '{"index":0,"delta":{},"finish_reason":"stop"}')

    assert rewrite(two, [first], BROKEN)[1].outcome == "upstream_truncated"
    assert rewrite(CHAT, [first], BROKEN)[1].outcome == "complete"
    assert rewrite(two, [first])[1].outcome == "complete"  # a server that does not know `n`


def test_a_choice_that_says_nothing_beside_another_does_not_follow_its_own_finish() -> None:
    request = replace(CHAT, endpoint=Endpoint.COMPLETIONS, choices=2)
    stream = chunks(
        '{"index":0,"text":"a"}',
        '{"index":0,"text":"","finish_reason":"stop"}',
        '{"index":0,"text":""},{"index":1,"text":"b"}',
        '{"index":1,"text":"","finish_reason":"stop"}',
    )

    answer = check_stream(rewrite(request, [stream])[0], request)
    assert {index: said.texts for index, said in answer.choices.items()} == {
        0: {"text": "a"},
        1: {"text": "b"},
    }


def test_done_ends_the_stream_at_once_where_blank_lines_are_missing() -> None:
    rewriter = StreamRewriter(CHAT, Origin(TOKEN, BEGAN), PLAN)
    for event in chunks('{"delta":{"content":"a"}}', '{"delta":{}}', '{"delta":{"content":"b"}}').split(
        b"\n\n"
    ):
        rewriter.receive_data(event + b"\n" if event else b"")

    assert rewriter.receive_data(b"data: [DONE]\n")[-1] == b"data: [DONE]\n\n"
    assert rewriter.ended


SPELLINGS = ["[DONE]", "[done]", '"[DONE]"', "'[DONE]'", "[ DONE ]"]


@pytest.mark.parametrize("done", SPELLINGS)
@pytest.mark.parametrize("form", ["data: {}\n\n", "data: {}", "{}\n", "{}"])
def test_done_is_done_however_it_is_spelt_and_ended(done: str, form: str) -> None:
    delta = chunks('{"delta":{"content":"a"},"finish_reason":"stop"}', '{"delta":{"content":"b"}}')
    out, report = rewrite(CHAT, [delta + form.format(done).encode()])

    assert check_stream(out, CHAT).done
    assert report.outcome == "complete"
