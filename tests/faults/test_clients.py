"""Clients that fail, or mean to: the upstream is let go, others do not notice, memory stays bounded."""

import asyncio
import json
from contextlib import suppress

import pytest

from tests.faults.asking import ASKS, NEXT, get
from tests.faults.upstreams import left
from tests.plain_client import PlainClient
from tests.scripted import LAST_CHUNK, STREAM_HEAD, Script, Talk, chunk, soon
from tests.server.streams import DONE, PATH, QUESTION, ROLE, STOP, WHOLE, answers, event, serves

LONG = event("x" * 16_000)
#: More than what sockets and buffers from the upstream to a client that does not read may hold.
TOO_MUCH = 48 * 2**20
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nTransfer-Encoding: chunked\r\n\r\n"
BODY = json.dumps(QUESTION).encode()
STREAM = STREAM_HEAD + b"".join(map(chunk, WHOLE)) + LAST_CHUNK


def post(path: bytes = PATH.encode()) -> bytes:
    """Return a whole request."""
    return b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (path, len(BODY), BODY)


def begins(*data: bytes) -> Script:
    """Make a script: take a request, begin to answer, tell the test, wait until the proxy leaves."""

    async def script(talk: Talk) -> None:
        await talk.receive()
        await talk.send(*data)
        talk.go.set()
        await left(talk)

    return script


# Leaving


@pytest.mark.parametrize("end", ["closes", "resets", "half-closes"])
@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
@pytest.mark.parametrize("moment", ["before-the-head", "after-the-head", "in-the-body"])
async def test_client_that_leaves(talking, moment, ask, end):
    head = CHUNKED % ask.content_type
    said = {"before-the-head": [], "after-the-head": [head], "in-the-body": [head, *map(chunk, ask.begun)]}
    async with talking(begins(*said[moment]), serves(NEXT)) as (upstream, client):
        await ask.ask(client)
        await soon(upstream.called.wait())
        await soon(upstream.talks[0].go.wait())
        leave(client, end)

        await soon(upstream.talks[0].gone.wait())
        async with PlainClient(client.url) as other:
            assert await get(other) == b"next"


def leave(client: PlainClient, how: str) -> None:
    if how == "half-closes":
        client.writer.write_eof()
    elif how == "resets":
        client.reset()
    else:
        client.writer.close()


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"POS",
        b"POST /v1/chat/completions HTTP/1.1\r\nHo",
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{",
    ],
    ids=["nothing", "a-piece-of-the-line", "half-a-head", "half-a-body"],
)
async def test_client_that_leaves_before_it_has_asked(talking, begun):
    async with talking(serves(NEXT)) as (upstream, client):
        await client.send(begun)
        await client.leave()

        async with PlainClient(client.url) as other:
            assert await get(other) == b"next"
        assert [request.target for request in upstream.requests] == ["/"]


async def test_client_that_leaves_its_upload(talking):
    """It was being passed on as it came: the upstream must not take what came for all."""

    async def script(talk: Talk) -> None:
        await talk.receive_head()
        assert await talk.receive_chunk() == b"half"
        talk.go.set()
        with suppress(ConnectionError):
            assert await soon(talk.reader.read()) == b""
        talk.gone.set()

    async with talking(script) as (upstream, client):
        await client.send(
            b"PUT /v1/files HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"half")
        )
        await soon(upstream.called.wait())
        await soon(upstream.talks[0].go.wait())
        await client.leave()

        await soon(upstream.talks[0].gone.wait())


# Reading nothing


