"""Vectors of large bodies: their digits leave as they came, whatever is wrong around them."""

import base64
import contextlib
import json
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import UpstreamError, UpstreamMalformed
from proxy.wire import vectors
from proxy.wire.bodies import rewrite_body
from proxy.wire.chunk import Origin
from proxy.wire.plan import compile_plan
from proxy.wire.requests import Endpoint, Request
from tests.wire.body_contract import check_body
from tests.wire.cases import BEGAN, TOKEN

ORIGIN = Origin(TOKEN, BEGAN)
PLAN = compile_plan()
FLOATS = Request(Endpoint.EMBEDDINGS, model="m")
BASE64 = Request(Endpoint.EMBEDDINGS, model="m", base64=True)
#: Makes any body a large one.
PADDING = b'"padding":"' + b"x" * vectors.SMALL_BODY + b'",'


def large(items: bytes, *, usage: bytes = b'{"prompt_tokens":2,"total_tokens":2}') -> bytes:
    return b'{"object":"list",' + PADDING + b'"data":[' + items + b'],"model":"m","usage":' + usage + b"}"


def item(vector: bytes, index: int = 0) -> bytes:
    return b'{"object":"embedding","index":%d,"embedding":%s}' % (index, vector)


def test_nothing_wrong_and_the_body_itself_leaves() -> None:
    body = large(item(b"[0.10, -2E-3,\n3]") + b"," + item(b"[1]", 1))
    out, repairs = rewrite_body(body, FLOATS, ORIGIN, PLAN)
    assert out is body
    assert repairs == {}


def test_the_skeleton_is_repaired_around_the_very_digits() -> None:
    body = large(b'{"embedding":[0.10, -2E-3,\n3]},{"embedding" : [[ 1.50 ] ]}', usage=b"null")
    out, repairs = rewrite_body(body, FLOATS, ORIGIN, PLAN)
    check_body(out, FLOATS)
    assert b'"embedding":[0.10, -2E-3,\n3]}' in out
    assert b'"embedding":[ 1.50 ]}' in out
    assert repairs == {"incomplete-embedding": 1, "nested-embedding": 1, "missing-usage": 1}


def test_base64_is_written_from_the_digits() -> None:
    body = large(item(b"[0.25,-1.5,3]") + b"," + item(b"[1e10]", 1))
    out, repairs = rewrite_body(body, BASE64, ORIGIN, PLAN)
    decoded = [base64.b64decode(one["embedding"]) for one in check_body(out, BASE64)["data"]]
    assert decoded == [struct.pack("<3f", 0.25, -1.5, 3), struct.pack("<f", 1e10)]
    assert repairs == {"ignored-base64": 2}


@pytest.mark.parametrize(
    "vector",
    [
        b"[1,,2]",
        b"[1e999]",
        b"[1e39]",
        b"[-]",
        b'["x"]',
        b"[null]",
        b"[[1],[2]]",
        b"{}",
        b"null",
        b"[1,true]",
    ],
)
@pytest.mark.parametrize("pad", [b"", PADDING], ids=["small", "large"])
def test_what_is_no_vector_cannot_become_base64(vector: bytes, pad: bytes) -> None:
    body = large(item(vector)).replace(PADDING, pad)
    with pytest.raises(UpstreamMalformed):
        rewrite_body(body, BASE64, ORIGIN, PLAN)


@pytest.mark.parametrize("vector", [b'["x"]', b"[null]", b"[[1],[2]]", b"{}", b"null", b"[NaN]", b"[1,true]"])
def test_what_is_no_vector_is_an_error(vector: bytes) -> None:
    with pytest.raises(UpstreamMalformed):
        rewrite_body(large(item(vector)), FLOATS, ORIGIN, PLAN)


@pytest.mark.parametrize(
    "awkward",
    [
        b'"note":"\\"embedding\\":[1]",',
        b'"note":"\\\\","embedding":[1],',
        b'"embedding":[7],',
        b'"meta":{"embedding":[7]},',
        b'"meta":[{"embedding":[7]}],',
        b'"note":"straightwire:vector:0",',
    ],
)
def test_numbers_that_are_no_vectors_stay_where_they_are(awkward: bytes) -> None:
    body = large(item(b"[0.5]") + b"," + item(b"[1.5]", 1), usage=b"null")
    body = body.replace(b'"object":"list",', b'"object":"list",' + awkward, 1)
    out, repairs = rewrite_body(body, FLOATS, ORIGIN, PLAN)
    assert json.loads(out) == json.loads(body) | {"usage": {"prompt_tokens": 0, "total_tokens": 0}}
    assert repairs == {"missing-usage": 1}


