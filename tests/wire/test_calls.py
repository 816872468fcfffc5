"""Which call a fragment belongs to, where the fixtures do not show it."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import UpstreamMalformed
from proxy.wire.calls import CallTracker, Fragment
from proxy.wire.chunk import Origin
from proxy.wire.plan import compile_plan
from proxy.wire.requests import Endpoint, Request
from proxy.wire.rewriter import StreamRewriter
from tests.wire.cuts import cut

ROME, OSLO = '{"city":"Rome"}', '{"city":"Oslo"}'
COMPLETION = "chatcmpl-1"


def tracker(*tools: str) -> CallTracker:
    made = itertools.count(1)
    taken: set[str] = set()

    def new_id(upstream_id: str | None) -> str:
        call_id = upstream_id if upstream_id and upstream_id not in taken else f"made-{next(made)}"
        taken.add(call_id)
        return call_id

    return CallTracker(frozenset(tools), new_id)


def wire(arguments: Any = None, name: Any = None, **keys: Any) -> dict[str, Any]:
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    return keys | ({"function": function} if function else {})


def take(calls: CallTracker, *wires: dict[str, Any], fold: bool = True) -> list[Fragment]:
    return calls.identify(list(wires), COMPLETION, fold=fold)


def said(calls: CallTracker) -> list[tuple[str, str]]:
    return [(call.name, call.arguments.text) for call in calls.calls]


def test_another_name_before_any_arguments_is_another_call_where_the_tools_say_so() -> None:
    calls = tracker("f", "g")
    take(calls, wire("", "f", index=0))
    take(calls, wire("", "g", index=0))
    assert [(call.index, call.name) for call in calls.calls] == [(0, "f"), (1, "g")]


def test_another_name_is_another_call_once_arguments_have_begun() -> None:
    calls = tracker()
    take(calls, wire('{"ci', "f", index=0))
    take(calls, wire(OSLO, "g", index=0))
    assert said(calls) == [("f", '{"ci'), ("g", OSLO)]


def test_another_name_without_any_sign_cannot_be_placed() -> None:
    calls = tracker("other")
    take(calls, wire("", "f", index=0))
    with pytest.raises(UpstreamMalformed, match="names another function"):
        take(calls, wire("", "g", index=0))


def test_a_name_under_its_own_id_and_index_is_a_piece_of_the_name() -> None:
    calls = tracker()
    take(calls, wire("", "get_", index=0, id="a"))
    take(calls, wire("", "weather", index=0, id="a"))
    assert said(calls) == [("get_weather", "")]


def test_a_new_id_that_names_nothing_cannot_go_on_with_complete_arguments() -> None:
    calls = tracker()
    take(calls, wire(ROME, "f", index=0, id="a"))
    with pytest.raises(UpstreamMalformed, match="its id is new"):
        take(calls, wire(OSLO, index=0, id="b"))


def test_a_new_id_beside_a_name_takes_over_the_call_that_had_none() -> None:
    calls = tracker()
    take(calls, wire("", "f", index=0))
    take(calls, wire(ROME, "f", index=0, id="late"))
    assert said(calls) == [("f", ROME)]


def test_arguments_after_several_complete_calls_at_one_index_cannot_be_placed() -> None:
    calls = tracker()
    take(calls, wire(ROME, "f", index=0, id="a"))
    take(calls, wire(OSLO, "f", index=0, id="b"))
    with pytest.raises(UpstreamMalformed, match="calls before it are complete"):
        take(calls, wire("{}", index=0))


def test_white_space_after_complete_calls_belongs_to_the_last() -> None:
    calls = tracker()
    take(calls, wire(ROME, "f", id="a"), wire(OSLO, "f", id="b"))
    [fragment] = take(calls, wire("\n"))
    assert fragment.call is calls.calls[1]


def test_arrays_of_another_size_than_the_first_are_not_matched_by_place() -> None:
    calls = tracker()
    take(calls, wire("", "f"), wire("", "g"))
    with pytest.raises(UpstreamMalformed, match="several calls are open"):
        take(calls, wire("{"), wire("{"), wire("{"))


def test_the_latest_array_that_opened_calls_is_the_one_that_goes_on_by_place() -> None:
    calls = tracker()
    take(calls, wire(ROME, "f", id="a"), wire(ROME, "f", id="b"))
    take(calls, wire("", "g", id="c"), wire("", "h", id="d"))
    take(calls, wire("{}"), wire("[]"))
    assert said(calls) == [("f", ROME), ("f", ROME), ("g", "{}"), ("h", "[]")]


def test_the_completion_s_id_is_no_call_s() -> None:
    calls = tracker()
    take(calls, wire(ROME, "f", index=0, id=COMPLETION), wire(OSLO, "g", index=1, id=COMPLETION))
    assert [call.id for call in calls.calls] == ["made-1", "made-2"]


@pytest.mark.parametrize("nothing", [True, False, -1, "0", 0.0, None, [], {}])
def test_what_is_no_index_is_as_good_as_none(nothing: object) -> None:
    calls = tracker()
    take(calls, wire(ROME, "f", index=nothing, id="a"), wire(OSLO, "f", index=nothing, id="b"))
    assert [call.upstream_index for call in calls.calls] == [None, None]


@pytest.mark.parametrize(("given_id", "own"), [(7, "7"), (True, "made-1"), ("", "made-1"), ([1], "made-1")])
def test_only_strings_and_whole_numbers_are_ids(given_id: object, own: str) -> None:
    calls = tracker()
    take(calls, wire(ROME, "f", index=0, id=given_id))
    assert calls.calls[0].id == own


@pytest.mark.parametrize("name", [None, "", 5, ["f"]])
def test_what_is_no_name_lets_the_call_wait(name: object) -> None:
    calls = tracker()
    assert take(calls, wire("", name, index=0, id="a")) == []
    assert calls.nameless
    [fragment] = take(calls, wire("", "f", index=0))
    assert (fragment.opening, fragment.call.id, calls.nameless) == (True, "a", False)


def test_the_beginning_of_a_tool_s_name_waits_for_the_rest_until_arguments_come() -> None:
    calls = tracker("get", "get_weather", "get_time")
    assert take(calls, wire("", "get_", index=0)) == []
    [fragment] = take(calls, wire("{", index=0))
    assert (fragment.name, fragment.wire["function"]["arguments"]) == ("get_", "{")


@pytest.mark.parametrize("name", ["get", "get_weather", "unknown"])
def test_a_tool_s_whole_name_and_a_stranger_s_do_not_wait(name: str) -> None:
    [fragment] = take(tracker("get", "get_weather"), wire("", name, index=0))
    assert (fragment.opening, fragment.name) == (True, name)


def test_what_stood_in_waiting_fragments_leaves_with_the_name() -> None:
    calls = tracker()
    take(calls, wire('{"a', index=0, id="x", extra_content=1, note=1))
    [fragment] = take(calls, wire('":1}', "f", index=0, note=2))
    assert fragment.wire == {
        "index": 0,
        "note": 2,
        "function": {"name": "f", "arguments": '{"a":1}'},
        "extra_content": 1,
    }


def test_a_call_that_comes_whole_again_is_left_out_and_told() -> None:
    calls = tracker()
    take(calls, wire(ROME, "f", index=0, id="a"))
    assert take(calls, wire(ROME, "f", index=0, id="a")) == []
    assert calls.repeats == 1
    [fragment] = take(calls, wire(ROME, "f", index=0, id="a"), fold=False)
    assert (fragment.opening, fragment.call.index, fragment.call.id) == (True, 1, "made-1")


def test_other_arguments_at_another_index_are_no_repetition() -> None:
    calls = tracker()
    take(calls, wire(ROME, "f", index=0, id="a"))
    take(calls, wire(ROME, "f", index=1, id="b"))
    assert said(calls) == [("f", ROME), ("f", ROME)]


def test_a_custom_call_is_known_by_its_index() -> None:
    calls = tracker()
    take(calls, {"index": 0, "id": "a", "type": "custom", "custom": {"name": "sh", "input": ""}})
    [fragment] = take(calls, {"index": 0, "custom": {"input": "ls"}})
    assert (fragment.opening, fragment.call.name) == (False, "sh")
    assert fragment.wire == {"index": 0, "custom": {"input": "ls"}}


def test_a_stream_with_a_custom_call_leaves_as_it_came() -> None:
    head = {"id": COMPLETION, "object": "chat.completion.chunk", "created": 1, "model": "m"}
    deltas = [
        {
            "role": "assistant",
            "tool_calls": [{"index": 0, "id": "a", "type": "custom", "custom": {"name": "sh", "input": ""}}],
        },
        {"tool_calls": [{"index": 0, "custom": {"input": "ls"}}]},
    ]
    choices = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": "tool_calls"})
    frames = [b"data: %s\n\n" % json.dumps(head | {"choices": [choice]}).encode() for choice in choices]
    stream = b"".join(frames) + b"data: [DONE]\n\n"
    rewriter = StreamRewriter(Request(Endpoint.CHAT, tools=frozenset()), Origin("t" * 24, 1), compile_plan())
    out = b"".join(rewriter.receive_data(stream) + rewriter.receive_eof())
    assert rewriter.report.repairs == {}
    assert out == stream


def test_a_call_whose_fragments_never_left_begins_with_its_name() -> None:
    calls = tracker()
    take(calls, wire(ROME, "f", index=0, id="a"))
    call = calls.begin("g")
    assert (call.index, call.name, call.id, calls.nameless) == (1, "g", "made-1", False)


def test_a_long_call_costs_what_it_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = tracker()
    take(calls, wire("{", "f", index=0, id="a"))
    read = []
    monkeypatch.setattr(
        "proxy.wire.arguments.Arguments.text", property(lambda self: read.append(len(self._pieces)) or "")
    )
    for _ in range(500):
        take(calls, wire("[", index=0))
    assert read == []


@st.composite
def spoilt_calls(draw: st.DrawFn) -> tuple[list[tuple[str, str]], list[dict[str, Any]]]:
    """Calls one after the other, and their fragments with faults that leave them told apart."""
    ids = draw(st.sampled_from(["own", "none", "shared", "first", "completion"]))
    indices = draw(st.sampled_from(["right", "none", "zero", "one-based", "counter"]))
    names = draw(st.sampled_from(["first", "each", "empty later"]))
    if names == "each" and indices == "counter" and ids in ("none", "first", "completion"):
        names = "first"  # a name at a new index, without an id, is a new call
    values = st.dictionaries(
        st.sampled_from(["a", 'b"', "{"]), st.integers() | st.text(max_size=4), max_size=3
    )
    calls = draw(st.lists(st.tuples(st.sampled_from(["f", "g", "ff"]), values.map(json.dumps)), max_size=4))
    fragments: list[dict[str, Any]] = []
    for number, (name, arguments) in enumerate(calls):
        places = draw(st.lists(st.integers(1, len(arguments)), max_size=3))
        pieces = [piece.decode() for piece in cut(arguments.encode(), places)]
        if draw(st.booleans()):
            pieces.insert(0, "")
        for place, piece in enumerate(pieces):
            first = place == 0
            fragment = wire(piece, name if first or names == "each" else "" if names != "first" else None)
            told = {"own": f"id-{number}", "shared": "call_0", "completion": COMPLETION}.get(ids)
            if ids == "first" and first:
                told = f"id-{number}"
            if told:
                fragment["id"] = told
            at = {"right": number, "zero": 0, "one-based": number + 1, "counter": len(fragments)}.get(indices)
            if at is not None:
                fragment["index"] = at
            fragments.append(fragment)
    return calls, fragments


@given(spoilt=spoilt_calls())
def test_calls_one_after_the_other_are_told_apart(
    spoilt: tuple[list[tuple[str, str]], list[dict[str, Any]]],
) -> None:
    expected, wires = spoilt
    calls = tracker("f", "g", "ff")
    opened: list[int] = []
    for one in wires:
        for fragment in take(calls, one, fold=False):
            assert fragment.opening == (fragment.call.index not in opened)
            opened += [fragment.call.index] if fragment.opening else []
    assert said(calls) == expected
    assert opened == list(range(len(expected)))
    assert len({call.id for call in calls.calls}) == len(expected)
