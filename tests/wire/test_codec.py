"""JSON that other parsers read, and that every parser can read once it has left."""

import json
import math
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.wire.codec import LEAST_LOGPROB, TEXT_KEYS, NotJSON, clean_text, dumps, expands, loads, scrub

ANY_TEXT = st.text(st.characters(exclude_categories=()))  # lone surrogates, too
TEXTS = st.text()


def values(
    texts: st.SearchStrategy[str],
    floats: st.SearchStrategy[float],
    integers: st.SearchStrategy[int] = st.integers(),  # noqa: B008 - a strategy is immutable
) -> st.SearchStrategy[Any]:
    scalars = st.none() | st.booleans() | integers | floats | texts
    return st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=10)


CLEAN = values(TEXTS, st.floats(allow_nan=False, allow_infinity=False))
ROUGH = values(ANY_TEXT, st.floats())


def strictly(data: bytes) -> Any:
    """Read as the RFC says: UTF-8, no NaN, no raw control characters."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    return json.loads(data.decode("utf-8"), parse_constant=refuse)


@given(CLEAN)
@example(2**64)
@example(-(2**63) - 1)
def test_what_is_written_is_read_again(value: Any) -> None:
    data = dumps(value)

    assert strictly(data) == value
    assert b"\n" not in data
    assert loads(data) == (value, False), "to the last digit"


@given(CLEAN)
@example([10**18, -(10**18), 2**64, {"a": -(2**63) - 1, "b": 2**64 - 1}])
def test_clean_json_is_not_rough_however_it_is_spelt(value: Any) -> None:
    for spelling in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=2)):
        assert loads(spelling.encode()) == (value, False)


@given(ROUGH)
def test_rough_json_is_clean_once_it_is_scrubbed(value: Any) -> None:
    data = json.dumps(value).encode()
    read, _ = loads(data)

    strictly(dumps(scrub(read)))


@given(st.binary())
def test_bytes_are_json_or_they_are_not(data: bytes) -> None:
    try:
        value, _ = loads(data)
    except NotJSON:
        return
    strictly(dumps(scrub(value)))


ROUGH_SPELLINGS = {
    "not a number": (b'{"logprob":NaN,"x":NaN}', {"logprob": LEAST_LOGPROB, "x": None}),
    "infinite": (b'{"logprob":-Infinity,"x":[Infinity]}', {"logprob": LEAST_LOGPROB, "x": [None]}),
    "in a list": (b'{"token_logprobs":[-0.1,-Infinity]}', {"token_logprobs": [-0.1, LEAST_LOGPROB]}),
    "a first half alone": (rb'{"x":"a\ud83d"}', {"x": "a\ufffd"}),
    "a second half alone": (rb'{"x":"\ude00a"}', {"x": "\ufffda"}),
    "halves in the wrong order": (rb'{"x":"\ude00\ud83d"}', {"x": "\ufffd\ufffd"}),
    "invalid UTF-8": (b'{"x":"a\xff\xe2\x82"}', {"x": "a\ufffd\ufffd\ufffd"}),
    "a raw line end": (b'{"x":"a\nb\tc"}', {"x": "a\nb\tc"}),
    "a key": (rb'{"\ud83d":1}', {"\ufffd": 1}),
}  # fmt: skip


@pytest.mark.parametrize(("data", "clean"), ROUGH_SPELLINGS.values(), ids=ROUGH_SPELLINGS)
def test_what_only_lenient_parsers_read_is_read_and_made_clean(data: bytes, clean: Any) -> None:
    value, rough = loads(data)

    assert rough
    assert scrub(value) == clean


def test_a_pair_of_escapes_is_one_character_and_not_rough() -> None:
    assert loads(rb'"\ud83d\ude00"') == ("😀", False)


@pytest.mark.parametrize("data", [b"", b"{", b"{} {}", b"data", b"{'a':1}", b"\xff", b"[" * 100_000])
def test_what_nobody_reads_is_no_json(data: bytes) -> None:
    with pytest.raises(NotJSON):
        loads(data)


@pytest.mark.parametrize("key", sorted(TEXT_KEYS))
def test_halves_stay_in_the_texts_that_are_kept(key: str) -> None:
    value = {"delta": {key: "a\ud83d", "other": "a\ud83d"}}

    assert scrub(value, keep=TEXT_KEYS) == {"delta": {key: "a\ud83d", "other": "a\ufffd"}}


def nested(depth: int) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


def test_nesting_beyond_what_orjson_writes_is_written() -> None:
    assert dumps(nested(300)) == b"[" * 300 + b"0" + b"]" * 300


def test_nesting_that_nobody_writes_is_said_to_be_too_deep() -> None:
    with pytest.raises(NotJSON, match="nested too deeply"):
        dumps(nested(100_000))
    with pytest.raises(NotJSON, match="nested too deeply"):
        scrub(nested(100_000))


@pytest.mark.parametrize("depth", [250, 300, 900, 1100, 5000, 100_000])
def test_any_depth_is_read_and_written_or_refused(depth: int) -> None:
    data = b"[" * depth + b"]" * depth
    try:
        value, rough = loads(data)
        assert dumps(scrub(value) if rough else value) == data
    except NotJSON:
        assert depth > 300


@given(ANY_TEXT)
def test_clean_text_loses_halves_and_nothing_else(text: str) -> None:
    def whole(match: re.Match[str]) -> str:
        high, low = map(ord, match.group())
        return chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))

    joined = re.sub("[\ud800-\udbff][\udc00-\udfff]", whole, text)
    assert clean_text(text) == re.sub("[\ud800-\udfff]", "\ufffd", joined)


@given(ROUGH)
def test_scrubbing_twice_is_scrubbing_once(value: Any) -> None:
    once = scrub(value)

    assert scrub(once) == once
    assert not any(isinstance(leaf, float) and not math.isfinite(leaf) for leaf in leaves(once))


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in leaves(item)]
    if isinstance(value, list):
        return [leaf for item in value for leaf in leaves(item)]
    return [value]


@pytest.mark.parametrize(
    ("value", "times", "too_many"),
    [
        (b"0.1234,", 2048 * 3072, False),
        (rb'"{\"a\":1}",', 1_000_000, True),  # braces in a string count, too
        (rb'"\"a\":1",', 1_900_000, False),
        (b'"a",', 2_100_000, True),
        (b"1,", 8_100_000, True),
        (b"[],", 600_000, True),
    ],
)
def test_what_would_take_many_times_its_memory(value: bytes, times: int, too_many: bool) -> None:
    assert expands(b"[" + value * times + b"0]") is too_many
