"""Tools for servers that know functions: what is asked, what is told, and the answer's way back."""

from typing import Any

import orjson
import pytest
from openai.types.chat import (
    ChatCompletionAssistantMessageParam,
    ChatCompletionFunctionCallOptionParam,
    ChatCompletionFunctionMessageParam,
)
from openai.types.chat.completion_create_params import Function
from pydantic import TypeAdapter

from proxy.errors import InvalidRequest
from proxy.wire.chunk import Origin
from proxy.wire.plan import compile_plan
from proxy.wire.requests import Endpoint, read_request
from proxy.wire.rewriter import StreamRewriter
from proxy.wire.translations import compile_translations
from tests.wire.cases import BEGAN, FIXTURES, TOKEN, load
from tests.wire.contract import check_stream
from tests.wire.translations.asking import Request, call, result, tool, translate

CLOCK, WEATHER = tool("clock"), tool("weather", properties={"city": {"type": "string"}})


def functions(request: Request) -> Request:
    return translate(request, "no-tools")[0]


def conversation(*messages: Any) -> list[Any]:
    """Tell a conversation, and check each message against OpenAI's legacy forms."""
    told = functions({"messages": list(messages)})["messages"]
    for message in told:
        if "function_call" in message:
            TypeAdapter(ChatCompletionAssistantMessageParam).validate_python(message, strict=True)
            assert "tool_calls" not in message
        if message["role"] == "function":
            TypeAdapter(ChatCompletionFunctionMessageParam).validate_python(message, strict=True)
            assert set(message) == {"role", "name", "content"}
    return told


def called(name: str, arguments: str = "{}", content: str | None = None) -> dict[str, Any]:
    return {
        "role": "assistant",
        "content": content,
        "function_call": {"name": name, "arguments": arguments},
    }


def told_result(name: str, content: Any) -> dict[str, Any]:
    return {"role": "function", "name": name, "content": content}


# --- what is asked


def test_tools_are_declared_as_functions() -> None:
    strict = {"type": "function", "function": {**CLOCK["function"], "strict": True, "description": "now"}}
    told = functions({"tools": [strict, WEATHER], "parallel_tool_calls": True, "n": 1})
    assert told == {"n": 1, "functions": [{**CLOCK["function"], "description": "now"}, WEATHER["function"]]}
    for function in told["functions"]:
        TypeAdapter(Function).validate_python(function, strict=True)


@pytest.mark.parametrize(
    ("tools", "choice", "function_call"),
    [
        ([CLOCK], "auto", "auto"),
        ([CLOCK], "none", "none"),
        ([CLOCK], "required", {"name": "clock"}),
        ([CLOCK, WEATHER], "required", None),
        ([CLOCK, WEATHER], {"type": "function", "function": {"name": "weather"}}, {"name": "weather"}),
        ([CLOCK, WEATHER], {"type": "function", "name": "weather"}, {"name": "weather"}),
        ([CLOCK], None, None),
    ],
)
def test_choice_is_made_in_legacy_words(tools: list[Any], choice: Any, function_call: Any) -> None:
    told = functions({"tools": tools, "tool_choice": choice})
    assert told.get("function_call") == function_call
    assert "tool_choice" not in told
    if isinstance(function_call, dict):
        TypeAdapter(ChatCompletionFunctionCallOptionParam).validate_python(function_call, strict=True)


def test_functions_of_the_clients_own_stay() -> None:
    told = functions({"functions": [{"name": "own"}], "tools": [CLOCK]})
    assert told["functions"] == [{"name": "own"}, CLOCK["function"]]


@pytest.mark.parametrize("tools", [None, [], {}, "clock"])
def test_no_tools_are_left_alone(tools: Any) -> None:
    request = {"tools": tools, "tool_choice": "auto", "messages": "Hi"}
    assert translate(request, "no-tools") == (request, {})


# --- what is told


def test_call_and_its_result_are_told_with_the_functions_name() -> None:
    assert conversation(
        {"role": "user", "content": "What time is it?"},
        {"role": "assistant", "content": "Let me look.", "tool_calls": [call("call_1", "clock")]},
        result("call_1", "12:30"),
        {"role": "assistant", "content": "Half past twelve."},
    ) == [
        {"role": "user", "content": "What time is it?"},
        called("clock", content="Let me look."),
        told_result("clock", "12:30"),
        {"role": "assistant", "content": "Half past twelve."},
    ]


def test_several_calls_become_messages_of_their_own_each_with_its_result() -> None:
    assert conversation(
        {
            "role": "assistant",
            "content": "Both.",
            "tool_calls": [call("a", "clock"), call("b", "weather", '{"city":"Rome"}')],
        },
        result("b", "sunny"),
        result("a", "12:30"),
    ) == [
        called("clock", content="Both."),
        told_result("clock", "12:30"),
        called("weather", '{"city":"Rome"}'),
        told_result("weather", "sunny"),
    ]


