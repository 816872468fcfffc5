"""Upstreams that mean harm: clients get an error, or what is harmless, and the memory stays bounded."""

import gzip
import json
import tracemalloc
import zlib
from functools import cache

import pytest

from tests.faults.asking import ASKS, NEXT, get
from tests.plain_client import PlainClient
from tests.scripted import LAST_CHUNK, STREAM_HEAD, Scripted, chunk
from tests.server.streams import ONE, PATH, QUESTION, ROLE, answers, error_of, event, serves

OK = b"HTTP/1.1 200 OK\r\n"
EMPTY = b"Content-Length: 0\r\n\r\n"
asks = pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)

HEADS = {
    "control-in-a-field": OK + b"X: a\x01b\r\n" + EMPTY,
    "delete-in-a-field": OK + b"X: a\x7fb\r\n" + EMPTY,
    "control-in-the-reason": b"HTTP/1.1 200 O\x01K\r\n" + EMPTY,
    "status-below-100": b"HTTP/1.1 099 No\r\n" + EMPTY,
    "status-above-599": b"HTTP/1.1 600 No\r\n" + EMPTY,
    "status-of-four-digits": b"HTTP/1.1 1000 No\r\n" + EMPTY,
    "another-protocol": b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nraw",
    "encoded-transfer": OK + b"Transfer-Encoding: gzip\r\n\r\n" + gzip.compress(b"{}"),
    "encoded-chunks": OK
    + b"Transfer-Encoding: gzip, chunked\r\n\r\n"
    + chunk(gzip.compress(b"{}"))
    + LAST_CHUNK,
}


@asks
@pytest.mark.parametrize("answer", HEADS.values(), ids=HEADS)
async def test_head_that_no_client_should_see(talking, answer, ask):
    async with talking(answers(answer), serves(NEXT)) as (_, client):
        await ask.ask(client)
        head, error = await client.error()

        assert (head.status, error["code"]) == (502, "upstream_malformed")
        assert await get(client) == b"next"


async def test_fields_that_a_client_must_not_believe_are_not_passed(talking):
    fields = (
        b"Connection: close, X-Inside\r\nX-Inside: 1\r\nKeep-Alive: timeout=1\r\n"
        b"Proxy-Authenticate: Basic\r\nUpgrade: h2c\r\nTrailer: X\r\nX-Request-ID: forged\r\n"
    )
    async with talking(answers(OK + fields + NEXT.removeprefix(OK))) as (_, client):
        await client.request("GET", "/", X_Request_ID="mine")
        head = await client.head()

        assert await client.body(head) == b"next"
        assert head.all("x-request-id") == ["mine"]
        hop_by_hop = {"connection", "x-inside", "keep-alive", "proxy-authenticate", "upgrade", "trailer"}
        assert not hop_by_hop & set(head.headers)


async def test_cookie_is_one_clients(talking):
    cookie = OK + b"Set-Cookie: session=1; Path=/\r\n" + NEXT.removeprefix(OK)
    async with talking(serves(cookie)) as (upstream, client):
        await client.request("GET", "/")
        head = await client.head()
        assert await client.body(head) == b"next"
        assert head.headers["set-cookie"] == "session=1; Path=/"
        async with PlainClient(client.url) as other:
            assert await get(other) == b"next"

        assert [request.headers.get("cookie") for request in upstream.requests] == [None, None]


@asks
async def test_redirect_takes_the_upstreams_key_nowhere(talking, ask):
    """It is the client that may go there, with its own."""
    async with Scripted(serves(NEXT)) as elsewhere:
        answer = b"HTTP/1.1 307 There\r\nLocation: %b/x\r\n" % elsewhere.url.encode() + EMPTY
        async with talking(answers(answer), upstream_api_key="sk-upstream") as (upstream, client):
            await ask.ask(client)
            head = await client.head()

            assert (head.status, head.headers["location"]) == (307, f"{elsewhere.url}/x")
            assert upstream.requests[0].headers["authorization"] == "Bearer sk-upstream"
            assert elsewhere.talks == []


