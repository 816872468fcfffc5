"""Requests that are proper HTTP, and mean harm by what is in them: they are refused, or do none."""

import gzip

import pytest

from tests.faults.asking import NEXT, get
from tests.scripted import LAST_CHUNK, STREAM_HEAD, Talk, chunk, soon
from tests.server.streams import PATH, QUESTION, WHOLE, serves

STREAM = STREAM_HEAD + b"".join(map(chunk, WHOLE)) + LAST_CHUNK
MAPPED = {"a": {"upstream": "local", "model": "A"}, "b": {"upstream": "local", "model": "B"}}


def with_extra(extra: bytes) -> bytes:
    return b'{"model":"a","stream":true,"messages":[],"x":' + extra + b"}"


BOMBS = {
    "long-path": (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431),
    "long-query": (b"GET /?" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431),
    "long-field": (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", 431),
    "long-name": (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"x" * 70_000 + b": x\r\n\r\n", 431),
    "many-fields": (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: x\r\n" * 10_000 + b"\r\n", 431),
    "long-as-a-whole": (b"GET / HTTP/1.1\r\nHost: x\r\n" + (b"X: " + b"x" * 60_000 + b"\r\n") * 10, 431),
}


@pytest.fixture
def road() -> None:
    """Take any: they differ in answers alone."""


@pytest.mark.parametrize(("bomb", "status"), BOMBS.values(), ids=BOMBS)
async def test_head_of_a_request_that_is_too_large(talking, bomb, status):
    async with talking(serves(NEXT)) as (upstream, client):
        await client.send(bomb)
        head, error = await client.error()

        assert (head.status, error["type"]) == (status, "invalid_request_error")
        assert await client.closed() == b""
        assert upstream.talks == []


async def test_head_that_is_too_large_behind_another_request(talking):
    """It is the next one, whose beginning comes while the first is answered."""

    async def script(talk: Talk) -> None:
        await talk.receive()
        await soon(talk.go.wait())
        await talk.send(NEXT)

    async with talking(script) as (upstream, client):
        await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await soon(upstream.called.wait())
        await client.send(BOMBS["long-as-a-whole"][0])
        upstream.talks[0].go.set()

        assert await client.body(await client.head()) == b"next"
        assert (await client.error())[0].status == 431
        assert await client.closed() == b""


REFUSED = {
    "deep-lists": with_extra(b"[" * 100_000 + b"]" * 100_000),
    "deep-objects": with_extra(b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "deep-and-open": with_extra(b"[" * 100_000),
    "lists-that-expand": with_extra(b"[" + b"[]," * 1_000_000 + b"0]"),
    "objects-that-expand": with_extra(b"[" + b'{"a":0},' * 1_000_000 + b"0]"),
    "wide": b'{"model":"a",' + b",".join(b'"k%d":1' % number for number in range(20_000)) + b"}",
    "model-a-number": b'{"model":5}',
    "model-a-list": b'{"model":["a"]}',
    "model-an-object": b'{"model":{"a":1}}',
    "model-true": b'{"model":true}',
    "model-half-a-character": b'{"model":"\\ud800"}',
    "number-of-a-million-digits": b'{"model":"a","n":' + b"9" * 1_000_000 + b"}",
    "not-a-number": b'{"model":"a","temperature":NaN}',
    "two-documents": b'{"model":"a"}{"model":"b"}',
    "no-utf-8": b'{"model":"a\xff"}',
    "utf-16": '{"model":"a"}'.encode("utf-16"),
}


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
async def test_body_that_is_refused(talking, body):
    async with talking(serves(STREAM), models=MAPPED) as (upstream, client):
        await client.post(PATH, body)
        head, error = await client.error()
        assert (head.status, error["type"]) == (400, "invalid_request_error")
        assert upstream.talks == []

        await client.post(PATH, QUESTION | {"model": "a"})
        await client.head()
        assert len(await client.chunks()) == len(WHOLE)


PASSED = {
    "model-twice": (b'{"stream":true,"model":"a","model":"b"}', b'{"stream":true,"model":"B","model":"B"}'),
    "model-twice-in-disguise": (
        b'{"stream":true,"mod\\u0065l":"a","model":"b"}',
        b'{"stream":true,"mod\\u0065l":"B","model":"B"}',
    ),
    "model-further-down": (
        with_extra(b'{"model":"b"}'),
        with_extra(b'{"model":"b"}').replace(b'"a"', b'"A"'),
    ),
    "stream-of-another-type": (b'{"model":"a","stream":"yes"}', b'{"model":"A","stream":"yes"}'),
    "everything-of-another-type": (
        b'{"model":"a","stream":true,"n":"x","tools":5,"messages":{},"stream_options":[],"functions":1}',
        b'{"model":"A","stream":true,"n":"x","tools":5,"messages":{},"stream_options":[],"functions":1}',
    ),
    "a-choice-for-everybody": (
        b'{"model":"a","stream":true,"n":1000000000}',
        b'{"model":"A","stream":true,"n":1000000000}',
    ),
}


@pytest.mark.parametrize(("body", "sent"), PASSED.values(), ids=PASSED)
async def test_body_that_is_passed_as_it_was_understood(talking, body, sent):
    """No reader can find another model in it than the one that was routed."""
    async with talking(serves(STREAM), models=MAPPED) as (upstream, client):
        await client.post(PATH, body)
        head = await client.head()

        assert head.status < 500 or b"stream" in body
        assert [request.body for request in upstream.requests] == [sent]


async def test_words_of_a_request_cannot_get_into_a_head(talking):
    """A model's name with line ends in it: no header field tells it, and in the answer it is escaped."""
    name = "x\r\nSet-Cookie: a=b\r\n\r\n"
    async with talking(serves(NEXT), models=MAPPED) as (upstream, client):
        await client.post(PATH, QUESTION | {"model": name}, X_Request_ID="a b")
        head, error = await client.error()

        assert head.status == 404
        assert "set-cookie" not in head.headers
        assert head.headers["x-request-id"] != "a b"
        assert error["code"] == "model_not_found"
        assert upstream.talks == []


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, identity"])
async def test_body_that_is_compressed_is_not_unpacked(talking, encoding):
    """It could be a thousand times as large."""
    bomb = gzip.compress(b'{"model":"a","x":"' + b"0" * 10_000_000 + b'"}')
    async with talking(serves(NEXT)) as (upstream, client):
        await client.post(PATH, bomb, Content_Encoding=encoding)
        head, error = await client.error()

        assert (head.status, error["code"]) == (415, "unsupported_encoding")
        assert upstream.talks == []
        assert await get(client) == b"next"


async def test_body_that_is_compressed_is_passed_as_it_is(talking):
    bomb = gzip.compress(b"0" * 10_000_000)
    async with talking(serves(NEXT)) as (upstream, client):
        await client.post("/v1/files", bomb, Content_Encoding="gzip")
        assert await client.body(await client.head()) == b"next"

        assert upstream.requests[0].body == bomb
        assert upstream.requests[0].headers["content-encoding"] == "gzip"
