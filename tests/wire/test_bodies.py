"""Whole bodies: what leaves is valid, what was right leaves untouched, nothing else escapes."""

import copy
import json
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import UpstreamError, UpstreamMalformed, UpstreamReported, error_body
from proxy.wire.bodies import reported_error, rewrite_body
from proxy.wire.chunk import Origin
from proxy.wire.plan import compile_plan
from proxy.wire.repairs import CATALOGUE, bodies, embeddings, lists, models
from proxy.wire.requests import Endpoint, Request, read_request
from proxy.wire.vectors import SMALL_BODY
from tests.wire.body_cases import BodyCase, all_bodies
from tests.wire.body_contract import check_body, check_error
from tests.wire.cases import BEGAN, TOKEN

CASES = all_bodies()
BODIES = [case for case in CASES if not case.is_stream and case.facts.get("status", 200) == 200]
ORIGIN = Origin(TOKEN, BEGAN)
PLAN = compile_plan()
CHAT = Request(Endpoint.CHAT, model="gpt-4")
case_of = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@case_of
def test_what_leaves_is_what_is_expected(case: BodyCase) -> None:
    out, status, repairs = case.play([case.upstream])
    assert out.decode() == case.expected.decode()
    assert status == case.facts.get("leaves", 200)
    assert repairs == case.facts["repairs"]


@case_of
def test_what_leaves_keeps_the_contract(case: BodyCase) -> None:
    if case.is_error:
        check_error(json.loads(case.expected))
    else:
        check_body(case.expected, case.request)


@case_of
def test_what_left_passes_again_with_the_same_bytes(case: BodyCase) -> None:
    if case.is_error:
        error, repairs = reported_error(case.facts["leaves"], "application/json", case.expected)
        assert error_body(error) == json.loads(case.expected)
    else:
        out, repairs = rewrite_body(case.expected, case.request, ORIGIN, PLAN)
        assert out == case.expected
    assert repairs == {}


def test_every_case_says_where_its_bytes_come_from() -> None:
    for case in CASES:
        assert len(case.facts["source"]) > 20, case.name
        assert set(case.facts["repairs"]) <= set(CATALOGUE), case.name


def test_what_bodies_share_with_streams_exists() -> None:
    for names in bodies.SHARED.values():
        assert names <= set(CATALOGUE)


@pytest.mark.parametrize(
    "name",
    [repair.name for repair in (*bodies.REPAIRS, *lists.REPAIRS, *embeddings.REPAIRS, *models.REPAIRS)],
)
def test_a_repair_that_is_off_does_nothing_and_is_not_counted(name: str) -> None:
    if CATALOGUE[name].fixed:
        with pytest.raises(KeyError):
            compile_plan({name: False})
        return
    plan = compile_plan({name: False})
    for case in BODIES:
        if case.name.startswith(f"{name}/") and not case.is_error:
            try:
                out, repairs = rewrite_body(case.upstream, case.request, case.origin, plan)
            except UpstreamMalformed:
                continue  # without it the body cannot be read
            assert name not in repairs
            assert out != case.expected or case.upstream == case.expected


# Requests and bodies that are right, and all that can be done to them at once.

TOOLS = [{"type": "function", "function": {"name": name}} for name in ("f", "g")]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
ARGUMENTS = st.dictionaries(TEXT, st.integers(-(2**63), 2**64 - 1) | TEXT, max_size=3).map(
    lambda value: json.dumps(value, ensure_ascii=False)
)
Body = dict[str, Any]
Deviation = Callable[[Body], None]


@st.composite
def right_bodies(draw: st.DrawFn) -> tuple[Request, Body]:
    """A compliant answer, and the request that it answers."""
    kind = draw(st.sampled_from(["text", "tools", "functions"]))
    count = draw(st.integers(1, 3))
    told: Body = {"model": "gpt-4", "n": count}
    told |= {"tools": TOOLS} if kind == "tools" else {}
    told |= {"functions": [{"name": "f"}]} if kind == "functions" else {}
    choices = []
    for index in range(count):
        message: Body = {"role": "assistant", "content": draw(TEXT), "refusal": None}
        reason = draw(st.sampled_from(["stop", "length", "content_filter"]))
        if kind == "tools":
            message["content"] = draw(st.none() | st.just("Let me see."))
            message["tool_calls"] = [
                {
                    "id": f"call_{index}_{place}",
                    "type": "function",
                    "function": {"name": draw(st.sampled_from("fg")), "arguments": draw(ARGUMENTS)},
                }
                for place in range(draw(st.integers(1, 3)))
            ]
            reason = "tool_calls"
        if kind == "functions":
            message["content"] = None
            message["function_call"] = {"name": "f", "arguments": draw(ARGUMENTS)}
            reason = "function_call"
        choices.append({"index": index, "message": message, "logprobs": None, "finish_reason": reason})
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "gpt-4",
        "choices": choices,
        "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
    }
    return read_request(Endpoint.CHAT, orjson.dumps(told)), body


