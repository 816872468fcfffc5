"""The form of a stream, as an oracle that shares no code with the rewriter.

`check_stream` takes the bytes of a whole answer and the facts of its request,
and fails with the rule that is broken. It returns what the stream said, joined
as clients join it.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from openai.types.chat import ChatCompletionChunk

from proxy.wire.requests import Endpoint, Request

REASONS = {"stop", "length", "tool_calls", "content_filter", "function_call"}


@dataclass
class Said:
    """What one choice said, joined as a client joins it."""

    role: str | None = None
    texts: dict[str, str] = field(default_factory=dict)
    calls: list[dict[str, Any]] = field(default_factory=list)
    function_call: dict[str, str] | None = None
    finish: str | None = None


@dataclass
class Answer:
    """What a stream said, and how it ended."""

    choices: dict[int, Said] = field(default_factory=dict)
    usage: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    done: bool = False


def payloads(stream: bytes) -> list[str]:
    """Split a stream into the data of its events; nothing but `data: …` LF LF is allowed."""
    assert stream == b"" or stream.endswith(b"\n\n"), stream[-80:]
    text = stream.decode("utf-8")
    events = text.split("\n\n")
    assert events.pop() == ""
    for event in events:
        assert event.startswith("data: "), event
        assert "\n" not in event, event
        assert "\r" not in event, event
    return [event[6:] for event in events]


def check_stream(stream: bytes, request: Request, *, typed: bool = True) -> Answer:
    """Check a whole stream, frame by frame and as a whole.

    Args:
        stream: the bytes of the answer.
        request: the facts of the request that it answers.
        typed: also hold it against the openai package's types. An upstream's garbage
            in a key that no repair knows is not ours to judge.
    """
    answer = Answer()
    identities = set()
    for data in payloads(stream):
        assert not answer.done, f"after [DONE]: {data}"
        assert answer.error is None, f"after an error: {data}"
        if data == "[DONE]":
            answer.done = True
            continue
        chunk = json.loads(data, parse_constant=lambda name: pytest_fail(f"{name} is no JSON"))
        if chunk.get("error"):
            _check_error(chunk)
            answer.error = chunk["error"]
            continue
        if typed and request.endpoint is Endpoint.CHAT:
            ChatCompletionChunk.model_validate_json(data, strict=True)
        _check_chunk(chunk, data, request, answer)
        identities.add((chunk["id"], chunk["created"], chunk["model"], chunk["object"]))
    assert len(identities) <= 1, identities
    if answer.done:
        assert answer.choices, "[DONE] after nothing"
        for said in answer.choices.values():
            _check_finish(said, request)
        assert (answer.usage is not None) == request.include_usage
    else:
        assert answer.error is not None, "neither [DONE] nor an error"
    return answer


def pytest_fail(why: str) -> None:
    raise AssertionError(why)


def _check_finish(said: Said, request: Request) -> None:
    """A choice finishes once, with the reason that fits what it said."""
    assert said.finish, said
    named = request.named_tool and said.finish == "stop"
    if said.calls:
        assert not (request.functions and request.tools is None), "tool calls for functions"
        assert named or said.finish in {"tool_calls", "length", "content_filter"}, said
    elif said.function_call:
        assert request.tools is None, "a function call for tools"
        assert named or said.finish in {"function_call", "length", "content_filter"}, said
    else:
        assert said.finish not in {"tool_calls", "function_call"}, said


def _check_error(chunk: dict[str, Any]) -> None:
    assert set(chunk) == {"error"}, chunk
    error = chunk["error"]
    assert {"message", "type", "param", "code"} <= set(error), error
    assert isinstance(error["message"], str)
    assert error["message"]
    assert isinstance(error["type"], str)
    assert error["type"]
    assert isinstance(error["param"], str | None)
    assert isinstance(error["code"], str | None)


def _check_chunk(chunk: dict[str, Any], data: str, request: Request, answer: Answer) -> None:
    chat = request.endpoint is Endpoint.CHAT
    assert isinstance(chunk["id"], str)
    assert chunk["id"]
    assert chunk["object"] == ("chat.completion.chunk" if chat else "text_completion")
    assert type(chunk["created"]) is int
    assert chunk["created"] > 0
    assert isinstance(chunk["model"], str)
    assert chunk["model"]
    assert isinstance(chunk["choices"], list)
    if request.include_usage:
        assert "usage" in chunk, "usage was asked for"
    else:
        assert "usage" not in chunk, "usage was not asked for"
    if not chunk["choices"]:
        assert answer.usage is None, "two usage chunks"
        assert all(said.finish for said in answer.choices.values()), "usage before the end"
        assert {"prompt_tokens", "completion_tokens", "total_tokens"} <= set(chunk["usage"])
        answer.usage = chunk["usage"]
    else:
        assert chunk.get("usage") is None
        assert answer.usage is None, "a choice after the usage"
    for choice in chunk["choices"]:
        assert type(choice["index"]) is int
        assert choice["index"] >= 0
        said = answer.choices.setdefault(choice["index"], Said())
        assert said.finish is None, f"after the finish of choice {choice['index']}: {choice}"
        reason = choice["finish_reason"]
        assert reason is None or reason in REASONS, reason
        if chat and choice.get("logprobs"):
            assert {"content", "refusal"} <= set(choice["logprobs"]), choice
        if not chat:
            assert "logprobs" in choice, choice
        if chat:
            _join_delta(choice["delta"], said, answer)
        else:
            assert isinstance(choice["text"], str)
            said.texts["text"] = said.texts.get("text", "") + choice["text"]
        said.finish = reason


def _join_delta(delta: dict[str, Any], said: Said, answer: Answer) -> None:
    if said.role is None:
        assert delta.get("role") == "assistant", f"the first delta has no role: {delta}"
        said.role = delta["role"]
        for key in ("content", "reasoning", "reasoning_content"):
            assert not delta.get(key), f"text beside the role: {delta}"
    else:
        assert "role" not in delta, f"a second role: {delta}"
    for key in ("content", "reasoning", "reasoning_content", "refusal"):
        text = delta.get(key)
        assert text is None or isinstance(text, str), delta
        if text:
            said.texts[key] = said.texts.get(key, "") + text
    if "tool_calls" in delta:
        assert delta["tool_calls"], "no calls in tool_calls"
        for fragment in delta["tool_calls"]:
            _join_call(fragment, said, answer)
    if "function_call" in delta:
        call = delta["function_call"]
        assert isinstance(call["arguments"], str)
        if said.function_call is None:
            said.function_call = {"name": call["name"], "arguments": call["arguments"]}
        else:
            assert "name" not in call, call
            said.function_call["arguments"] += call["arguments"]


def _join_call(fragment: dict[str, Any], said: Said, answer: Answer) -> None:
    index = fragment["index"]
    assert type(index) is int
    function = fragment["function"]
    assert isinstance(function["arguments"], str), fragment
    if index == len(said.calls):
        ids = {call["id"] for one in answer.choices.values() for call in one.calls}
        assert isinstance(fragment["id"], str)
        assert fragment["id"]
        assert fragment["id"] not in ids, f"an id twice: {fragment}"
        assert fragment["type"] == "function"
        assert function["name"]
        said.calls.append(
            {"id": fragment["id"], "name": function["name"], "arguments": function["arguments"]}
        )
    else:
        assert 0 <= index < len(said.calls), f"a call at {index} after {len(said.calls)}"
        assert "id" not in fragment, fragment
        assert "type" not in fragment, fragment
        said.calls[index]["name"] += function.get("name") or ""
        said.calls[index]["arguments"] += function["arguments"]
