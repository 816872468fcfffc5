"""An upstream's errors, in every form that is known, as OpenAI's one form."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import UpstreamReported, error_body, type_for_status
from proxy.wire.error_pages import MAX_PAGE
from proxy.wire.repairs import CATALOGUE
from proxy.wire.reported import MAX_MESSAGE, from_body, from_text, from_value, is_error

ERRORS = {
    "openai's own": {"error": {"message": "m", "type": "t", "param": None, "code": None}},
    "a string": {"error": "boom"},
    "an error beside choices": {"choices": [{"delta": {}}], "error": {"message": "m"}},
    "vllm, flat": {"object": "error", "message": "m", "code": 400},
    "anthropic": {"type": "error", "error": {"type": "overloaded_error", "message": "m"}},
    "fastapi": {"detail": "Not Found"},
    "fastapi, a list": {"detail": [{"loc": ["body"], "msg": "Field required"}]},
    "a message alone": {"message": "Invalid API key"},
    "errors": {"errors": ["a", "b"]},
    "an error's type": {"error_type": "overloaded"},
}
NO_ERRORS = {
    "a chunk": {"choices": [{"delta": {"content": "a"}}]},
    "a chunk without choices": {"choices": [], "usage": {}},
    "a chunk with a null error": {"choices": [{"delta": {}}], "error": None},
    "a chunk with a message of its own": {"choices": [{"delta": {}}], "message": "m"},
    "an empty chunk with a message of its own": {"choices": [], "message": "m"},
    "a list of models": {"object": "list", "data": [{"id": "m"}], "message": "m"},
    "a tool's result": {"name": "search", "result": "r", "type": "mcp_tool_result"},
    "a ping": {"type": "ping"},
    "a number as message": {"message": 1},
    "usage alone": {"usage": {"total_tokens": 1}},
    "nothing": {},
}


@pytest.mark.parametrize("value", ERRORS.values(), ids=ERRORS)
def test_an_error_is_known_by_any_of_its_signs(value: dict[str, Any]) -> None:
    assert is_error(value)


@pytest.mark.parametrize("value", NO_ERRORS.values(), ids=NO_ERRORS)
def test_what_is_no_error_is_taken_for_none(value: dict[str, Any]) -> None:
    assert not is_error(value)


def shaped(error: UpstreamReported) -> tuple[int, str, str, str | None, str | None]:
    body = error_body(error)["error"]
    return error.status, body["message"], body["type"], body["param"], body["code"]


SHAPES = {
    "openai's own": (
        {"error": {"message": "m", "type": "rate_limit_error", "param": "p", "code": "c"}},
        (429, "m", "rate_limit_error", "p", "c"),
        [],
    ),
    "a string": (
        {"error": "boom"},
        (502, "boom", "server_error", None, None),
        ["error-string", "incomplete-error"],
    ),
    "a string with a type beside it": (
        {"error": "busy", "error_type": "overloaded_error"},
        (503, "busy", "overloaded_error", None, None),
        ["error-string", "incomplete-error"],
    ),
    "an object in a string": (
        {"error": '{"error":{"message":"m","code":404}}'},
        (404, "m", "not_found_error", None, "404"),
        ["error-string", "numeric-error-code", "incomplete-error"],
    ),
    "an error in an error": (
        {"error": {"error": {"message": "m"}}},
        (502, "m", "server_error", None, None),
        ["incomplete-error"],
    ),
    "vllm, flat": (
        {"object": "error", "message": "m", "type": "BadRequestError", "param": None, "code": 400},
        (400, "m", "BadRequestError", None, "400"),
        ["error-flat", "numeric-error-code"],
    ),
    "localai, of 2023": (
        {"error": {"code": 500, "message": "m", "type": ""}},
        (500, "m", "server_error", None, "500"),
        ["numeric-error-code", "incomplete-error"],
    ),
    "localai, echo": (
        {"error": {"code": 404, "message": "code=404, message=unknown model", "type": ""}},
        (404, "unknown model", "not_found_error", None, "404"),
        ["error-prefix", "numeric-error-code", "incomplete-error"],
    ),
    "fastapi": (
        {"detail": "Not Found"},
        (502, "Not Found", "server_error", None, None),
        ["error-detail", "incomplete-error"],
    ),
    "fastapi, a list": (
        {"detail": [{"loc": ["body", "model"], "msg": "Field required"}, {"loc": [0], "msg": "Too long"}]},
        (502, "body.model: Field required; 0: Too long", "server_error", None, None),
        ["error-detail", "incomplete-error"],
    ),
    "gemini, a list": (
        [{"error": {"code": 400, "message": "m", "status": "INVALID_ARGUMENT"}}],
        (400, "m", "invalid_request_error", None, "400"),
        ["error-array", "numeric-error-code", "incomplete-error"],
    ),
    "a list of several": (
        [{"error": {"message": "a"}}, {"error": {"message": "b"}}],
        (502, "a; b", "server_error", None, None),
        ["error-array", "incomplete-error"],
    ),
    "a status beside the error": (
        {"error": {"message": "m", "type": "t", "param": None, "code": "c"}, "status_code": 429},
        (429, "m", "t", None, "c"),
        [],
    ),
    "the code's word": (
        {"error": {"message": "m", "type": "t", "param": None, "code": "model_not_found"}},
        (404, "m", "t", None, "model_not_found"),
        [],
    ),
    "a code that is no error's status": (
        {"error": {"message": "m", "type": "t", "param": None, "code": 200}},
        (502, "m", "t", None, "200"),
        ["numeric-error-code"],
    ),
    "a code in a string": (
        {"error": {"message": "m", "type": "t", "param": None, "code": "503"}},
        (503, "m", "t", None, "503"),
        [],
    ),
    "an error without a message": (
        {"error": {"reason": "tired"}},
        (502, "tired", "server_error", None, None),
        ["incomplete-error"],
    ),
    "an error that says nothing": (
        {"error": {"x": 1}},
        (502, '{"x":1}', "server_error", None, None),
        ["incomplete-error"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("value", "shape", "forms"), SHAPES.values(), ids=SHAPES)
def test_each_form_becomes_the_one_form(value: Any, shape: tuple[Any, ...], forms: list[str]) -> None:
    error, met = from_value(value)

    assert shaped(error) == shape
    assert met == forms


def test_the_status_that_came_with_it_stays() -> None:
    error, _ = from_value({"error": {"message": "m", "code": 400, "type": ""}}, 503)

    assert shaped(error) == (503, "m", "server_error", None, "400")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 418, 429, 500, 503])
def test_the_type_is_by_the_status_where_none_was_given(status: int) -> None:
    assert from_value({"error": "m"}, status)[0].type == type_for_status(status)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"type": "BadRequestError"}, 400),
        ({"type": "exceed_context_size_error"}, 400),
        ({"status": "INVALID_ARGUMENT"}, 400),
        ({"type": "invalid-api-key"}, 401),
        ({"status": "UNAUTHENTICATED"}, 401),
        ({"type": "billing_error"}, 402),
        ({"status": "PERMISSION_DENIED"}, 403),
        ({"code": "model_not_found", "type": "invalid_request_error"}, 404),
        ({"type": "request_too_large"}, 413),
        ({"status": "RESOURCE_EXHAUSTED"}, 429),
        ({"type": "requests", "code": "rate_limit_exceeded"}, 429),
        ({"code": 429.0}, 429),
        ({"type": "InternalServerError"}, 500),
        ({"type": "not_supported_error"}, 501),
        ({"type": "overloaded"}, 503),
        ({"type": "Service Unavailable"}, 503),
        ({"status": "DEADLINE_EXCEEDED"}, 504),
        ({"type": "error"}, 502),
        ({"type": "who knows"}, 502),
        ({"code": "200"}, 502),
    ],
    ids=str,
)
def test_the_status_is_by_the_words_however_they_are_spelt(error: dict[str, Any], status: int) -> None:
    assert from_value({"error": {"message": "m"} | error})[0].status == status


def test_a_message_that_is_an_object_is_told_as_it_stands() -> None:
    assert str(from_value({"error": {"message": {"x": 1}}})[0]) == '{"x":1}'


def test_what_is_meant_for_clients_is_kept_beside_the_four_keys() -> None:
    given = {"message": "m", "type": "t", "param": None, "code": "c"}
    error, _ = from_value({"error": given | {"loading": {"percent": 3}, "stack": "…"}})

    assert error_body(error)["error"] == given | {"loading": {"percent": 3}}


def test_a_message_is_no_longer_than_a_person_reads() -> None:
    assert len(str(from_value({"error": "x" * 100_000})[0])) == MAX_MESSAGE
    assert len(str(from_text("x" * 100_000)[0])) == MAX_MESSAGE
    assert len(str(from_text("<html><body>" + "x " * 100_000)[0])) < MAX_PAGE + 100


TEXTS = {
    "a line": (" Internal Server Error\n", 502, "Internal Server Error", ["error-text"]),
    "a prefix": ("code=400, message=bad request", 400, "bad request", ["error-text", "error-prefix"]),
    "a page with a title": (
        "<html>\n<head><title>502 Bad Gateway</title></head><body><h1>…</h1></body>",
        502,
        "The upstream answered the request with an HTML page: 502 Bad Gateway",
        ["error-page"],
    ),
    "a page with a heading": (
        "<!DOCTYPE html><!-- x --><body><h1 class=a>Not &amp; found</h1>",
        502,
        "The upstream answered the request with an HTML page: Not & found",
        ["error-page"],
    ),
    "a page with neither": (
        "<!-- nginx --><html><style>a{}</style><body>Go <b>away</b></body></html>",
        502,
        "The upstream answered the request with an HTML page: Go away",
        ["error-page"],
    ),
    "a page that says nothing": (
        "<html></html>",
        502,
        "The upstream answered the request with an HTML page",
        ["error-page"],
    ),
    "markup that is no page": ("<think> is unknown", 502, "<think> is unknown", ["error-text"]),
    "go's quoting": (
        r'{"error":{"message":"bad \x1b \a it\'s","type":"t","param":null,"code":null}}',
        502,
        "bad \x1b   it's",
        ["error-broken-json"],
    ),
    "json that is cut": (
        '{"error":{"message":"no \\"room\\"","co',
        502,
        'no "room"',
        ["error-broken-json", "incomplete-error"],
    ),
    "nothing": ("", 502, "The upstream reported an error and gave no reason.", ["error-text"]),
}


@pytest.mark.parametrize(("text", "status", "message", "forms"), TEXTS.values(), ids=TEXTS)
def test_text_becomes_a_message(text: str, status: int, message: str, forms: list[str]) -> None:
    error, met = from_text(text)

    assert error.status == status
    assert str(error) == message
    assert met == forms


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b'{"error":{"message":"m","type":"t"}}', 503, "m"),
        (b'{"message":"Invalid API key"}', 401, "Invalid API key"),
        (b'"just a string"', 500, "just a string"),
        (b"plain", 403, "plain"),
        (b"\xff\xfe", 500, "\ufffd\ufffd"),
        (b"", 500, "The upstream answered 500 Internal Server Error and gave no reason."),
        (b"{}", 404, "The upstream answered 404 Not Found and gave no reason."),
        (b"[]", 404, "The upstream answered 404 Not Found and gave no reason."),
        (b"null", 599, "The upstream answered 599 and gave no reason."),
        (b"<html><title>no</title>", 502, "The upstream answered 502 with an HTML page: no"),
    ],
)
def test_the_body_of_an_error_keeps_its_status(body: bytes, status: int, message: str) -> None:
    error, _ = from_body(body, status)

    assert error.status == status
    assert str(error) == message


AWKWARD = {
    "a place that is no list": (b'{"msg":"m","loc":1}', "m"),
    "a place that is null": (b'{"msg":"m","loc":null}', "m"),
    "a blank message": (
        b'{"error":{"message":" \\n"}}',
        "The upstream answered 500 Internal Server Error and gave no reason.",
    ),
    "space around the message": (b'{"error":{"message":" m\\n"}}', "m"),
    "no message, but not a number": (
        b'{"error":{"x":NaN,"y":123456789012345678901234567890}}',
        '{"x":null,"y":123456789012345678901234567890}',
    ),
    "half a character": (rb'{"error":{"message":"m\ud83d"}}', "m\ufffd"),
    "nesting": (b'{"error":' * 2000 + b"1" + b"}" * 2000, None),
    "nested lists": (b'{"error":' + b"[" * 900 + b"]" * 900 + b"}", None),
}  # fmt: skip


@pytest.mark.parametrize(("body", "message"), AWKWARD.values(), ids=AWKWARD)
def test_no_form_is_too_awkward(body: bytes, message: str | None) -> None:
    error, forms = from_body(body, 500)

    check_form(error, forms)
    assert message is None or str(error) == message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
KEYS = [
    "error",
    "message",
    "detail",
    "msg",
    "errors",
    "code",
    "type",
    "param",
    "status",
    "loc",
    "object",
    "reason",
]
NESTED = st.recursive(
    JSON,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=8,
)


def check_form(error: UpstreamReported, forms: list[str]) -> None:
    body = json.loads(json.dumps(error_body(error), allow_nan=False).encode("utf-8"))["error"]
    assert isinstance(body["message"], str)
    assert body["message"].strip()
    assert isinstance(body["type"], str)
    assert body["type"]
    assert isinstance(body["param"], str | None)
    assert isinstance(body["code"], str | None)
    assert 400 <= error.status <= 599
    assert set(forms) <= set(CATALOGUE)


@given(st.dictionaries(st.sampled_from(KEYS), NESTED) | st.lists(NESTED, min_size=1))
def test_any_json_becomes_an_error_of_the_one_form(value: Any) -> None:
    check_form(*from_value(value))


@given(
    st.text(st.characters(exclude_categories=()))
    | st.sampled_from(['{"error":', "<html>", "code=999, message="])
)
def test_any_text_becomes_an_error_of_the_one_form(text: str) -> None:
    check_form(*from_text(text))
    check_form(*from_text('{"error":{"message":"' + text))


@given(st.binary() | NESTED.map(lambda value: json.dumps(value).encode()), st.integers(400, 599))
def test_any_body_becomes_an_error_of_the_one_form(body: bytes, status: int) -> None:
    error, forms = from_body(body, status)

    check_form(error, forms)
    assert error.status == status


@pytest.mark.parametrize(
    "value",
    [
        {"choices": None, "message": "gone"},
        {"choices": None, "base_resp": {"status_code": 1004, "status_msg": "login fail"}},
        {"error": ""},
        {"error": {}},
        {"success": False},
        {"statusCode": 500},
    ],
)
def test_what_says_in_any_way_that_it_failed_is_an_error(value: dict[str, Any]) -> None:
    assert is_error(value)


@pytest.mark.parametrize(
    "value", [{"choices": None}, {"error": None, "id": "1"}, {"error": False}, {"code": 200}]
)
def test_what_says_nothing_of_failure_is_none(value: dict[str, Any]) -> None:
    assert not is_error(value)
