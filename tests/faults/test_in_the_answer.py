"""The upstream fails in the middle of its answer: half of one never passes for a whole one."""

import asyncio
from contextlib import suppress

import pytest

from tests.faults.asking import ASKS, NEXT, Ask
from tests.faults.upstreams import goes_on, left, waits
from tests.scripted import LAST_CHUNK, STREAM_HEAD, Script, Talk, chunk, soon
from tests.server.streams import (
    DONE,
    ONE,
    PATH,
    QUESTION,
    ROLE,
    STOP,
    TWO,
    WHOLE,
    answers,
    error_of,
    event,
    serves,
)

CHUNKED, CLOSED, COUNTED = b"Transfer-Encoding: chunked", b"Connection: close", b"Content-Length: 99999"
TRUNCATED, MALFORMED, TIMEOUT = "upstream_truncated", "upstream_malformed", "upstream_timeout"
#: How an answer ends in the middle: how it was framed, what more comes, what is done then, what it is called.
FAULTS = {
    "closes-between-chunks": (CHUNKED, b"", "closes", TRUNCATED),
    "closes-in-a-chunk": (CHUNKED, b"80\r\ndata: {", "closes", TRUNCATED),
    "closes-in-the-size-of-a-chunk": (CHUNKED, b"8", "closes", TRUNCATED),
    "closes-in-the-last-chunk": (CHUNKED, b"0\r\n", "closes", TRUNCATED),
    "closes-short-of-its-length": (COUNTED, b"", "closes", TRUNCATED),
    "resets-between-chunks": (CHUNKED, b"", "resets", TRUNCATED),
    "resets-in-a-chunk": (CHUNKED, b"80\r\ndata: {", "resets", TRUNCATED),
    "resets-short-of-its-length": (COUNTED, b"", "resets", TRUNCATED),
    "resets-without-a-length": (CLOSED, b"", "resets", TRUNCATED),
    "has-a-chunk-without-a-size": (CHUNKED, b"zz\r\n", "waits", MALFORMED),
    "has-a-chunk-of-a-negative-size": (CHUNKED, b"-1\r\n", "waits", MALFORMED),
    "has-a-chunk-of-a-huge-size": (CHUNKED, b"f" * 17 + b"\r\n", "waits", MALFORMED),
    "has-a-chunk-longer-than-its-size": (CHUNKED, b"5\r\ndata: {}\n\n\r\n", "waits", MALFORMED),
    "stalls-between-chunks": (CHUNKED, b"", "waits", TIMEOUT),
    "stalls-in-a-chunk": (CHUNKED, b"80\r\ndata: {", "waits", TIMEOUT),
    "stalls-short-of-its-length": (COUNTED, b"", "waits", TIMEOUT),
    "stalls-without-a-length": (CLOSED, b"", "waits", TIMEOUT),
}


def fails(ask: Ask, framing: bytes, more: bytes, end: str) -> Script:
    """Make a script: begin an answer, and end it as told once the client has got what came so far."""

    async def script(talk: Talk) -> None:
        await talk.receive()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\n%b\r\n\r\n" % (ask.content_type, framing)
        await talk.send(head, *(chunk(part) if framing == CHUNKED else part for part in ask.begun))
        await soon(talk.go.wait())
        await talk.send(more)
        if end == "waits":
            await left(talk)
        elif end == "resets":
            talk.reset()

    return script


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_answer_that_does_not_end(talking, fault, ask):
    framing, more, end, code = fault
    script = fails(ask, framing, more, end)
    async with talking(script, serves(NEXT), upstream_timeouts={"idle": "200ms"}) as (upstream, client):
        await ask.ask(client)
        await soon(upstream.called.wait())
        await ask.fails(client, code, upstream.talks[0].go.set)

        await soon(upstream.talks[0].ended.wait())
        assert await ask.next(client) == b"next"


@pytest.mark.parametrize("kind", ["stream", "whole"])
async def test_answer_that_stalls_after_its_head_is_a_status(talking, kind):
    head = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\n%b\r\n\r\n" % (ASKS[kind].content_type, CHUNKED)
    async with talking(waits(head), serves(NEXT), upstream_timeouts={"first_byte": "200ms"}) as (
        upstream,
        client,
    ):
        await ASKS[kind].ask(client)
        answer, error = await client.error()

        assert (answer.status, error["code"]) == (504, TIMEOUT)
        await soon(upstream.talks[0].ended.wait())
        assert await next_of(client) == b"next"


@pytest.mark.parametrize("kind", ["stream", "whole"])
async def test_error_that_stalls_is_told_as_far_as_it_came(talking, kind):
    begun = b"HTTP/1.1 500 Oops\r\nContent-Type: text/plain\r\nContent-Length: 99\r\n\r\nout of memory"
    async with talking(waits(begun), serves(NEXT), upstream_timeouts={"idle": "200ms"}) as (upstream, client):
        await ASKS[kind].ask(client)
        answer, error = await client.error()

        assert (answer.status, error["message"]) == (500, "out of memory")
        await soon(upstream.talks[0].ended.wait())
        assert await next_of(client) == b"next"


