"""A client that leaves, or does not read: the upstream notices, and nothing is kept in between."""

from contextlib import suppress

import pytest

from tests.plain_client import PlainClient
from tests.scripted import LAST_CHUNK, STREAM_HEAD, Script, Scripted, Talk, chunk, soon
from tests.server.running import running, talking
from tests.server.streams import (
    DONE,
    ONE,
    PATH,
    QUESTION,
    ROLE,
    STOP,
    WHOLE,
    answers,
    begin,
    event,
    held_back,
)

pytestmark = pytest.mark.usefixtures("road")

LONG = event("x" * 16_000)
#: More than what all buffers from the upstream to a client that does not read can hold.
TOO_MUCH = 96 * 2**20


def begins(*data: bytes) -> Script:
    """Make a script: take a request, send these bytes, tell the test, wait until the proxy closes."""

    async def script(talk: Talk) -> None:
        await talk.receive()
        await talk.send(*data)
        talk.go.set()
        await talk.closed()

    return script


SILENT_AFTER = {
    "the-request": begins(),
    "the-head": begins(STREAM_HEAD),
    "a-comment": begins(STREAM_HEAD, chunk(b": ping\n\n")),
    "half-an-event": begins(STREAM_HEAD, chunk(ROLE[:20])),
}


@pytest.mark.parametrize("script", SILENT_AFTER.values(), ids=SILENT_AFTER)
async def test_client_leaves_before_the_first_frame(script):
    async with talking(script) as (upstream, client):
        await client.post(PATH, QUESTION)
        await soon(upstream.called.wait())
        await soon(upstream.talks[0].go.wait())
        await client.leave()

        await soon(upstream.talks[0].gone.wait())


async def test_client_leaves_while_the_upstream_is_silent_in_the_middle():
    async with talking(begins(STREAM_HEAD, chunk(ROLE), chunk(ONE))) as (upstream, client):
        await begin(client)
        assert await client.chunk() == ONE
        await client.leave()

        await soon(upstream.talks[0].gone.wait())


async def test_client_leaves_while_the_upstream_sends():
    async def script(talk: Talk) -> None:
        await talk.receive()
        await talk.send(STREAM_HEAD, chunk(ROLE))
        with suppress(ConnectionError):
            while True:
                await talk.send(chunk(LONG))
        talk.gone.set()

    async with talking(script) as (upstream, client):
        await begin(client)
        assert await client.chunk() == LONG
        await client.leave()

        await soon(upstream.talks[0].gone.wait())


async def test_client_leaves_while_it_still_sends_its_request():
    async with talking(begins()) as (upstream, client):
        await client.send(b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{" % PATH.encode())
        await client.leave()

    assert upstream.talks == []  # looked at when all is over: it might be asked late


async def test_others_are_served_after_a_client_has_left():
    async with (
        Scripted(
            begins(STREAM_HEAD, chunk(ROLE)), answers(STREAM_HEAD, *map(chunk, WHOLE), LAST_CHUNK)
        ) as upstream,
        running(upstream) as proxy,
    ):
        async with PlainClient(proxy.url) as leaver:
            await leaver.post(PATH, QUESTION)
            await leaver.head()
        await soon(upstream.talks[0].gone.wait())
        async with PlainClient(proxy.url) as client:
            await client.post(PATH, QUESTION)
            await client.head()

            assert await client.chunks() == WHOLE


def floods(ending: bytes) -> Script:
    """Make a script: send until nothing more is taken, then, when the test says so, the end."""

    async def script(talk: Talk) -> None:
        await talk.receive()
        await talk.send(STREAM_HEAD, chunk(ROLE))
        await talk.send_until_blocked(chunk(LONG), TOO_MUCH)
        talk.go.set()
        await talk.send(ending)

    return script


async def test_client_that_does_not_read_holds_the_upstream_back_and_loses_nothing():
    script = floods(chunk(STOP + DONE) + LAST_CHUNK)
    async with talking(script, upstream_timeouts={"idle": "100ms"}) as (upstream, client):
        talk = await held_back(upstream, client, TOO_MUCH)
        await client.head()
        frames = await client.chunks()

    # The limit of silence has passed meanwhile; it was the client's silence.
    assert frames == [ROLE, *[LONG] * (talk.sent // len(chunk(LONG))), STOP, DONE]


async def test_client_leaves_without_ever_reading():
    async def script(talk: Talk) -> None:
        await talk.receive()
        await talk.send(STREAM_HEAD, chunk(ROLE))
        await talk.send_until_blocked(chunk(LONG), TOO_MUCH)
        talk.go.set()
        with suppress(ConnectionError):
            await talk.closed()
        talk.gone.set()

    async with talking(script) as (upstream, client):
        await client.post(PATH, QUESTION)
        await soon(upstream.called.wait())
        await soon(upstream.talks[0].go.wait())
        await client.leave()

        await soon(upstream.talks[0].gone.wait())
