"""The proxy's stop: nothing new comes in, what runs may end, and what does not end says so."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from proxy.server.app import Proxy
from tests.plain_client import PlainClient, refused
from tests.scripted import EMPTY, LAST_CHUNK, STREAM_HEAD, Script, Scripted, Talk, chunk, soon
from tests.server.running import running
from tests.server.streams import DONE, ONE, PATH, QUESTION, ROLE, STOP, WHOLE, begin, error_of, serves, stays

LONG = "20s"
SHORT = "50ms"
WHOLE_QUESTION = QUESTION | {"stream": False}


async def waits(talk: Talk) -> None:
    """Begin a stream, and end it when the test says go."""
    await talk.receive()
    await talk.send(STREAM_HEAD, chunk(ROLE))
    await soon(talk.go.wait())
    await talk.send(chunk(ONE + STOP + DONE), LAST_CHUNK)


@asynccontextmanager
async def served(script: Script, drain: str) -> AsyncIterator[tuple[Scripted, Proxy, PlainClient]]:
    """Run an upstream, a proxy before it, and a client that is connected."""
    async with (
        Scripted(script) as upstream,
        running(upstream, drain=drain) as proxy,
        PlainClient(proxy.url) as client,
    ):
        yield upstream, proxy, client


async def test_stream_that_runs_may_end():
    async with served(waits, LONG) as (upstream, proxy, client):
        await begin(client)
        stopping = asyncio.ensure_future(proxy.stop())
        await refused(proxy.url)
        upstream.talks[0].go.set()

        assert b"".join(await client.chunks()) == ONE + STOP + DONE
        assert await client.closed() == b""
        await soon(stopping)


async def test_idle_connections_are_closed_at_once():
    async with (
        Scripted(waits, serves(EMPTY)) as upstream,
        running(upstream, drain=LONG) as proxy,
        PlainClient(proxy.url) as busy,
        PlainClient(proxy.url) as idle,
        PlainClient(proxy.url) as silent,
    ):
        await begin(busy)
        await idle.request("GET", "/x")
        assert (await idle.head()).status == 200
        stopping = asyncio.ensure_future(proxy.stop())

        assert await idle.closed() == b""
        assert await silent.closed() == b""
        upstream.talks[0].go.set()
        assert b"".join(await busy.chunks()) == ONE + STOP + DONE
        await soon(stopping)


async def test_answer_that_begins_during_the_stop_says_that_the_connection_ends():
    async def late(talk: Talk) -> None:
        await talk.receive()
        await soon(talk.go.wait())
        await talk.send(EMPTY)

    async with served(late, LONG) as (upstream, proxy, client):
        await client.request("GET", "/x")
        await soon(upstream.called.wait())
        stopping = asyncio.ensure_future(proxy.stop())
        await refused(proxy.url)
        upstream.talks[0].go.set()
        head = await client.head()

        assert (head.status, head.headers["connection"]) == (200, "close")
        assert await client.closed() == b""
        await soon(stopping)


@pytest.mark.parametrize("before", [0, 1], ids=["first", "second"])
async def test_request_of_which_the_rest_is_still_to_come_may_end(before):
    async with served(serves(STREAM_HEAD, *map(chunk, WHOLE), LAST_CHUNK), LONG) as (_, proxy, client):
        body = json.dumps(QUESTION).encode()
        head = b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (PATH.encode(), len(body))
        for _ in range(before):
            await client.send(head + body)
            await client.head()
            await client.chunks()
        await client.send(head + body[:9])
        async with PlainClient(proxy.url) as beside:  # by whose answer it is seen that this has been read
            await beside.request("OPTIONS", "*")
            await beside.error()
        stopping = asyncio.ensure_future(proxy.stop())
        await refused(proxy.url)
        await client.send(body[9:])
        answered = await client.head()

        assert (answered.status, answered.headers["connection"]) == (200, "close")
        assert await client.chunks() == WHOLE
        assert await client.closed() == b""
        await soon(stopping)


async def test_upload_that_is_answered_before_it_has_come_may_end():
    async def early(talk: Talk) -> None:
        await talk.receive_head()
        await talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nag")
        assert await soon(talk.reader.readexactly(4)) == b"body"
        await talk.send(b"o")

    async with (
        Scripted(waits, early) as upstream,
        running(upstream, drain=LONG) as proxy,
        PlainClient(proxy.url) as busy,
        PlainClient(proxy.url) as client,
    ):
        await begin(busy)
        await client.request("POST", "/x", Content_Length="4")
        assert (await client.head()).status == 200
        stopping = asyncio.ensure_future(proxy.stop())
        await refused(proxy.url)
        await client.send(b"body")
        assert await client.closed() == b"ago"

        upstream.talks[0].go.set()
        assert b"".join(await busy.chunks()) == ONE + STOP + DONE
        await soon(stopping)


async def test_stream_that_does_not_end_in_time_ends_in_an_error():
    async with served(stays(STREAM_HEAD, chunk(ROLE), chunk(ONE)), SHORT) as (upstream, proxy, client):
        await begin(client)
        assert await client.chunk() == ONE
        await soon(proxy.stop())
        (last,) = await client.chunks()

        error = error_of(last)
        assert (error["code"], error["type"]) == ("proxy_stopped", "server_error")
        assert await client.closed() == b""
        await soon(upstream.talks[0].gone.wait())


async def test_stream_of_which_only_the_end_is_missing_is_whole():
    script = stays(STREAM_HEAD, *map(chunk, WHOLE[:-1]))
    async with served(script, SHORT) as (_, proxy, client):
        await begin(client)
        for expected in WHOLE[1:-2]:
            assert await client.chunk() == expected
        await soon(proxy.stop())

        assert await client.chunks() == [STOP, DONE]


@pytest.mark.parametrize("question", [QUESTION, WHOLE_QUESTION], ids=["stream", "whole"])
async def test_answer_that_has_not_begun_in_time_is_refused_with_a_status(question):
    async with served(stays(), SHORT) as (upstream, proxy, client):
        await client.post(PATH, question)
        await soon(upstream.called.wait())
        stopping = asyncio.ensure_future(proxy.stop())
        head, error = await client.error()

        assert (head.status, head.headers["retry-after"]) == (503, "1")
        assert error["code"] == "proxy_stopped"
        assert head.headers["connection"] == "close"
        await soon(stopping)
        await soon(upstream.talks[0].gone.wait())


async def test_bytes_that_pass_through_are_broken_off():
    script = stays(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf")
    async with served(script, SHORT) as (_, proxy, client):
        await client.request("GET", "/file")
        assert (await client.head()).status == 200
        await soon(proxy.stop())

        assert await client.closed() == b"half"


async def test_client_that_does_not_read_holds_nothing_up():
    async def floods(talk: Talk) -> None:
        await talk.receive()
        await talk.send(STREAM_HEAD)
        await talk.send_until_blocked(chunk(ONE) * 1000, 2**28)
        talk.heard.set()
        await talk.closed()

    async with (
        Scripted(floods) as upstream,
        running(upstream, drain=SHORT) as proxy,
        PlainClient(proxy.url, read_ahead=1) as client,
    ):
        await client.post(PATH, QUESTION)
        await soon(upstream.called.wait())
        await soon(upstream.talks[0].heard.wait())

        await soon(proxy.stop())
        await soon(upstream.talks[0].gone.wait())