def _each_choice(change: Callable[[Body], None]) -> Deviation:
    return lambda body: [change(choice) for choice in body["choices"]] and None


def _each_message(change: Callable[[Body], None]) -> Deviation:
    def apply(choice: Body) -> None:
        if isinstance(choice.get("message", choice.get("delta")), dict):
            change(choice.get("message", choice.get("delta")))

    return _each_choice(apply)


def _each_call(change: Callable[[Body], None]) -> Deviation:
    return _each_message(lambda message: [change(call) for call in message.get("tool_calls", ())] and None)


def _set(key: str, *values: Any) -> list[Callable[[Body], None]]:
    return [lambda place, value=value: place.update({key: copy.deepcopy(value)}) for value in values]


def _drop(key: str) -> Callable[[Body], None]:
    return lambda place: place.pop(key, None) and None


def _empty_content(message: Body) -> None:
    if message.get("content") is None:
        message["content"] = ""


def _parsed_arguments(call: Body) -> None:
    arguments = call["function"].get("arguments")
    if isinstance(arguments, str):
        call["function"]["arguments"] = json.loads(arguments)


def _unwrap(call: Body) -> None:
    call |= call.pop("function")


#: Each line is one place; of each line at most one deviation is taken.
DEVIATIONS: list[list[Deviation]] = [
    [_drop("id"), *_set("id", None, "", 7)],
    [_drop("object"), *_set("object", "", "text_completion", "chat.completion.chunk")],
    [_drop("created"), *_set("created", 0, None, -1, "1700000000", 1700000000.5, 1700000000123)],
    [_drop("model"), *_set("model", None, "")],
    [_drop("usage"), *_set("usage", None, {}, {"prompt_tokens": 9}, {"input_tokens": 9, "output_tokens": 3})],
    [_each_choice(_drop("index")), *map(_each_choice, _set("index", 0, None, 5, "0"))],
    [_each_choice(_drop("logprobs"))],
    [
        _each_choice(_drop("finish_reason")),
        *map(_each_choice, _set("finish_reason", None, "", "null", "eos", "end_turn", "STOP", "tool_use", 3)),
    ],
    [_each_message(_drop("role")), *map(_each_message, _set("role", None, "", "model"))],
    [_each_message(_drop("refusal"))],
    [_each_message(_empty_content)],
    [_each_message(lambda message: message.setdefault("tool_calls", []) and None)],
    [_each_call(_drop("id")), *map(_each_call, _set("id", None, "", 5, "same", "chatcmpl-1"))],
    [_each_call(_drop("type")), *map(_each_call, _set("type", None, ""))],
    [*map(_each_call, _set("index", 0, 1))],
    [_each_call(_parsed_arguments)],
    [_each_call(_unwrap)],
    [_each_choice(lambda choice: choice.update(delta=choice.pop("message")))],
]


def said(body: Body) -> list[Any]:
    """What the choices of a body say, in their order."""
    return [
        (
            choice["message"]["content"] or "",
            [
                (call["function"]["name"], json.loads(call["function"]["arguments"]))
                for call in choice["message"].get("tool_calls") or ()
            ],
            choice["message"].get("function_call"),
        )
        for choice in body["choices"]
    ]


@given(
    right=right_bodies(),
    chosen=st.tuples(*(st.sampled_from([None, *line]) for line in DEVIATIONS)),
)
@settings(max_examples=400)
def test_any_deviations_at_once_come_out_valid(
    right: tuple[Request, Body], chosen: tuple[Deviation | None, ...]
) -> None:
    request, body = right
    deviating = copy.deepcopy(body)
    for deviation in filter(None, chosen):
        deviation(deviating)
    out, repairs = rewrite_body(orjson.dumps(deviating), request, ORIGIN, PLAN)
    assert said(check_body(out, request)) == said(body)
    assert rewrite_body(out, request, ORIGIN, PLAN) == (out, {})
    assert bool(repairs) == (out != orjson.dumps(deviating))


@given(right=right_bodies(), spaced=st.booleans())
def test_a_right_body_leaves_with_its_own_bytes(right: tuple[Request, Body], spaced: bool) -> None:
    request, body = right
    data = json.dumps(body, indent=2).encode() + b"\n" if spaced else orjson.dumps(body)
    assert rewrite_body(data, request, ORIGIN, PLAN) == (data, {})


