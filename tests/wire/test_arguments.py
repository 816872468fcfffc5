"""Arguments of a call: whole exactly when they are a whole JSON object or array."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.arguments import Arguments
from tests.wire.cuts import cut

SCALARS = st.none() | st.booleans() | st.integers() | st.text(st.sampled_from('a\\"{}[],:é😀\n'), max_size=6)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
DOCUMENTS = st.lists(VALUES, max_size=3) | st.dictionaries(st.text(max_size=4), VALUES, max_size=3)


def fed(*pieces: str) -> Arguments:
    arguments = Arguments()
    for piece in pieces:
        arguments.feed(piece)
    return arguments


def is_whole(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict | list)
    except ValueError:
        return False


@given(
    value=DOCUMENTS,
    ascii_only=st.booleans(),
    indent=st.none() | st.just(1),
    blank=st.sampled_from(["", " ", "\n\t"]),
)
def test_they_are_complete_exactly_where_json_is(
    value: Any, ascii_only: bool, indent: int | None, blank: str
) -> None:
    text = blank + json.dumps(value, ensure_ascii=ascii_only, indent=indent) + blank
    arguments = Arguments()
    for end in range(1, len(text) + 1):
        arguments.feed(text[end - 1])
        assert arguments.complete == is_whole(text[:end]), text[:end]


@given(value=DOCUMENTS, data=st.data())
def test_the_cuts_make_no_difference(value: Any, data: st.DataObject) -> None:
    text = json.dumps(value)
    text = text[: data.draw(st.integers(0, len(text)))]
    places = data.draw(st.lists(st.integers(0, len(text)), max_size=5))
    pieces = [piece.decode() for piece in cut(text.encode(), places)]
    arguments = fed(*pieces)
    assert arguments.text == text
    assert arguments.complete == is_whole(text)
    assert arguments.begun == bool(text)


@pytest.mark.parametrize(
    "text", ["", " \n", "Rome", "42", "null", '"{}"', "}", '{"a":"}', '{"a":"\\"}', "[{}"]
)
def test_what_is_no_whole_object_or_array_is_not_complete(text: str) -> None:
    assert not fed(text).complete


def test_white_space_begins_nothing() -> None:
    assert not fed("", " ", "\n").begun
    assert fed(" ", "{").begun


def test_an_escape_that_is_cut_hides_the_quote_after_it() -> None:
    assert not fed('{"a":"\\', '"}').complete
    assert fed('{"a":"\\', '"', '"}').complete
    assert fed('{"a":"\\', "\\", '"}').complete
