"""Messages, words, schemas and choices of a tool, each for a server that lacks it."""

from typing import Any

import orjson
import pytest
from openai.types.chat import ChatCompletionMessageParam
from pydantic import TypeAdapter

from tests.wire.translations.asking import Request, tool, translate

TEXT = {"type": "text", "text": "Hi "}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
CLOCK, WEATHER = tool("clock"), tool("weather")


def test_text_parts_of_every_role_become_strings() -> None:
    messages = [
        {"role": "system", "content": [TEXT, TEXT]},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        {"role": "user", "content": "as it is"},
    ]
    told, counts = translate({"messages": messages}, "no-content-parts")
    assert [message["content"] for message in told["messages"]] == ["Hi Hi ", "No.", "as it is"]
    assert counts == {"no-content-parts": 2}
    for message in told["messages"]:
        TypeAdapter(ChatCompletionMessageParam).validate_python(message)


@pytest.mark.parametrize(
    "content",
    [[TEXT, IMAGE], [IMAGE], [], None, "", {}, [None], ["x"], [{"type": "text"}], [{"type": ["text"]}], 7],
)
def test_other_content_stays(content: Any) -> None:
    request = {"messages": [{"role": "user", "content": content}, None, "x"]}
    assert translate(request, "no-content-parts", "no-developer-role") == (request, {})


def test_limit_of_today_wins_over_the_older_one() -> None:
    told, _ = translate({"max_completion_tokens": 5, "max_tokens": 9}, "no-max-completion-tokens")
    assert told == {"max_tokens": 5}


@pytest.mark.parametrize(
    ("request_", "name"),
    [
        ({"messages": "Hi"}, "no-developer-role"),
        ({"max_tokens": 9, "max_completion_tokens": None}, "no-max-completion-tokens"),
        ({"response_format": "b64_json"}, "no-response-format"),
        ({"response_format": "json_schema"}, "no-json-schema"),
        ({"response_format": {"type": "text"}}, "no-json-schema"),
        ({"tools": [CLOCK], "tool_choice": "auto"}, "no-tool-choice-none"),
        ({"tool_choice": "none"}, "no-tool-choice-none"),
        ({"tools": [CLOCK], "tool_choice": WEATHER}, "no-named-tool-choice"),
        ({"tools": [CLOCK], "tool_choice": {"type": "allowed_tools"}}, "no-named-tool-choice"),
        ({"tools": [CLOCK], "tool_choice": "required"}, "no-named-tool-choice"),
        ({"tools": [CLOCK, WEATHER], "tool_choice": "required"}, "no-required-tool-choice"),
        ({"tools": [{"type": "custom", "name": "x"}], "tool_choice": "required"}, "no-required-tool-choice"),
        ({"tools": [7], "tool_choice": "required"}, "no-required-tool-choice"),
        ({"tools": [CLOCK], "tool_choice": WEATHER}, "no-required-tool-choice"),
    ],
)
def test_what_the_server_understands_stays(request_: Request, name: str) -> None:
    assert translate(request_, name) == (request_, {})


def test_flags_of_tools_leave_with_the_tools() -> None:
    request = {"tools": [CLOCK], "tool_choice": "none", "parallel_tool_calls": False, "n": 1}
    assert translate(request, "no-tool-choice-none")[0] == {"n": 1}


def test_lists_of_types_are_found_wherever_schemas_stand() -> None:
    listed = {"type": ["string", "null"], "description": "A city"}
    places = {
        "properties": {"type": listed, "enum": listed},
        "items": [listed],
        "not": listed,
        "$defs": {"x": {"oneOf": [listed]}},
    }
    request = {
        "tools": [tool("f", **places)],
        "functions": [{"name": "g", "parameters": {"items": listed}}],
        "response_format": {"type": "json_schema", "json_schema": {"schema": {"anyOf": [listed]}}},
    }
    whole = [{"type": "string", "description": "A city"}, {"type": "null", "description": "A city"}]
    told, counts = translate(request, "no-type-lists")
    assert told == orjson.loads(
        orjson.dumps(request).replace(orjson.dumps(listed), orjson.dumps({"anyOf": whole}))
    )
    assert counts == {"no-type-lists": 7}


def test_data_in_a_schema_is_not_taken_for_one() -> None:
    data = {"type": ["string", "null"]}
    request = {"tools": [tool("f", enum=[data], const=data, default=data, examples=[data])]}
    assert translate(request, "no-type-lists") == (request, {})


def test_schemas_within_go_to_the_type_that_holds_them() -> None:
    schema = {
        "type": ["array", "object", "null"],
        "description": "Cities",
        "items": {"type": ["string", "null"]},
        "properties": {"a": {}},
        "allOf": [{"minItems": 1}],
    }
    told, _ = translate({"functions": [{"name": "f", "parameters": schema}]}, "no-type-lists")
    assert told["functions"][0]["parameters"] == {
        "allOf": [{"minItems": 1}],
        "anyOf": [
            {
                "type": "array",
                "description": "Cities",
                "items": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            },
            {"type": "object", "description": "Cities", "properties": {"a": {}}},
            {"type": "null", "description": "Cities"},
        ],
    }


def test_schema_does_not_double_at_each_depth() -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(60):
        schema = {"type": ["array", "null"], "items": schema}
    told, counts = translate({"functions": [{"parameters": schema}]}, "no-type-lists")
    assert counts == {"no-type-lists": 60}
    assert len(orjson.dumps(told)) < 5_000


@pytest.mark.parametrize("types", [[], ["string", "text"], ["string", None], [["string"]]])
def test_types_that_json_does_not_have_stay(types: list[Any]) -> None:
    request = {"functions": [{"parameters": {"type": types}}]}
    assert translate(request, "no-type-lists") == (request, {})


@pytest.mark.parametrize("types", [["object"], ["object", "null"], ["object", "object"]])
def test_type_beside_alternatives_is_the_first(types: list[str]) -> None:
    schema = {"type": types, "anyOf": [{"required": ["a"]}]}
    told, _ = translate({"functions": [{"parameters": schema}, 1]}, "no-type-lists")
    assert told["functions"][0]["parameters"] == {**schema, "type": "object"}