def test_vectors_change_places_with_the_very_digits() -> None:
    body = large(item(b"[0.10,2]", 1) + b"," + item(b"[1.50,-2E-3]", 0))
    out, repairs = rewrite_body(body, FLOATS, ORIGIN, PLAN)
    assert b'"index":0,"embedding":[1.50,-2E-3]},{"object":"embedding","index":1,"embedding":[0.10,2]}' in out
    assert repairs == {"unsorted-embeddings": 1}


@pytest.mark.parametrize("forged", [b'"straightwire:vector:0"', b'"straightwire:vector:1"'])
def test_a_forged_mark_is_the_text_that_it_is(forged: bytes) -> None:
    body = large(item(forged) + b"," + item(b"[1.5]", 1), usage=b"null")
    out, _ = rewrite_body(body, BASE64, ORIGIN, PLAN)
    assert [one["embedding"] for one in json.loads(out)["data"]] == [json.loads(forged), "AADAPw=="]
    with pytest.raises(UpstreamMalformed):
        rewrite_body(body, FLOATS, ORIGIN, PLAN)


NUMBERS = st.lists(
    st.floats(allow_nan=False, allow_infinity=False, width=32) | st.integers(-9, 9), min_size=1
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    NUMBERS
    | st.text(max_size=5)
    | st.integers(-(2**63), 2**64 - 1)
    | st.none()
    | st.sampled_from(['"embedding":[1]', '\\"']),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["embedding", "data", "x", '"embedding":[']), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(
    value=VALUES,
    items=st.lists(st.fixed_dictionaries({"embedding": NUMBERS | VALUES})),
    indent=st.none() | st.just(1),
)
@settings(max_examples=300)
def test_reading_by_parts_reads_the_same(value: Any, items: list[Any], indent: int | None) -> None:
    body = {"data": items, "x": value, "padding": "x" * vectors.SMALL_BODY}
    read, rough = vectors.read(json.dumps(body, indent=indent).encode())
    assert not rough
    for one in read["data"]:
        vector = one["embedding"]
        if isinstance(vector, vectors.Numbers):
            one["embedding"] = json.loads(vector.raw)
        elif isinstance(vector, list) and vector and isinstance(vector[0], vectors.Numbers):
            vector[0] = json.loads(vector[0].raw)
    assert json.dumps(read) == json.dumps(body)


@given(cuts=st.lists(st.integers(0, 400), max_size=4), junk=st.binary(max_size=4))
def test_a_large_body_that_is_damaged_is_an_error_or_a_body(cuts: list[int], junk: bytes) -> None:
    body = large(item(b"[0.25,-1.5,3]") + b"," + item(b"[[1.5]]", 1))
    for place in cuts:
        body = body[: len(body) - place] + junk + body[len(body) - place + 1 :]
    with contextlib.suppress(UpstreamError):
        assert rewrite_body(body, FLOATS, ORIGIN, PLAN)[0]


class Counted(bytes):
    """Bytes that count how many of them are looked for or copied."""

    looked_at = 0

    def find(self, sub: Any, start: Any = 0, end: Any = None) -> int:
        found = super().find(sub, start, end)
        self.looked_at += (len(self) if end is None else end) - start if found < 0 else found - start + 1
        return found

    def __getitem__(self, place: Any) -> Any:
        piece = super().__getitem__(place)
        self.looked_at += len(piece)
        return piece


@pytest.mark.parametrize(
    "hostile",
    [b'"embedding":[', b'"embedding":[[', b'"embedding":[x', b'"embedding"', b'"embedding":[1', b"["],
)
def test_hostile_bodies_are_cut_at_linear_cost(hostile: bytes) -> None:
    few, many = Counted(hostile * 1_000 + b"]"), Counted(hostile * 4_000 + b"]")
    vectors.cut(few)
    vectors.cut(many)
    assert many.looked_at <= 5 * few.looked_at