async def next_of(client) -> bytes:
    await client.request("GET", "/next")
    return await client.body(await client.head())


async def test_break_after_every_choice_has_finished_is_no_loss(talking):
    async with talking(answers(STREAM_HEAD, *map(chunk, WHOLE[:-1])), serves(NEXT)) as (_, client):
        await client.post(PATH, QUESTION)
        await client.head()

        assert await client.chunks() == WHOLE
        assert await next_of(client) == b"next"


async def test_clean_end_without_a_finish_is_an_error(talking):
    async with talking(answers(STREAM_HEAD, *map(chunk, WHOLE[:4]), LAST_CHUNK)) as (_, client):
        await client.post(PATH, QUESTION)
        await client.head()
        *before, last = await client.chunks()

    assert before == WHOLE[:4]
    assert error_of(last)["code"] == TRUNCATED


@pytest.mark.parametrize(
    "again", [b": ping\n\n", b"event: ping\ndata: {}\n\n", b"\n"], ids=["comments", "events", "lines"]
)
async def test_pings_for_ever_are_silence(talking, again):
    script = goes_on(STREAM_HEAD + chunk(ROLE) + chunk(ONE), chunk(again))
    async with talking(script, serves(NEXT), upstream_timeouts={"idle": "200ms"}) as (upstream, client):
        await client.post(PATH, QUESTION)
        await client.head()
        *before, last = await client.chunks()

        assert before == [ROLE, ONE]
        assert error_of(last)["code"] == TIMEOUT
        await soon(upstream.talks[0].ended.wait())
        assert await next_of(client) == b"next"


async def test_event_that_comes_byte_by_byte_is_silence(talking, clock):
    """One byte a second is not the next event within five."""

    async def script(talk: Talk) -> None:
        await talk.receive()
        await talk.send(STREAM_HEAD, chunk(ROLE), chunk(ONE))
        with suppress(ConnectionError):
            for byte in TWO[:5]:
                await soon(talk.go.wait())
                talk.go.clear()
                await talk.send(chunk(bytes([byte])))
                talk.heard.set()
        await left(talk)

    async with talking(script, upstream_timeouts={"idle": "5s"}) as (upstream, client):
        await client.post(PATH, QUESTION)
        await client.head()
        assert [await client.chunk(), await client.chunk()] == [ROLE, ONE]
        talk = upstream.talks[0]
        reading = asyncio.ensure_future(client.chunks())
        for _ in range(5):
            talk.go.set()
            await soon(talk.heard.wait())
            talk.heard.clear()
            assert not reading.done()
            clock.advance(1)
        (last,) = await soon(reading)

    assert error_of(last)["code"] == TIMEOUT


async def test_event_without_end_is_an_error(talking):
    script = goes_on(STREAM_HEAD + chunk(ROLE) + chunk(b"data: "), chunk(b"x" * 2**16))
    async with talking(script, serves(NEXT), limits={"event": "1MiB"}) as (upstream, client):
        await client.post(PATH, QUESTION)
        await client.head()
        *before, last = await client.chunks()

        assert before == [ROLE]
        assert error_of(last)["code"] == MALFORMED
        await soon(upstream.talks[0].ended.wait())
        assert await next_of(client) == b"next"


async def test_hundred_megabytes_at_once_arrive(talking):
    """As fast as the upstream can, in events of half a megabyte."""
    long = event("x" * 2**19)
    count = 100 * 2**20 // len(long)

    async def script(talk: Talk) -> None:
        await talk.receive()
        await talk.send(STREAM_HEAD, chunk(ROLE))
        for _ in range(count):
            await talk.send(chunk(long))
        await talk.send(chunk(STOP + DONE), LAST_CHUNK)

    async with talking(script) as (_, client):
        await client.post(PATH, QUESTION)
        await client.head()
        assert await client.chunk() == ROLE
        for _ in range(count):
            assert await client.chunk() == long
        assert await client.chunks() == [STOP, DONE]


STATUSES = {
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", {"stream": 502, "whole": 204, "passed": 204}),
    "304": (b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n", {"stream": 304, "whole": 304, "passed": 304}),
    "307": (b"HTTP/1.1 307 There\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", dict.fromkeys(ASKS, 307)),
    "continue-first": (b"HTTP/1.1 100 Continue\r\n\r\n" + NEXT, {"stream": 502, "whole": 502, "passed": 200}),
    "early-hints-first": (
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + NEXT,
        {"stream": 502, "whole": 502, "passed": 200},
    ),
}


@pytest.mark.parametrize("kind", ASKS)
@pytest.mark.parametrize(("answer", "statuses"), STATUSES.values(), ids=STATUSES)
async def test_status_without_a_body(talking, answer, statuses, kind):
    async with talking(serves(answer), serves(NEXT)) as (_, client):
        await ASKS[kind].ask(client)
        head = await client.head()
        await client.body(head) if "content-length" in head.headers else None

        assert head.status == statuses[kind]
        await ASKS[kind].ask(client)
        assert (await client.head()).status in (statuses[kind], 502)
