"""Clients that take nothing any more, and do not say so: their machine, or the way to it, has gone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest

from tests.faults.asking import ASKS, NEXT, Ask, get
from tests.faults.namespaces import Cable
from tests.faults.upstreams import left
from tests.plain_client import PlainClient
from tests.scripted import Script, Scripted, Talk, chunk, soon
from tests.server.streams import event, serves

IDLE = {"idle": "3s"}
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nTransfer-Encoding: chunked\r\n\r\n"
#: More than what sockets and buffers from the upstream to a client that does not read may hold.
TOO_MUCH = 48 * 2**20
LONG = chunk(event("x" * 16_000))
asks = pytest.mark.parametrize("ask", [ASKS["stream"], ASKS["passed"]], ids=["stream", "passed"])


@asynccontextmanager
async def far_away(proxied, cable: Cable, upstream: Scripted, ask: Ask) -> AsyncIterator[str]:
    """Have a client at the far end of a cable ask something, and see the answer begin; tell where."""
    async with proxied(upstream.url, clients=IDLE, listen={"host": cable.here, "port": 0}) as near:
        connection = await asyncio.to_thread(cable.call, urlsplit(near.url).port)
        async with PlainClient(near.url, connected=connection) as client:
            await ask.ask(client)
            await client.head()
            assert await client.chunk() == ask.begun[0]
            yield near.url


async def others_are_served(url: str) -> None:
    async with PlainClient(url) as other:
        assert await get(other) == b"next"


def begins(ask: Ask, go_on: Script) -> Script:
    """Make a script: begin an answer, then go on by another script."""

    async def script(talk: Talk) -> None:
        await talk.receive()
        await talk.send(CHUNKED % ask.content_type, chunk(ask.begun[0]))
        await go_on(talk)

    return script


async def says_more(talk: Talk) -> None:
    """Send something when the test says so."""
    await soon(talk.go.wait())
    await talk.send(chunk(event("more")))
    await left(talk)


@asks
@pytest.mark.parametrize("go_on", [says_more, left], ids=["goes on", "silent"])
async def test_client_whose_packets_are_lost(proxied, cable, ask, go_on):
    """Nothing arrives of what the upstream says; where it is silent, the client is asked if it is there."""
    async with (
        Scripted(begins(ask, go_on), serves(NEXT)) as upstream,
        far_away(proxied, cable, upstream, ask) as url,
    ):
        cable.cut()
        upstream.talks[0].go.set()
        await soon(upstream.talks[0].gone.wait())
        await others_are_served(url)


@asks
async def test_client_that_is_far_away_and_silent_is_not_given_up(proxied, cable, ask):
    """It has nothing to say; its kernel answers for it."""

    async def is_kept(talk: Talk) -> None:
        with pytest.raises(TimeoutError):
            await talk.closed_within(5)
        talk.go.set()

    async with Scripted(begins(ask, is_kept)) as upstream, far_away(proxied, cable, upstream, ask):
        await soon(upstream.talks[0].go.wait())


@asks
async def test_client_that_never_reads(talking, ask):
    async def script(talk: Talk) -> None:
        await talk.receive()
        await talk.send(CHUNKED % ask.content_type)
        await talk.send_until_blocked(LONG, TOO_MUCH)
        await left(talk)

    async with talking(script, serves(NEXT), clients=IDLE) as (upstream, client):
        client.writer.transport.pause_reading()
        await ask.ask(client)
        await soon(upstream.called.wait())
        await soon(upstream.talks[0].gone.wait())
        assert upstream.talks[0].sent < TOO_MUCH
        await others_are_served(client.url)
