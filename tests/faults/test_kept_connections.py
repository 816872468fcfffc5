"""A connection to the upstream that is kept: it is never used where something is wrong with it."""

import asyncio
import json
import socket
from collections.abc import Callable
from contextlib import suppress

import pytest

from proxy.server.upstreams.upstream_connection import Connection
from tests.plain_client import PlainClient
from tests.scripted import LAST_CHUNK, STREAM_HEAD, Script, Talk, chunk, soon
from tests.server.streams import PATH, QUESTION, WHOLE, answers, serves

STREAM = STREAM_HEAD + b"".join(map(chunk, WHOLE)) + LAST_CHUNK
MINE = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmine"
YOURS = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nyours"
OURS = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nours"

SURPLUS = {
    "an-answer": YOURS,
    "a-head": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
    "half-a-head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "continue": b"HTTP/1.1 100 Continue\r\n\r\n",
    "a-blank-line": b"\r\n",
    "a-byte": b"x",
    "a-chunk": chunk(b"yours"),
}


async def get(client, path="/") -> bytes:
    await client.request("GET", path)
    return await client.body(await client.head())


def then(answer: bytes, surplus: bytes) -> Script:
    """Make a script: answer, and send more once the test says so; the proxy has to close then."""

    async def script(talk: Talk) -> None:
        await talk.receive()
        await talk.send(answer)
        await soon(talk.go.wait())
        await talk.send(surplus)
        await talk.closed()

    return script


@pytest.mark.parametrize("surplus", SURPLUS.values(), ids=SURPLUS)
async def test_surplus_after_an_answer_is_nobodys(talking, surplus):
    async with talking(then(MINE, surplus), serves(OURS)) as (upstream, client):
        assert await get(client) == b"mine"
        upstream.talks[0].go.set()
        await soon(upstream.talks[0].gone.wait())

        assert await get(client) == b"ours"


@pytest.mark.parametrize("surplus", SURPLUS.values(), ids=SURPLUS)
async def test_surplus_after_a_stream_is_nobodys(talking, surplus):
    async with talking(then(STREAM, surplus), serves(OURS)) as (upstream, client):
        await client.post(PATH, QUESTION)
        await client.head()
        assert await client.chunks() == WHOLE
        upstream.talks[0].go.set()
        await soon(upstream.talks[0].gone.wait())

        assert await get(client) == b"ours"


@pytest.mark.parametrize("surplus", SURPLUS.values(), ids=SURPLUS)
async def test_surplus_in_the_same_breath_is_nobodys(talking, surplus):
    """One read brings the rest of the answer and more."""

    async def script(talk: Talk) -> None:
        await talk.receive()
        await talk.send(STREAM_HEAD, chunk(WHOLE[0]))
        await soon(talk.go.wait())
        await talk.send(*map(chunk, WHOLE[1:]), LAST_CHUNK, surplus)
        await serves(OURS)(talk)

    async with talking(script, serves(OURS)) as (upstream, client):
        await client.post(PATH, QUESTION)
        await client.head()
        assert await client.chunk() == WHOLE[0]
        upstream.talks[0].go.set()
        assert await client.chunks() == WHOLE[1:]

        assert await get(client) == b"ours"


WITH_MORE = {
    "a-length": MINE,
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"mine") + LAST_CHUNK,
    "an-empty-body": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("surplus", SURPLUS.values(), ids=SURPLUS)
@pytest.mark.parametrize("answer", WITH_MORE.values(), ids=WITH_MORE)
async def test_surplus_with_all_of_an_answer_is_nobodys(talking, answer, surplus):
    """One read brings head, body and more. A blank line alone means nothing (RFC 9112, section 2.2)."""
    async with talking(serves(answer, surplus), serves(OURS)) as (upstream, client):
        await client.request("GET", "/")
        head = await client.head()
        if "content-length" in head.headers:
            assert b"mine".startswith(await client.body(head))
        else:
            assert await client.chunks() == [b"mine"]

        if surplus != b"\r\n":
            assert await get(client) == b"ours"
            assert len(upstream.talks[0].requests) == 1


HEADS_WITHOUT_BODY = {
    "204": b"HTTP/1.1 204 No Content",
    "304": b"HTTP/1.1 304 Not Modified",
}
BODIES = {
    "a-length": (b"\r\nContent-Length: 5", b"yours"),
    "chunks": (b"\r\nTransfer-Encoding: chunked", chunk(b"yours") + LAST_CHUNK),
}


