"""The form of a whole body, as an oracle that shares no code with the rewriter.

`check_body` takes the bytes that leave and the facts of the request, and fails
with the rule that is broken: the openai package's own types, strictly, and what
they leave optional although OpenAI always sends it.
"""

import base64
import json
from collections.abc import Callable
from typing import Any

from openai.pagination import SyncPage
from openai.types import Completion, CreateEmbeddingResponse, Model
from openai.types.chat import ChatCompletion

from proxy.wire.requests import Endpoint, Request

REASONS = {"stop", "length", "tool_calls", "content_filter", "function_call"}
TEXT_REASONS = {"stop", "length", "content_filter"}
COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")


def check_body(data: bytes, request: Request, *, typed: bool = True) -> dict[str, Any]:
    """Check a whole body.

    Args:
        data: the body.
        request: the facts of the request that it answers.
        typed: also hold it against the openai package's types. An upstream's garbage
            in a key that no repair knows is not ours to judge.
    """
    body = json.loads(data.decode("utf-8"), parse_constant=_no_constant)
    assert isinstance(body, dict), body
    assert not body.get("error"), body
    _CHECKS[request.endpoint](body, request)
    kind = _type_of(body, request)
    if typed and kind is not None:
        kind.model_validate_json(data, strict=True)
    if typed and request.base64:
        for item in body["data"]:
            assert len(base64.b64decode(item["embedding"], validate=True)) % 4 == 0
    return body


def check_error(body: dict[str, Any]) -> None:
    """Check that an error has OpenAI's four keys, and is alone."""
    assert set(body) == {"error"}, body
    error = body["error"]
    assert {"message", "type", "param", "code"} <= set(error), error
    for key in ("message", "type"):
        assert isinstance(error[key], str), error
        assert error[key], error
    for key in ("param", "code"):
        assert isinstance(error[key], str | None), error


def _no_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def _type_of(body: dict[str, Any], request: Request) -> Any:
    match request.endpoint:
        case Endpoint.CHAT:
            return ChatCompletion
        case Endpoint.COMPLETIONS:
            return Completion
        case Endpoint.EMBEDDINGS:  # the types know vectors only as the client decodes them
            return None if request.base64 else CreateEmbeddingResponse
        case Endpoint.MODELS:
            return SyncPage[Model] if "data" in body else Model
        case _:
            return None


def _check_chat(body: dict[str, Any], request: Request) -> None:
    _check_envelope(body, "chat.completion")
    ids: list[str] = []
    for choice in body["choices"]:
        assert choice["finish_reason"] in REASONS, choice
        assert "logprobs" in choice, choice
        assert choice["logprobs"] is None or {"content", "refusal"} <= set(choice["logprobs"]), choice
        assert "delta" not in choice, choice
        message = choice["message"]
        assert message["role"] == "assistant", message
        assert isinstance(message["content"], str | None), message
        assert isinstance(message["refusal"], str | None), message
        calls = message.get("tool_calls")
        if "tool_calls" in message:
            assert calls, "no calls in tool_calls"
            assert not (request.functions and request.tools is None), "tool calls for functions"
        for call in calls or ():
            assert "index" not in call, call
            assert isinstance(call["id"], str), call
            assert call["id"], call
            ids.append(call["id"])
            if call["type"] == "function":
                assert isinstance(call["function"]["name"], str), call
                assert call["function"]["name"], call
                assert isinstance(call["function"]["arguments"], str), call
        if "function_call" in message:
            assert request.tools is None, "a function call for tools"
            assert "function" not in message["function_call"]
            assert isinstance(message["function_call"]["arguments"], str)
            assert message["function_call"]["name"]
        if calls or "function_call" in message:
            assert message["content"] != "", message
        _check_reason(choice["finish_reason"], message, request)
    assert len(ids) == len(set(ids)), ids


def _check_reason(reason: str, message: dict[str, Any], request: Request) -> None:
    if "tool_calls" in message:
        assert reason in {"tool_calls", "length", "content_filter"} or request.named_tool, reason
    elif "function_call" in message:
        assert reason in {"function_call", "length", "content_filter"} or request.named_tool, reason
    else:
        assert reason not in {"tool_calls", "function_call"}, reason


def _check_text(body: dict[str, Any], request: Request) -> None:
    _check_envelope(body, "text_completion")
    for choice in body["choices"]:
        assert isinstance(choice["text"], str), choice
        assert "logprobs" in choice, choice
        assert choice["finish_reason"] in TEXT_REASONS, choice


def _check_edit(body: dict[str, Any], request: Request) -> None:
    _check_envelope(body | {"id": "x", "model": "x"}, "edit")
    for choice in body["choices"]:
        assert isinstance(choice["text"], str), choice
        assert choice["finish_reason"] in TEXT_REASONS, choice


def _check_envelope(body: dict[str, Any], kind: str) -> None:
    assert body["object"] == kind, body
    for key in ("id", "model"):
        assert isinstance(body[key], str), body
        assert body[key], body
    assert type(body["created"]) is int, body
    assert body["created"] > 0, body
    assert body["choices"], body
    assert sorted(choice["index"] for choice in body["choices"]) == list(range(len(body["choices"])))
    assert all("usage" not in choice for choice in body["choices"])
    for count in COUNTS:
        assert type(body["usage"][count]) is int, body["usage"]
        assert body["usage"][count] >= 0, body["usage"]


def _check_embeddings(body: dict[str, Any], request: Request) -> None:
    assert body["object"] == "list"
    assert isinstance(body["model"], str)
    assert body["model"]
    assert "completion_tokens" not in body["usage"], body["usage"]
    for count in (COUNTS[0], COUNTS[2]):
        assert type(body["usage"][count]) is int, body["usage"]
    assert [item["index"] for item in body["data"]] == list(range(len(body["data"])))
    for item in body["data"]:
        assert item["object"] == "embedding"
        assert request.base64 or isinstance(item["embedding"], list), "base64 where nobody asked for it"
        if not isinstance(item["embedding"], str):
            assert not request.base64, "numbers where base64 was asked for"
            assert all(type(number) in (int, float) for number in item["embedding"])


def _check_models(body: dict[str, Any], request: Request) -> None:
    if "data" in body:
        assert body["object"] == "list"
    for model in body.get("data", [body]):
        assert model["object"] == "model", model
        assert isinstance(model["id"], str), model
        assert model["id"], model
        assert type(model["created"]) is int, model
        assert isinstance(model["owned_by"], str), model


_CHECKS: dict[Endpoint, Callable[[dict[str, Any], Request], None]] = {
    Endpoint.CHAT: _check_chat,
    Endpoint.COMPLETIONS: _check_text,
    Endpoint.EDITS: _check_edit,
    Endpoint.EMBEDDINGS: _check_embeddings,
    Endpoint.MODELS: _check_models,
}