@pytest.mark.parametrize("shared", ["call_1", None])
def test_results_of_calls_that_share_an_id_are_taken_in_order(shared: str | None) -> None:
    assert conversation(
        {"role": "assistant", "tool_calls": [call(shared, "clock"), call(shared, "weather")]},
        result(shared, "12:30"),
        result(shared, "sunny"),
    ) == [
        called("clock"),
        told_result("clock", "12:30"),
        called("weather"),
        told_result("weather", "sunny"),
    ]


def test_ids_that_each_turn_uses_again_mean_the_latest_call() -> None:
    told = conversation(
        {"role": "assistant", "tool_calls": [call("call_0", "clock")]},
        result("call_0", "12:30"),
        {"role": "assistant", "tool_calls": [call("call_0", "weather")]},
        {"role": "user", "content": "Well?"},
        result("call_0", [{"type": "text", "text": "sun"}, {"type": "text", "text": "ny"}]),
    )
    assert told[1] == told_result("clock", "12:30")
    assert told[4] == told_result("weather", "sunny")


def test_result_that_names_its_function_needs_no_call() -> None:
    assert conversation(result("lost", "12:30", name="clock")) == [told_result("clock", "12:30")]


def test_arguments_that_are_missing_are_empty() -> None:
    assert conversation({"role": "assistant", "tool_calls": [call("a", "clock", None)]}) == [
        called("clock", "")
    ]


def test_every_change_is_counted() -> None:
    messages = [{"role": "assistant", "tool_calls": [call("a", "clock")]}, result("a", "12:30")]
    _, counts = translate({"tools": [CLOCK], "messages": messages}, "no-tools")
    assert counts == {"no-tools": 3}


def test_many_calls_are_told_in_linear_time() -> None:
    ids = [f"call_{number}" for number in range(20_000)]
    answers = [result(call_id, call_id) for call_id in reversed(ids)]
    calls = {"role": "assistant", "tool_calls": [call(call_id, "clock") for call_id in ids]}
    told = functions({"messages": [calls, *answers]})["messages"]
    assert [message["content"] for message in told[1::2]] == ids


# --- what cannot be said


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        ({"tools": [CLOCK, {"type": "custom", "custom": {"name": "x"}}]}, "tools[1]"),
        ({"tools": ["clock"]}, "tools[0]"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0]"),
        ({"tools": [CLOCK], "tool_choice": {"type": "allowed_tools"}}, "tool_choice"),
        ({"tools": [CLOCK], "tool_choice": "any"}, "tool_choice"),
        ({"messages": [result("call_1", "12:30")]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "assistant", "tool_calls": "clock"}]}, "messages[0].tool_calls"),
        ({"messages": [{"role": "assistant", "tool_calls": [None]}]}, "messages[0].tool_calls[0]"),
        (
            {"messages": ["x", {"tool_calls": [call("a", "clock"), {"type": "custom"}]}]},
            "messages[1].tool_calls[1]",
        ),
        (
            {"messages": [{"tool_calls": [call("a", "clock")]}, result("a", ""), result("b", "")]},
            "messages[2].tool_call_id",
        ),
    ],
)
def test_what_has_no_legacy_word_is_refused_by_its_place(request_: Request, param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        translate(request_, "no-tools")
    assert refused.value.param == param


# --- the answer's way back


@pytest.mark.parametrize("index", [b"", b'"index":0,'], ids=["v1.21.0", "v1.22.0"])
def test_tools_asked_of_a_localai_of_july_2023_come_back_as_streamed_calls(index: bytes) -> None:
    case = load(FIXTURES / "localai-eras" / "d-v1.21.0-chat-functions.upstream.sse")
    legacy = case.facts["request"]["body"]
    asked = {key: value for key, value in legacy.items() if key != "functions"}
    asked["tools"] = [{"type": "function", "function": function} for function in legacy["functions"]]
    body = orjson.dumps({**asked, "model": "gpt-4o", "stream_options": {"include_usage": True}})

    sent, counts = compile_translations("localai-v1").apply(body, "ggml-gpt4all-j")
    assert orjson.loads(sent) == {**legacy, "stream_options": {"include_usage": True}}
    assert counts == {"no-tools": 1}

    request = read_request(Endpoint.CHAT, body)
    rewriter = StreamRewriter(request, Origin(TOKEN, BEGAN, mapped=True), compile_plan())
    start = b'{"finish_reason":"function_call"'
    answer = case.upstream.replace(start, b"{" + index + start[1:])
    stream = b"".join([*rewriter.receive_data(answer), *rewriter.receive_eof()])

    said = check_stream(stream, request).choices[0]
    assert said.finish == "tool_calls"
    assert said.function_call is None
    assert [(made["name"], made["arguments"]) for made in said.calls] == [("get_weather", '{"city":"Rome"}')]
    assert said.calls[0]["id"].startswith("call_")
    assert rewriter.report.outcome == "complete"
    assert rewriter.report.repairs["function-call-for-tools"] == 1
    assert b'"model":"gpt-4o"' in stream
