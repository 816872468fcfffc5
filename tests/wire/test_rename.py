"""The model's name is exchanged in place: its value changes, and no other byte."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.errors import InvalidRequest
from proxy.wire.model_name import rename_model

NAME = 'ggml "ü" \\ j'
WRITTEN = orjson.dumps(NAME)

EXAMPLES = [
    (b'{"model":"gpt-4"}', b'{"model":%s}'),
    (b'\n{ "model" :\t"gpt-4" , "n":1 }\r\n', b'\n{ "model" :\t%s , "n":1 }\r\n'),
    (b'{"messages":[{"model":"a"}],"model":"b"}', b'{"messages":[{"model":"a"}],"model":%s}'),
    (b'{"user":"\\"model\\":\\"a\\"","model":"b"}', b'{"user":"\\"model\\":\\"a\\"","model":%s}'),
    (b'{"user":"\\\\","model":"b"}', b'{"user":"\\\\","model":%s}'),
    (b'{"x":{"model":1},"model":"b","y":"model"}', b'{"x":{"model":1},"model":%s,"y":"model"}'),
    (b'{"model":"a","model":"b"}', b'{"model":%s,"model":%s}'),
    (b'{"m\\u006fdel":"a"}', b'{"m\\u006fdel":%s}'),
    (b'{"m\\u006fdels":"a"}', b'{"model":%s,"m\\u006fdels":"a"}'),
    (b'{"model":null,"n":-1.5e3}', b'{"model":%s,"n":-1.5e3}'),
    (b'{"model":"a\\"b\\u0022"}', b'{"model":%s}'),
    (b"{}", b'{"model":%s}'),
    (b" { } ", b' {"model":%s } '),
    (b'{"n":[true,false,null,{"a":[]}]}', b'{"model":%s,"n":[true,false,null,{"a":[]}]}'),
    ('{"user":"größer","model":"b"}'.encode(), '{"user":"größer","model":%s}'.encode()),
]


@pytest.mark.parametrize(("body", "renamed"), EXAMPLES)
def test_value_of_the_top_level_model_is_exchanged(body: bytes, renamed: bytes) -> None:
    assert rename_model(body, NAME) == renamed.replace(b"%s", WRITTEN)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"  ",
        b"[]",
        b'"model"',
        b"{",
        b'{"model"',
        b'{"model":',
        b'{"model":"a',
        b'{"model":"a\\"',
        b'{"model":"a"',
        b'{"model":"a",}',
        b'{"model":"a"}}',
        b'{"model":"a"} x',
        b'{"model":[1,2}',
        b'{"model":[{}',
        b'{"model" "a"}',
        b'{"a":1 "model":"a"}',
        b"{model:1}",
        b'{"m\\u00zz":1,"m\\x":?}',
        b'{"a":"' + b"x" * 600 + b"\\",
        b'\xef\xbb\xbf{"model":"a"}',
    ],
)
def test_what_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match="JSON"):
        rename_model(body, NAME)


def test_strings_longer_than_what_is_matched_at_once_are_passed_over() -> None:
    lengths = [511, 512, 513, 1024, 5000]
    for text in [piece * length for length in lengths for piece in ("x", "\n", '"', "\\", 'x"model":"y"')]:
        for value in (text, [text], {"text": text, "more": [[text], text + "\n" + text]}):
            body = json.dumps({"prompt": value, "model": "a"}).encode()
            assert rename_model(body, NAME) == body.replace(b'"model": "a"}', b'"model": ' + WRITTEN + b"}")


def test_depth_is_no_limit() -> None:
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
        nested = opening * 100_000 + b"1" + closing * 100_000
        assert rename_model(b'{"n":%s,"model":"a"}' % nested, "b") == b'{"n":%s,"model":"b"}' % nested


spaces = st.text(" \t\r\n", max_size=2)
names = st.sampled_from(["model", "Model", "models", "", "messages", 'mo"del', "\\model", "mödel", "model\\"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(names | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


@st.composite
def spellings(draw: st.DrawFn, text: str) -> str:
    """Write a string in one of the many ways of JSON."""
    characters = []
    for character in text:
        ways = [json.dumps(character)[1:-1], json.dumps(character, ensure_ascii=False)[1:-1]]
        if ord(character) < 0x10000:
            ways += [f"\\u{ord(character):04x}", f"\\u{ord(character):04X}"]
        characters.append(draw(st.sampled_from(ways)))
    return f'"{"".join(characters)}"'


@st.composite
def texts_of(draw: st.DrawFn, value: Any) -> str:
    """Write a value with any white space and any spelling of its strings."""
    before, after = draw(spaces), draw(spaces)
    if isinstance(value, str):
        text = draw(spellings(value))
    elif isinstance(value, dict):
        members = [f"{draw(texts_of(key))}:{draw(texts_of(inner))}" for key, inner in value.items()]
        text = "{" + (",".join(members) or draw(spaces)) + "}"
    elif isinstance(value, list):
        text = "[" + (",".join(draw(texts_of(inner)) for inner in value) or draw(spaces)) + "]"
    else:
        text = json.dumps(value)
    return before + text + after


@given(data=st.data(), members=st.lists(st.tuples(names, values), max_size=4))
def test_any_object_in_any_spelling_differs_in_nothing_but_the_name(
    data: st.DataObject, members: list[tuple[str, Any]]
) -> None:
    sent, expected = [], []
    for key, value in members:
        spelt, text = data.draw(texts_of(key)), data.draw(texts_of(value))
        left, right = len(text) - len(text.lstrip(" \t\r\n")), len(text.rstrip(" \t\r\n"))
        sent.append(f"{spelt}:{text}")
        exchanged = text[:left] + WRITTEN.decode() + text[right:]
        expected.append(f"{spelt}:{exchanged if key == 'model' else text}")
    inserted = [] if any(key == "model" for key, _ in members) else [f'"model":{WRITTEN.decode()}']
    renamed = rename_model(("{" + ",".join(sent) + "}").encode("utf-8", "surrogatepass"), NAME)
    assert renamed.decode("utf-8", "surrogatepass") == "{" + ",".join(inserted + expected) + "}"
    assert json.loads(renamed.decode("utf-8", "surrogatepass")) == {**dict(members), "model": NAME}


@given(st.binary() | st.text('{}[]":,\\ model1').map(str.encode))
@example(b'{"model":\x00}')
def test_anything_is_renamed_or_refused(body: bytes) -> None:
    try:
        renamed = rename_model(body, NAME)
    except InvalidRequest:
        with pytest.raises((orjson.JSONDecodeError, AssertionError)):
            assert isinstance(orjson.loads(body), dict)
        return
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        return
    assert orjson.loads(renamed) == {**told, "model": NAME}
