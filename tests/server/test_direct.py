"""What only the fast road does. All else is tested on it and on the plain one alike (`road`)."""

from contextlib import suppress

import aiohttp
import pytest

from proxy.server import direct
from proxy.server.upstream_connection import Connection
from tests.scripted import LAST_CHUNK, STREAM_HEAD, Talk, chunk, soon
from tests.server.running import talking
from tests.server.streams import ONE, PATH, QUESTION, WHOLE, serves


def test_it_is_taken_with_the_aiohttp_that_is_tested_and_with_no_other(monkeypatch):
    assert direct.kind_of_connection() is direct.DirectConnection
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