JUNK = st.sampled_from(
    [
        None,
        True,
        False,
        0,
        -1,
        2,
        1.5,
        1e300,
        "",
        "x",
        "error",
        [],
        {},
        [None],
        [[]],
        [{}],
        {"x": None},
        ["x"],
        [1],
    ]
)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found += _paths(item, (*path, key))
    return found


def _with(value: Any, path: tuple[Any, ...], junk: Any) -> Any:
    junk = copy.deepcopy(junk)
    if not path:
        return junk
    place = value
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = junk
    return value


def valid_or_error(data: bytes, request: Request) -> None:
    """A body that keeps the contract leaves, and passes again; or an upstream's error in its form."""
    try:
        out, _ = rewrite_body(data, request, ORIGIN, PLAN)
    except UpstreamError as error:
        failure = error
    else:
        check_body(out, request, typed=False)
        assert rewrite_body(out, request, ORIGIN, PLAN) == (out, {})
        return
    check_error(json.loads(orjson.dumps(error_body(failure))))
    assert 400 <= failure.status <= 599


@given(data=st.data())
@settings(max_examples=1000)
def test_junk_in_any_place_makes_a_valid_body_or_an_error(data: st.DataObject) -> None:
    case = data.draw(st.sampled_from(BODIES))
    try:
        body = json.loads(case.upstream)
    except ValueError:
        body = {"choices": [{"message": {"content": "Hi"}}]}
    for _ in range(data.draw(st.integers(1, 3))):
        body = _with(body, data.draw(st.sampled_from(_paths(body))), data.draw(JUNK))
    valid_or_error(json.dumps(body).encode(), case.request)


@given(data=st.data())
@settings(max_examples=500)
def test_mutated_bytes_make_a_valid_body_or_an_error(data: st.DataObject) -> None:
    case = data.draw(st.sampled_from(BODIES))
    body = bytearray(case.upstream)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(body)))
        length = data.draw(st.integers(0, 3) | st.integers(0, len(body)))
        body[place : place + length] = data.draw(
            st.binary(max_size=4) | st.sampled_from([b'"', b"{", b"]", b","])
        )
    valid_or_error(bytes(body), case.request)


@given(body=st.binary(max_size=200), endpoint=st.sampled_from(list(Endpoint)))
def test_random_bytes_make_an_error(body: bytes, endpoint: Endpoint) -> None:
    valid_or_error(body, Request(endpoint, model="m"))


@given(
    body=st.binary(max_size=200) | st.sampled_from([case.upstream for case in CASES]),
    status=st.integers(400, 599),
    content_type=st.text(max_size=20) | st.sampled_from(["text/html; charset=x", "a/b;charset=utf-16", ""]),
)
def test_any_error_body_makes_an_error_with_its_status(body: bytes, status: int, content_type: str) -> None:
    error, counts = reported_error(status, content_type, body)
    check_error(json.loads(orjson.dumps(error_body(error))))
    assert error.status == status
    assert set(counts) <= set(CATALOGUE)


@pytest.mark.parametrize("depth", [100, 300, 700, 990, 1_020, 2_000, 200_000])
def test_a_body_nested_deeply_is_rewritten_or_refused(depth: int) -> None:
    data = b'{"choices":[{"message":{"content":"Hi"}}],"x":' + b"[" * depth + b"]" * depth + b"}"
    valid_or_error(data, CHAT)


@pytest.mark.parametrize("depth", [*range(960, 1_030, 5), 5_000])
def test_arguments_nested_deeply_are_written_or_refused(depth: int) -> None:
    call = b'{"function":{"name":"f","arguments":' + b"[" * depth + b"]" * depth + b"}}"
    valid_or_error(b'{"choices":[{"message":{"tool_calls":[%b]}}]}' % call, CHAT)


@pytest.mark.parametrize("endpoint", Endpoint)
@pytest.mark.parametrize("key", ["choices", "data"])
@pytest.mark.parametrize("items", ["[1]", '["a"]', "[[{}]]", "[null]", '[{"message":{"tool_calls":5}}]'])
def test_what_another_endpoint_means_by_a_key_can_be_anything(
    endpoint: Endpoint, key: str, items: str
) -> None:
    own = {"choices": '"data":[{"embedding":[1],"id":"m"}]', "data": '"choices":[{"text":"Hi"}]'}[key]
    valid_or_error(f'{{"{key}":{items},{own}}}'.encode(), Request(endpoint, model="m"))


