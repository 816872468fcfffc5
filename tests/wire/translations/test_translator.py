"""What a translator does with a body: bytes, names, parameters, and whatever else comes as a request."""

import re
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.scalars import Scalar
from proxy.config.schema import Parameters as ConfiguredParameters
from proxy.errors import InvalidRequest
from proxy.wire.translations import DIALECTS, compile_translations
from tests.wire.translations.asking import Parameters

dialect_of = pytest.mark.parametrize("dialect", DIALECTS)


@dialect_of
def test_request_that_needs_nothing_keeps_its_bytes(dialect: str) -> None:
    body = b' {"messages" : [ {"role":"user","content":"\\u0048i"} ],\n"stream":true,"n":1.0,"model":"gpt-4"}'
    translator = compile_translations(dialect)
    assert translator.apply(body, None) == (body, {})
    assert translator.apply(body, "llama") == (body.replace(b'"gpt-4"', b'"llama"'), {})


@pytest.mark.parametrize("model", [{}, {"model": "gpt-4"}])
def test_model_is_renamed_in_what_is_written_anew(model: dict[str, str]) -> None:
    body = orjson.dumps({**model, "max_completion_tokens": 1})
    out, counts = compile_translations("localai-v1").apply(body, "ggml-gpt4all-j")
    assert orjson.loads(out) == {"model": "ggml-gpt4all-j", "max_tokens": 1}
    assert counts == {"no-max-completion-tokens": 1}


def test_switches_stand_over_the_dialect() -> None:
    translator = compile_translations("localai-v1", {"no-tools": False, "no-tool-choice-none": True})
    assert translator.names == DIALECTS["localai-v1"].translations - {"no-tools"} | {"no-tool-choice-none"}


def test_unknown_names_are_refused() -> None:
    with pytest.raises(KeyError, match="no-dialect"):
        compile_translations("no-dialect")
    with pytest.raises(KeyError, match="no-such-thing"):
        compile_translations(switches={"no-such-thing": False})


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"a":\xff}', b'{"a":NaN}', b'{"a":"\\ud800"}'])
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match="The request body"):
        compile_translations("localai-v1").apply(body, None)


def test_deep_nesting_is_translated() -> None:
    depth = 100
    schema = b'{"type":["array"],"items":' * depth + b'{"type":["string","null"]}' + b"}" * depth
    body = b'{"tools":[{"type":"function","function":{"name":"f","parameters":%s}}]}' % schema
    out, counts = compile_translations("localai-v2").apply(body, None)
    assert counts == {"no-type-lists": depth + 1}
    assert out.count(b'"type":"array"') == depth
    assert out.count(b"anyOf") == 1


@pytest.mark.parametrize("depth", [300, 1020])
def test_nesting_too_deep_for_one_writer_is_written_by_another_or_refused(depth: int) -> None:
    nested = b'"metadata":' + b"[" * depth + b"]" * depth
    try:
        out, _ = compile_translations("ollama").apply(b'{"max_completion_tokens":1,%s}' % nested, None)
    except InvalidRequest as error:
        # How deep Python's own writer goes depends on its version.
        assert str(error).endswith("cannot be translated: nested too deeply.")  # noqa: PT017
        assert depth == 1020
    else:
        assert out == b'{%s,"max_tokens":1}' % nested


def test_numbers_keep_their_value() -> None:
    body = b'{"max_completion_tokens":1,"seed":18446744073709551615,"top_p":1e-7,"x":1.0}'
    out, _ = compile_translations("ollama").apply(body, None)
    assert orjson.loads(out) == {"max_tokens": 1, "seed": 2**64 - 1, "top_p": 1e-7, "x": 1.0}


# --- the operator's parameters


def test_parameters_are_dropped_defaulted_and_set() -> None:
    parameters = Parameters(
        default={"top_p": 1, "n": 1, "seed": 7}, set={"user": "x", "a": 1}, drop=("b", "c")
    )
    body = orjson.dumps({"n": 2, "seed": None, "a": 1, "b": 1, "user": "me"})
    out, counts = compile_translations(parameters=parameters).apply(body, None)
    assert orjson.loads(out) == {"n": 2, "seed": 7, "a": 1, "user": "x", "top_p": 1}
    assert counts == {"parameters.drop": 1, "parameters.default": 2, "parameters.set": 1}