@pytest.mark.parametrize("ask", [ASKS["stream"], ASKS["passed"]], ids=["stream", "passed"])
async def test_client_that_reads_nothing_holds_the_upstream_back(talking, ask):
    """And loses nothing, once it reads."""

    async def script(talk: Talk) -> None:
        await talk.receive()
        await talk.send(CHUNKED % ask.content_type)
        await talk.send(chunk(ROLE))
        await talk.send_until_blocked(chunk(LONG), TOO_MUCH)
        talk.go.set()
        await talk.send(chunk(STOP), chunk(DONE), LAST_CHUNK)

    async with talking(script) as (upstream, client):
        await ask.ask(client)
        await soon(upstream.called.wait())
        talk = upstream.talks[0]
        await soon(talk.go.wait())
        assert talk.sent < TOO_MUCH

        await client.head()
        body = b"".join(await client.chunks())
        assert body == ROLE + LONG * (talk.sent // len(chunk(LONG))) + STOP + DONE


@pytest.mark.parametrize("ask", [ASKS["stream"], ASKS["passed"]], ids=["stream", "passed"])
async def test_client_that_leaves_without_having_read(talking, ask):
    async def script(talk: Talk) -> None:
        await talk.receive()
        await talk.send(CHUNKED % ask.content_type)
        await talk.send_until_blocked(chunk(LONG), TOO_MUCH)
        talk.go.set()
        await left(talk)

    async with talking(script, serves(NEXT)) as (upstream, client):
        await ask.ask(client)
        await soon(upstream.called.wait())
        await soon(upstream.talks[0].go.wait())
        await client.leave()

        await soon(upstream.talks[0].gone.wait())


# Asking slowly, or never

BEGUN = b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{"


@pytest.mark.parametrize(
    "begun", [b"", b"G", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "], ids=["nothing", "a-byte", "half-a-head"]
)
async def test_connection_on_which_no_request_comes_is_closed(talking, begun):
    async with talking(serves(NEXT), clients={"idle": "200ms"}) as (upstream, client):
        await client.send(begun)

        assert await client.closed() == b""
        assert upstream.talks == []


async def test_head_that_comes_bit_by_bit_is_not_waited_for(talking, clock):
    """Slowloris: each byte is in time, the head is not."""
    async with talking(serves(NEXT), clients={"idle": "5s"}) as (upstream, client):
        await client.send(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        with suppress(ConnectionError):
            for _ in range(6):
                await client.send(b"x")
                clock.advance(1)
        assert await client.closed() == b""
        assert upstream.talks == []


async def test_connection_that_is_kept_is_closed_in_the_end(talking):
    async with talking(serves(NEXT), clients={"idle": "200ms"}) as (_, client):
        assert await get(client) == b"next"
        assert await get(client) == b"next"

        assert await client.closed() == b""


@pytest.mark.parametrize("earlier", [0, 2], ids=["first", "again"])
@pytest.mark.parametrize("path", [PATH.encode(), b"/v1/files"], ids=["read", "passed"])
async def test_body_that_does_not_come_is_refused(talking, path, earlier):
    async with talking(serves(NEXT), clients={"idle": "200ms"}) as (_, client):
        for _ in range(earlier):
            await client.send(BEGUN % path + b"}".rjust(98))
            await client.body(await client.head())
        await client.send(BEGUN % path)
        head, error = await client.error()

        assert (head.status, error["type"], error["code"]) == (
            408,
            "invalid_request_error",
            "request_timeout",
        )
        assert await client.closed() == b""


CHUNKED_REQUEST = b"POST /v1/files HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
#: How a request begins, and what then comes of it for ever, and never is anything.
TRICKLES = {
    "lines-before-it": (b"", b"\r\n"),
    "target": (b"GET /", b"x"),
    "fields": (b"GET / HTTP/1.1\r\nHost: x\r\n", b"X: x\r\n"),
    "fields-of-one-that-waits": (b"GET / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n", b"X: x\r\n"),
    "lines-after-another": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\r\n"),
    "size-of-a-chunk": (CHUNKED_REQUEST, b"0"),
    "extension-of-a-chunk": (CHUNKED_REQUEST + b"1;x", b"x"),
    "trailers": (CHUNKED_REQUEST + b"0\r\n", b"X: x\r\n"),
    "trailer": (CHUNKED_REQUEST + b"0\r\nX: ", b"x"),
}


@pytest.mark.parametrize(("begun", "again"), TRICKLES.values(), ids=TRICKLES)
async def test_request_that_trickles_is_not_waited_for(talking, begun, again):
    async def trickle() -> None:
        with suppress(ConnectionError):
            while True:
                await client.send(again)
                await asyncio.sleep(0.01)

    async with talking(serves(NEXT), clients={"idle": "300ms"}) as (_, client):
        await client.send(begun)
        trickling = asyncio.create_task(trickle())
        with suppress(ConnectionError):  # what is still on its way then makes a reset of it
            said = await client.closed()
            assert said == b"" or said.startswith((b"HTTP/1.1 408 ", NEXT[:15]))
        trickling.cancel()


async def test_body_that_comes_slowly_is_taken(talking, clock):
    async with talking(answers(STREAM), clients={"idle": "5s"}) as (upstream, client):
        head, _, body = post().partition(b"\r\n\r\n")
        for _ in range(3):
            await client.send(head + b"\r\n\r\n")
            for byte in body:
                await client.send(bytes([byte]))
                clock.advance(1)
            await client.head()
            assert await client.chunks() == WHOLE
        assert [request.body for request in upstream.requests] == [BODY] * 3


async def test_no_limit_is_no_limit(talking, clock):
    async with talking(serves(NEXT), clients={"idle": 0}) as (_, client):
        for byte in b"GET / HTTP/1.1\r\n":
            await client.send(bytes([byte]))
            clock.advance(15)
        await client.send(b"Host: x\r\n\r\n")

        assert await client.body(await client.head()) == b"next"


# More than was announced, and more than one


@pytest.mark.parametrize("path", [PATH.encode(), b"/v1/files"], ids=["read", "passed"])
async def test_body_longer_than_announced_ends_where_announced(talking, path):
    """What follows is the next request, and none at all."""
    async with talking(serves(STREAM)) as (upstream, client):
        await client.send(post(path))
        assert (await client.head()).status == 200
        assert b"".join(await client.chunks()) == b"".join(WHOLE)
        await client.send(b"and more\r\n\r\n")
        assert (await client.error())[0].status == 400
        assert await client.closed() == b""

        assert [request.body for request in upstream.requests] == [BODY]


@pytest.mark.parametrize("path", [PATH.encode(), b"/v1/files"], ids=["read", "passed"])
async def test_body_longer_than_announced_in_one_go_is_refused(talking, path):
    async with talking(serves(STREAM)) as (upstream, client):
        await client.send(post(path) + b"and more\r\n\r\n")
        assert (await client.error())[0].status == 400
        assert await client.closed() == b""

        assert upstream.requests == []


async def test_requests_one_after_the_other_without_waiting_are_answered_in_order(talking):
    other = b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n"

    async def script(talk: Talk) -> None:
        for _ in range(101):
            request = await talk.receive()
            name = request.target[1:].encode()
            named = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(name), name)
            await talk.send(STREAM if request.method == "POST" else named)

    async with talking(script) as (_, client):
        await client.send(post() + b"".join(other % number for number in range(100)))
        await client.head()
        assert await client.chunks() == WHOLE
        for number in range(100):
            assert await client.body(await client.head()) == b"%d" % number


async def test_client_that_leaves_with_requests_unanswered(talking):
    async with talking(begins(STREAM_HEAD, chunk(ROLE)), serves(NEXT)) as (upstream, client):
        await client.send(post() * 20)
        await soon(upstream.called.wait())
        await soon(upstream.talks[0].go.wait())
        await client.leave()

        await soon(upstream.talks[0].gone.wait())
        async with PlainClient(client.url) as again:
            assert await get(again) == b"next"
        assert [request.method for request in upstream.requests] == ["POST", "GET"]


REFUSED = {
    "no-json": (b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n{", 400),
    "another-path": (b"GET /../admin HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "unknown-model": (
        b'POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 13\r\n\r\n{"model":"x"}',
        404,
    ),
}


@pytest.mark.parametrize(("request_", "status"), REFUSED.values(), ids=REFUSED)
async def test_connection_is_kept_after_an_error(talking, request_, status):
    settings = {"models": {"m": {"upstream": "local"}}}
    async with talking(serves(STREAM), **settings) as (_, client):
        for _ in range(2):
            await client.send(request_)
            assert (await client.error())[0].status == status
        await client.post(PATH, QUESTION)
        await client.head()
        assert await client.chunks() == WHOLE