@pytest.mark.parametrize(("framing", "body"), BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("head", HEADS_WITHOUT_BODY.values(), ids=HEADS_WITHOUT_BODY)
async def test_body_where_there_is_none_is_nobodys(talking, head, framing, body):
    """However it is cut: the client gets the status, and the next answer is not the body."""
    answer = head + framing + b"\r\n\r\n" + body

    for cut in range(len(answer) + 1):

        async def script(talk: Talk, cut: int = cut) -> None:
            await talk.receive()
            await talk.send(answer[:cut])
            await soon(talk.go.wait())
            with suppress(ConnectionError):
                await talk.send(answer[cut:])
                await talk.closed()
            talk.gone.set()

        async with talking(script, serves(OURS)) as (upstream, client):
            await client.request("GET", "/")
            await soon(upstream.called.wait())
            async with PlainClient(client.url) as other:  # time for the first piece to be read
                assert await get(other) == b"ours"
            upstream.talks[0].go.set()
            assert (await client.head()).status == int(head[9:12])
            await soon(upstream.talks[0].gone.wait())

            assert await get(client) == b"ours"


@pytest.mark.parametrize("surplus", [YOURS, b"\r\n", b""], ids=["an-answer", "a-blank-line", "the-end"])
async def test_surplus_at_the_last_moment_is_nobodys(talking, monkeypatch, surplus):
    """The kernel has it, and the event loop has not yet heard of it when the next request goes out."""
    asks = Connection.is_connected
    theirs: list[socket.socket] = []

    def has_more(connection: Connection) -> bool:
        while theirs:
            with theirs.pop() as own:
                own.send(surplus) if surplus else own.shutdown(socket.SHUT_WR)
        return asks(connection)

    monkeypatch.setattr(Connection, "is_connected", has_more)
    async with talking(serves(MINE), serves(OURS)) as (upstream, client):
        assert await get(client) == b"mine"
        theirs.append(upstream.talks[0].writer.get_extra_info("socket").dup())

        assert await get(client) == b"ours"
        assert len(upstream.talks[0].requests) == 1


def once(then_ends: Callable[[Talk], None]) -> Script:
    """Make a script: answer one request, and end the connection when the next one has come."""

    async def script(talk: Talk) -> None:
        await talk.receive()
        await talk.send(MINE)
        await talk.receive()
        then_ends(talk)

    return script


ENDS = {"closes": lambda talk: talk.writer.close(), "resets": Talk.reset}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
async def test_end_as_the_next_request_goes_out_costs_nothing(talking, end):
    """It may be sent again: the upstream closed an idle connection, and has not begun to answer."""
    async with talking(once(end), answers(STREAM)) as (upstream, client):
        assert await get(client) == b"mine"
        await client.post(PATH, QUESTION)
        assert (await client.head()).status == 200
        assert await client.chunks() == WHOLE

        bodies = [talk.requests[-1].body for talk in upstream.talks]
        assert bodies == [json.dumps(QUESTION).encode()] * 2


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_request_is_sent_twice_at_most(talking, end, method):
    async def dead(talk: Talk) -> None:
        await talk.receive()
        end(talk)

    async with talking(once(end), dead, serves(OURS)) as (upstream, client):
        assert await get(client) == b"mine"
        await client.request(method, PATH, json.dumps(QUESTION).encode() if method == "POST" else None)
        head, error = await client.error()

        assert (head.status, error["code"]) == (502, "upstream_truncated")
        assert len(upstream.talks) == 2
        assert await get(client) == b"ours"


TORSOS = {
    "a-byte": b"H",
    "half-a-head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "continue": b"HTTP/1.1 100 Continue\r\n\r\n",
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("torso", TORSOS.values(), ids=TORSOS)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_request_that_got_something_back_is_not_sent_again(talking, monkeypatch, method, torso, end):
    """The upstream has begun to work: it may do so twice."""
    arrived = asyncio.Event()
    receive = Connection._receive_head

    def note(connection: Connection, data: bytes) -> None:
        receive(connection, data)
        if data == torso:
            arrived.set()

    monkeypatch.setattr(Connection, "_receive_head", note)

    async def script(talk: Talk) -> None:
        await talk.receive()
        await talk.send(MINE)
        await talk.receive()
        await talk.send(torso)
        await soon(arrived.wait())  # a reset would take it back
        end(talk)

    async with talking(script, serves(OURS)) as (upstream, client):
        assert await get(client) == b"mine"
        await client.request(method, PATH, json.dumps(QUESTION).encode() if method == "POST" else None)
        head, error = await client.error()

        assert (head.status, error["code"]) == (502, "upstream_truncated")
        assert len(upstream.talks) == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_request_on_a_fresh_connection_is_not_sent_again(talking, method):
    async with talking(answers(), serves(OURS)) as (upstream, client):
        await client.request(method, PATH, json.dumps(QUESTION).encode() if method == "POST" else None)
        head, error = await client.error()

        assert (head.status, error["code"]) == (502, "upstream_truncated")
        assert len(upstream.talks) == 1


async def test_request_whose_body_was_passed_on_as_it_came_is_not_sent_again(talking):
    async with talking(once(Talk.reset), serves(OURS)) as (upstream, client):
        assert await get(client) == b"mine"
        await client.post("/upload", b"once only")
        head, error = await client.error()

        assert (head.status, error["code"]) == (502, "upstream_truncated")
        assert len(upstream.talks) == 1
