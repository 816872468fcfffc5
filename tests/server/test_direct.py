"""What only the fast road does. All else is tested on it and on the plain one alike (`road`)."""

import asyncio
from contextlib import suppress

import aiohttp
import pytest

from proxy.server.upstreams import direct
from proxy.server.upstreams.answer_heads import Head, KnownHeads
from proxy.server.upstreams.direct_connection import DirectConnection
from proxy.server.upstreams.upstream_connection import Connection
from proxy.wire.rewriter import StreamRewriter
from tests.scripted import LAST_CHUNK, STREAM_HEAD, Scripted, Talk, chunk, soon
from tests.server.running import talking
from tests.server.streams import DONE, ONE, PATH, QUESTION, ROLE, STOP, WHOLE, event, held_back, serves, stays
from tests.server.test_leaving import TOO_MUCH
from tests.server.test_upstream import asking, post


def test_it_is_taken_with_the_aiohttp_that_is_tested_and_with_no_other(monkeypatch):
    assert direct.kind_of_connection() is DirectConnection
    monkeypatch.setattr(aiohttp, "__version__", "3.99.0")
    assert direct.kind_of_connection() is Connection


async def test_connection_is_used_again_where_the_last_chunk_comes_late():
    async def script(talk: Talk) -> None:
        for _ in range(3):
            await talk.receive()
            await talk.send(STREAM_HEAD, *map(chunk, WHOLE))
            await soon(talk.go.wait())
            talk.go.clear()
            await talk.send(LAST_CHUNK)
            talk.heard.set()

    async with talking(script) as (upstream, client):
        for _ in range(3):
            await client.post(PATH, QUESTION)
            await client.head()
            assert await client.chunks() == WHOLE
            talk = upstream.talks[-1]
            talk.go.set()
            await soon(talk.heard.wait())
            talk.heard.clear()
            await client.post("/v1/embeddings", b"no JSON")  # is answered once the chunk has been read
            await client.error()

        assert len(upstream.talks) == 1


@pytest.mark.parametrize("more", [chunk(ONE), b"no chunk\r\n"], ids=["an-event", "no-chunk"])
async def test_connection_on_which_the_end_does_not_follow_is_closed(more):
    async def script(talk: Talk) -> None:
        await talk.receive()
        await talk.send(STREAM_HEAD, *map(chunk, WHOLE))
        await soon(talk.go.wait())
        with suppress(ConnectionError):
            await talk.send(more)
            await talk.closed()
        talk.gone.set()

    async with talking(script, serves(STREAM_HEAD, *map(chunk, WHOLE), LAST_CHUNK)) as (upstream, client):
        await client.post(PATH, QUESTION)
        await client.head()
        assert await client.chunks() == WHOLE
        upstream.talks[0].go.set()
        await soon(upstream.talks[0].gone.wait())

        await client.post(PATH, QUESTION)
        await client.head()
        assert await client.chunks() == WHOLE


async def test_connection_on_which_nothing_follows_is_closed_after_a_moment(clock):
    async with talking(stays(STREAM_HEAD, *map(chunk, WHOLE))) as (upstream, client):
        await client.post(PATH, QUESTION)
        await client.head()
        assert await client.chunks() == WHOLE
        clock.advance(2)
        await soon(upstream.talks[0].gone.wait())


async def test_head_that_differs_in_what_is_this_answers_alone_is_known(monkeypatch):
    added: list[bytes] = []
    add = KnownHeads.add

    def noting(heads: KnownHeads, raw: bytes, head: Head) -> None:
        added.append(raw)
        add(heads, raw, head)

    async def script(talk: Talk) -> None:
        for count in range(3):
            await talk.receive()
            fields = b"\r\nDate: %d\r\nX-Envoy-Upstream-Service-Time: %d\r\nCF-RAY: %x\r\n\r\n"
            head = STREAM_HEAD.replace(b"\r\n\r\n", fields % (count, count + 7, count + 99))
            await talk.send(head, chunk(b"first"), LAST_CHUNK)

    monkeypatch.setattr(KnownHeads, "add", noting)
    async with Scripted(script) as server, asking(server) as upstream:
        for _ in range(3):
            assert await post(upstream) == b"first"

    assert len(added) == 1


async def test_request_that_is_withdrawn_as_its_answer_comes_harms_nobody(monkeypatch):
    """By the time that its task hears of it, the connection serves another request."""
    get = KnownHeads.get
    tasks: list[asyncio.Task[bytes]] = []

    def get_and_withdraw(heads: KnownHeads, raw: bytes) -> Head | None:
        if len(tasks) == 1:
            tasks.append(asyncio.create_task(post(upstream)))
            tasks[0].cancel()
        return get(heads, raw)

    answer = STREAM_HEAD + chunk(b"first") + LAST_CHUNK
    async with Scripted(serves(answer)) as server, asking(server) as upstream:
        assert await post(upstream) == b"first"
        monkeypatch.setattr(KnownHeads, "get", get_and_withdraw)
        tasks.append(asyncio.create_task(post(upstream)))
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]

        assert await tasks[1] == b"first"
        assert len(server.talks) == 1


async def test_events_that_are_alike_take_the_shortest_road_to_the_client(monkeypatch):
    longer: list[bytes] = []
    receive_data = StreamRewriter.receive_data

    def noting(rewriter: StreamRewriter, data: bytes) -> list[bytes]:
        longer.append(data)
        return receive_data(rewriter, data)

    async def script(talk: Talk) -> None:
        await talk.receive()
        await talk.send(STREAM_HEAD)
        for frame in frames:
            await talk.send(chunk(frame))
            await soon(talk.go.wait())
            talk.go.clear()
        await talk.send(chunk(STOP + DONE), LAST_CHUNK)

    monkeypatch.setattr(StreamRewriter, "receive_data", noting)
    frames = [ROLE, *(event(f" {n}") for n in range(30))]
    async with talking(script) as (upstream, client):
        await client.post(PATH, QUESTION)
        await client.head()
        for frame in frames:
            assert await client.chunk() == frame
            upstream.talks[0].go.set()
        assert await client.chunks() == [STOP, DONE]

    assert len(longer) < 8


async def test_client_that_does_not_read_holds_back_an_upstream_that_sends_event_by_event():
    async def script(talk: Talk) -> None:
        await talk.receive()
        await talk.send(STREAM_HEAD, chunk(ROLE))
        while not talk.go.is_set():
            sent = talk.sent
            await talk.send_until_blocked(long, sent + len(long))
            await asyncio.sleep(0)  # so that most come in a read of their own
            if talk.sent > TOO_MUCH or talk.writer.transport.get_write_buffer_size() > 2**16:
                talk.go.set()
        await talk.send(chunk(STOP + DONE), LAST_CHUNK)

    long = chunk(event("x" * 30_000))
    async with talking(script) as (upstream, client):
        talk = await held_back(upstream, client, TOO_MUCH)
        await client.head()
        frames = await client.chunks()

    assert [chunk(frame) for frame in frames[1:-2]] == [long] * (talk.sent // len(long))
