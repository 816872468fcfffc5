"""JSON in Go's form: what is escaped, what is left out, what is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.demo import go_json


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("<b>&</b>", r'"\u003cb\u003e\u0026\u003c/b\u003e"'),
        ("\u2028\u2029", r'"\u2028\u2029"'),
        ('say "no"\\', r'"say \"no\"\\"'),
        ("\n\r\t", r'"\n\r\t"'),
        ("\b\f", r'"\u0008\u000c"'),
        ("\x00\x1f", r'"\u0000\u001f"'),
        ("\x7f/'é世😁", '"\x7f/\'é世😁"'),
        ("\ud83d", '"\N{REPLACEMENT CHARACTER}"'),
        (0.1, "0.1"),
        (-7, "-7"),
        (True, "true"),
        (None, "null"),
        ([], "[]"),
        ({}, "{}"),
        ({"z": [1, "<"], "a": {"<": None}}, r'{"z":[1,"\u003c"],"a":{"\u003c":null}}'),
    ],
)
def test_encodes_as_go_does(value, expected):
    assert go_json.encode(value) == expected


@given(st.recursive(st.text() | st.integers() | st.booleans() | st.none(), st.lists))
def test_what_is_encoded_is_json_that_any_reader_understands(value):
    encoded = go_json.encode(value)

    assert json.loads(encoded) == value
    assert not set(encoded) & set("<>&\u2028\u2029\r\n")


def test_refuses_to_encode_what_json_does_not_know():
    with pytest.raises(ValueError, match="not JSON compliant"):
        go_json.encode(float("nan"))


def test_omits_what_go_calls_empty_and_keeps_the_order():
    struct = {"model": "", "index": 0, "data": [], "delta": {}, "text": "a", "message": None, "object": "b"}

    assert list(go_json.omit_empty(struct).items()) == [("delta", {}), ("text", "a"), ("object", "b")]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"a": [1, 2.5, "x"]}', {"a": [1, 2.5, "x"]}),
        (b'"\xff"', "\N{REPLACEMENT CHARACTER}"),
        (b'{"n": 9223372036854775808}', {"n": 9223372036854775808.0}),
        (b"9" * 5000, float("inf")),
        (b"null", None),
    ],
)
def test_decodes_as_go_does(body, expected):
    assert go_json.decode(body) == expected


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"", "unexpected end of JSON input"),
        (b'{"a": ', "unexpected end of JSON input"),
        (b"hello", "invalid character 'h' looking for beginning of value"),
        (b'{"a": NaN}', "invalid character 'N' looking for beginning of value"),
        (b"[" * 100_000, "exceeded max depth"),
    ],
)
def test_complains_as_go_does(body, complaint):
    with pytest.raises(go_json.DecodeError) as caught:
        go_json.decode(body)

    assert str(caught.value) == complaint
