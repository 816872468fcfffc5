"""What a request says about the answer that is due."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import InvalidRequest, error_body
from proxy.wire.requests import Endpoint, Request, read_request


def read(endpoint: Endpoint = Endpoint.CHAT, **body: Any) -> Request:
    return read_request(endpoint, json.dumps(body).encode())


def test_a_request_that_says_nothing_wants_what_openai_answers_then() -> None:
    assert read() == Request(endpoint=Endpoint.CHAT)
    assert not read().stream
    assert not read().calls_allowed


@pytest.mark.parametrize("endpoint", Endpoint)
def test_the_endpoint_is_the_one_that_was_asked(endpoint: Endpoint) -> None:
    assert read(endpoint).endpoint is endpoint


NAMED = {
    "model": ({"model": "gpt-4"}, {"model": "gpt-4"}),
    "empty model": ({"model": ""}, {}),
    "null model": ({"model": None}, {}),
    "stream": ({"stream": True}, {"stream": True}),
    "no stream": ({"stream": False}, {}),
    "null stream": ({"stream": None}, {}),
    "stream that is no boolean": ({"stream": 1}, {}),
    "usage": ({"stream_options": {"include_usage": True}}, {"include_usage": True}),
    "no usage": ({"stream_options": {"include_usage": False}}, {}),
    "other options": ({"stream_options": {"include_obfuscation": False}}, {}),
    "null options": ({"stream_options": None}, {}),
    "options that are no object": ({"stream_options": [1]}, {}),
    "n": ({"n": 3}, {"choices": 3}),
    "n null": ({"n": None}, {}),
    "n zero": ({"n": 0}, {}),
    "n that is no number": ({"n": "3"}, {}),
    "one prompt": ({"prompt": "Hi"}, {}),
    "a list of prompts": ({"prompt": ["a", "b"]}, {"choices": 2}),
    "prompts, n for each": ({"prompt": ["a", "b"], "n": 2}, {"choices": 4}),
    "one prompt of tokens": ({"prompt": [1, 2, 3]}, {}),
    "prompts of tokens": ({"prompt": [[1, 2], [3]]}, {"choices": 2}),
    "no prompt in the list": ({"prompt": []}, {}),
    "functions": ({"functions": [{"name": "f"}]}, {"functions": True}),
    "no functions": ({"functions": []}, {}),
    "null functions": ({"functions": None}, {}),
    "base64": ({"encoding_format": "base64"}, {"base64": True}),
    "float": ({"encoding_format": "float"}, {}),
    "tool choice auto": ({"tool_choice": "auto"}, {}),
    "tool choice required": ({"tool_choice": "required"}, {}),
    "named tool": ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, {"named_tool": True}),
    "named tool without a type": ({"tool_choice": {"function": {"name": "f"}}}, {"named_tool": True}),
    "allowed tools name none": ({"tool_choice": {"type": "allowed_tools", "allowed_tools": {}}}, {}),
    "tools": ({"tools": [{"type": "function", "function": {"name": "f"}}]}, {"tools": frozenset("f")}),
    "no tools": ({"tools": []}, {}),
    "null tools": ({"tools": None}, {}),
    "tools without names": ({"tools": [{"type": "x"}, "x", {"function": {}}]}, {"tools": frozenset()}),
}  # fmt: skip


@pytest.mark.parametrize(("body", "expected"), NAMED.values(), ids=NAMED)
def test_what_is_read(body: dict[str, Any], expected: dict[str, Any]) -> None:
    assert read(**body) == Request(endpoint=Endpoint.CHAT, **expected)


@pytest.mark.parametrize("body", [{"tools": [{"function": {"name": "f"}}]}, {"functions": [{"name": "f"}]}])
def test_calls_are_allowed_where_something_can_be_called(body: dict[str, Any]) -> None:
    assert read(**body).calls_allowed


@pytest.mark.parametrize("body", [b"", b"{", b"not JSON", b'{"a":NaN}', b"\xff", b"{}{}"])
def test_a_body_that_is_not_json_is_the_clients_mistake(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match="not valid JSON") as caught:
        read_request(Endpoint.CHAT, body)

    assert caught.value.status == 400
    assert error_body(caught.value)["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("body", [b"[]", b"null", b'"text"', b"1"])
def test_a_body_that_is_no_object_is_the_clients_mistake(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match="must be a JSON object"):
        read_request(Endpoint.CHAT, body)


@pytest.mark.parametrize("model", [1, True, ["gpt-4"], {"name": "gpt-4"}])
def test_a_model_that_is_no_string_is_the_clients_mistake(model: Any) -> None:
    with pytest.raises(InvalidRequest, match="must be a string") as caught:
        read(model=model)

    assert caught.value.param == "model"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
KEYS = ["stream", "stream_options", "n", "prompt", "tools", "functions", "tool_choice", "encoding_format"]


MODELS = st.none() | st.text()


@given(st.dictionaries(st.sampled_from(KEYS), JSON), MODELS)
def test_anything_else_is_the_upstreams_to_judge(body: dict[str, Any], model: str | None) -> None:
    request = read(**body | {"model": model})

    assert request.choices >= 1
    assert request.model == (model or None)