@cache
def bomb(before: bytes, size: int) -> bytes:
    """Compress a beginning and many zeros, a thousand times as many bytes as come out."""
    packer = zlib.compressobj(9, wbits=31)
    packed = packer.compress(before)
    for _ in range(size // 2**20):
        packed += packer.compress(b"0" * 2**20)
    return packed + packer.flush()


LIMITS = {"event": "1MiB", "response_body": "1MiB"}
EXPANDING = {
    "event": ("stream", b"200 OK", b"text/event-stream", b"data: ", 502),
    "body-for-a-stream": ("stream", b"200 OK", b"application/json", b'{"a":"', 502),
    "body": ("whole", b"200 OK", b"application/json", b'{"a":"', 502),
    "stream-for-a-body": ("whole", b"200 OK", b"text/event-stream", b"data: ", 502),
    "error-for-a-stream": ("stream", b"500 Oops", b"text/plain", b"oops", 500),
    "error-for-a-body": ("whole", b"500 Oops", b"text/plain", b"oops", 500),
}


@pytest.mark.parametrize("expanding", EXPANDING.values(), ids=EXPANDING)
async def test_answer_that_expands(talking, expanding):
    """64 MiB in 64 KiB: no more of it is unpacked than the limits allow."""
    kind, status, content_type, before, seen = expanding
    packed = bomb(before, 2**26)
    head = b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
    answer = head % (status, content_type, len(packed)) + packed
    async with talking(answers(answer), serves(NEXT), limits=LIMITS) as (_, client):
        tracemalloc.start()
        try:
            await ASKS[kind].ask(client)
            refused, error = await client.error()
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

        assert refused.status == seen
        assert error["type"] == "server_error"
        assert most < 2**24
        assert await get(client) == b"next"


@pytest.mark.parametrize(
    ("value", "times"),
    [(b"{}", 1_000_000), (b'"a"', 2_100_000), (b"1", 8_100_000)],
    ids=["objects", "strings", "numbers"],
)
async def test_body_that_would_expand_when_it_is_read(talking, value, times):
    """Short values take many times the memory of their bytes."""
    body = b'{"choices":[' + (value + b",") * times + value + b"]}"
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    async with talking(answers(head, body), serves(NEXT)) as (_, client):
        await ASKS["whole"].ask(client)
        head, error = await client.error()

        assert (head.status, error["code"]) == (502, "upstream_malformed")
        assert await get(client) == b"next"


async def test_body_that_expands_is_passed_as_it_is(talking):
    packed = bomb(b"", 2**26)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    async with talking(answers(head, packed)) as (_, client):
        await client.request("GET", "/", Accept_Encoding="gzip")
        assert await client.body(await client.head()) == packed


EVENTS = {
    "deep-lists": b"[" * 100_000 + b"]" * 100_000,
    "deep-objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "deep-choices": b'{"choices":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "choice-of-a-huge-index": b'{"choices":[{"index":99999999999,"delta":{"content":"x"}}]}',
    "call-of-a-huge-index": b'{"choices":[{"index":0,"delta":{"tool_calls":[{"index":99999999999}]}}]}',
    "number-of-many-digits": b'{"choices":[{"index":0,"delta":{}}],"created":' + b"9" * 100_000 + b"}",
}


@pytest.mark.parametrize("data", EVENTS.values(), ids=EVENTS)
async def test_event_that_is_hostile_ends_the_stream_or_is_left_out(talking, data):
    stream = STREAM_HEAD + chunk(ROLE) + chunk(ONE) + chunk(b"data: " + data + b"\n\n") + LAST_CHUNK
    async with talking(answers(stream), serves(NEXT)) as (_, client):
        await client.post(PATH, QUESTION)
        assert (await client.head()).status == 200
        *before, last = await client.chunks()

        assert before[:2] == [ROLE, ONE]
        assert error_of(last)["type"] == "server_error"
        assert await get(client) == b"next"


async def test_words_of_an_upstream_cannot_make_an_event(talking):
    """Line ends of every kind in a text: they stay escaped within the one line of its event."""
    text = "a\r\n\r\ndata: [DONE]\n\ndata: {}\r\revent: x\u2028\u0085b"
    async with talking(answers(STREAM_HEAD, chunk(ROLE), chunk(event(text)), LAST_CHUNK)) as (_, client):
        await client.post(PATH, QUESTION)
        await client.head()
        role, content, last = await client.chunks()

    assert role == ROLE
    assert content.count(b"\n") == 2
    assert content.endswith(b"\n\n")
    assert b"\r" not in content
    assert json.loads(content.removeprefix(b"data: "))["choices"][0]["delta"]["content"] == text
    assert error_of(last)["code"] == "upstream_truncated"