def test_parameters_come_as_the_configuration_has_them() -> None:
    configured = ConfiguredParameters.model_validate(
        {"default": {"stop": ["\n", {"a": None}]}, "set": {"temperature": Scalar("0.5")}, "drop": ["user"]}
    )
    out, _ = compile_translations(parameters=configured).apply(b'{"user":"me"}', "m")
    assert orjson.loads(out) == {"stop": ["\n", {"a": None}], "temperature": 0.5, "model": "m"}


def test_parameters_that_change_nothing_keep_the_bytes() -> None:
    parameters = Parameters(default={"n": 1}, set={"user": "x"}, drop=("b",))
    body = b'{ "n":2, "user":"x" }'
    assert compile_translations(parameters=parameters).apply(body, None) == (body, {})


def test_what_is_dropped_is_not_translated_and_what_is_translated_can_be_dropped() -> None:
    translator = compile_translations("localai-v1", parameters=Parameters(drop=("tools", "max_tokens")))
    body = orjson.dumps({"tools": [{"type": "custom"}], "max_completion_tokens": 1, "stream": True})
    out, counts = translator.apply(body, None)
    assert out == b'{"stream":true}'
    assert counts == {"parameters.drop": 2, "no-max-completion-tokens": 1}


def test_default_knows_the_translated_name() -> None:
    translator = compile_translations("localai-v1", parameters=Parameters(default={"max_tokens": 512}))
    out, counts = translator.apply(b'{"max_completion_tokens":9}', None)
    assert out == b'{"max_tokens":9}'
    assert counts == {"no-max-completion-tokens": 1}


# --- anything at all

PLACES = re.compile(r"tool_choice|tools\[\d+]|messages\[\d+]\.(tool_call_id|tool_calls(\[\d+])?)")

KEYS = ["type", "text", "name", "id", "arguments", "properties", "items", "anyOf", "schema", "function"]
WORDS = ["text", "refusal", "function", "string", "null", "f", "call_1", "auto", "required", ""]
junk = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=5,
)


def shaped(required: dict[str, Any] | None = None, **optional: Any) -> st.SearchStrategy[Any]:
    """Make objects with these members, now and then with junk for one, or junk for the whole."""
    members = {key: value | junk for key, value in optional.items()}
    return st.fixed_dictionaries(required or {}, optional=members) | junk


names = st.sampled_from(["f", "g", "call_1", ""])
schemas = st.recursive(
    shaped(type=st.lists(st.sampled_from(["string", "null"]))),
    lambda inner: shaped(properties=st.dictionaries(names, inner), items=inner, anyOf=st.lists(inner)),
    max_leaves=3,
)
functions = shaped({"name": names}, parameters=schemas, strict=st.booleans())
tools = shaped({"type": st.just("function")}, function=functions)
calls = shaped(id=names, type=st.just("function"), function=shaped({"name": names}, arguments=st.text()))
parts = shaped(type=st.sampled_from(["text", "image_url"]), text=st.text())
conversation = shaped(
    role=st.sampled_from(["user", "developer", "assistant", "tool"]),
    content=st.text() | st.lists(parts, max_size=3),
    tool_calls=st.lists(calls, max_size=3),
    tool_call_id=names,
    name=names,
)
requests = st.fixed_dictionaries(
    {},
    optional={
        "messages": st.lists(conversation, max_size=5) | junk,
        "tools": st.lists(tools, max_size=3) | junk,
        "functions": st.lists(functions, max_size=2) | junk,
        "tool_choice": st.sampled_from(["auto", "none", "required"]) | tools | junk,
        "parallel_tool_calls": st.booleans(),
        "max_completion_tokens": st.integers(0, 9) | junk,
        "response_format": shaped(type=st.just("json_schema"), json_schema=shaped(schema=schemas)),
        "model": st.text() | junk,
    },
)


@dialect_of
@given(request=requests)
def test_any_request_is_translated_for_good_or_refused(dialect: str, request: dict[str, Any]) -> None:
    translator = compile_translations(dialect)
    try:
        out, _ = translator.apply(orjson.dumps(request), "m")
    except InvalidRequest as error:
        assert str(error).startswith(("The upstream knows only", "`tool_calls`"))  # noqa: PT017
        assert PLACES.fullmatch(error.param or "")  # noqa: PT017
        return
    assert orjson.loads(out)["model"] == "m"
    assert translator.apply(out, "m") == (out, {})


@dialect_of
@given(body=st.binary() | st.text('{}[]":,\\ tols').map(str.encode))
def test_any_bytes_are_translated_or_refused(dialect: str, body: bytes) -> None:
    try:
        out, _ = compile_translations(dialect).apply(body, "m")
    except InvalidRequest:
        return
    assert orjson.loads(out)["model"] == "m"