@pytest.mark.parametrize("beside", [b"1" * 30, b"[" * 300 + b"]" * 300])
def test_what_is_hard_to_write_beside_many_vectors_stays(beside: bytes) -> None:
    item = b'{"embedding":[%b0.5],"x":%b}' % (b"0.25," * SMALL_BODY, beside)
    out, _ = rewrite_body(b'{"data":[%b]}' % item, Request(Endpoint.EMBEDDINGS, model="m"), ORIGIN, PLAN)

    assert b'"x":' + beside in out
    assert len(json.loads(out)["data"][0]["embedding"]) == SMALL_BODY + 1


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "The upstream answered with an empty body."),
        (b" \n", "The upstream answered with an empty body."),
        (b'{"id":"x","choices":[', "The upstream answered with a body that is not valid JSON: {"),
        (b"null", "The upstream sent a body that is no JSON object."),
        (b"[]", "The upstream sent a body that is no JSON object."),
        (b"{}", "The upstream sent a body whose 'choices' cannot be read."),
        (b'{"choices":[]}', "The upstream sent a body whose 'choices' cannot be read."),
        (b'{"choices":[1]}', "The upstream sent a body whose 'choices' cannot be read."),
    ],
)
def test_what_is_no_answer_is_an_error_that_says_so(body: bytes, message: str) -> None:
    with pytest.raises(UpstreamMalformed) as raised:
        rewrite_body(body, CHAT, ORIGIN, PLAN)
    assert str(raised.value).startswith(message)
    assert raised.value.status == 502


def test_a_nameless_call_is_an_error() -> None:
    call = {"id": "call_1", "type": "function", "function": {"arguments": "{}"}}
    body = orjson.dumps({"choices": [{"message": {"tool_calls": [call]}, "finish_reason": "tool_calls"}]})
    with pytest.raises(UpstreamMalformed, match="names no function"):
        rewrite_body(body, read_request(Endpoint.CHAT, orjson.dumps({"tools": TOOLS})), ORIGIN, PLAN)


def test_a_call_of_another_kind_is_an_error_where_only_functions_are_known() -> None:
    call = {"id": "call_1", "type": "custom", "custom": {"name": "f", "input": "1"}}
    body = orjson.dumps({"choices": [{"message": {"tool_calls": [call]}, "finish_reason": "tool_calls"}]})
    with pytest.raises(UpstreamMalformed, match="names no function"):
        rewrite_body(body, Request(Endpoint.CHAT, functions=True), ORIGIN, PLAN)


def test_a_count_that_no_server_reaches_is_none() -> None:
    usage = {"prompt_tokens": 2**60, "completion_tokens": 1, "total_tokens": 4}
    body = orjson.dumps({"choices": [{"message": {"content": "Hi"}}], "usage": usage})
    out, repairs = rewrite_body(body, CHAT, ORIGIN, PLAN)

    assert json.loads(out)["usage"] == {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
    assert repairs["incomplete-usage"] == 1


def test_an_error_says_what_was_counted_before_it() -> None:
    with pytest.raises(UpstreamReported) as raised:
        rewrite_body(b'{"error":{"code":429,"message":"Slow down"}}', CHAT, ORIGIN, PLAN)
    assert raised.value.status == 429
    assert raised.value.repairs == {"numeric-error-code": 1, "incomplete-error": 1}


def test_the_model_is_the_client_s_name_where_it_is_mapped() -> None:
    body = b'{"object":"list","data":[],"model":"bge","usage":{"prompt_tokens":0,"total_tokens":0}}'
    request = Request(Endpoint.EMBEDDINGS, model="text-embedding-3-small")
    out, repairs = rewrite_body(body, request, Origin(TOKEN, BEGAN, mapped=True), PLAN)
    assert json.loads(out)["model"] == "text-embedding-3-small"
    assert repairs == {"changing-model": 1}


@pytest.mark.parametrize(
    "body", [b'{"embedding":[1,2]}', b'{"embeddings":[[0.5]]}', b'{"data":{"vector":[1]}}']
)
def test_vectors_in_a_foreign_form_are_no_empty_list(body: bytes) -> None:
    request = Request(Endpoint.EMBEDDINGS, "m")
    with pytest.raises(UpstreamMalformed, match="no list under 'data'"):
        rewrite_body(body, request, Origin("0" * 24, 1), compile_plan())


@pytest.mark.parametrize("more", [b'{"more":1}', b'{"more":1}[DONE]', b"oops[DONE]"])
def test_what_follows_a_body_and_is_no_end_makes_it_none(more: bytes) -> None:
    body = b'{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}]}' + more
    with pytest.raises(UpstreamMalformed, match="not valid JSON"):
        rewrite_body(body, CHAT, ORIGIN, PLAN)
