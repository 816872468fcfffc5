"""What a stream does while its upstream says nothing: it opens, keeps alive, and gives up."""

import asyncio
from contextlib import suppress

import pytest

from proxy.server.alarms import Alarm
from tests.scripted import LAST_CHUNK, STREAM_HEAD, Script, Talk, chunk, soon
from tests.server.running import talking
from tests.server.streams import (
    DONE,
    ONE,
    PATH,
    QUESTION,
    ROLE,
    STOP,
    THREE,
    TWO,
    WHOLE,
    error_of,
    serves,
    stays,
)

pytestmark = pytest.mark.usefixtures("road")

COMMENT = b": keep-alive\n"


def waits(*before: bytes, then: bytes) -> Script:
    """Make a script: send something, wait for the test, send the rest."""

    async def script(talk: Talk) -> None:
        await talk.receive()
        await talk.send(*before)
        await soon(talk.go.wait())
        await talk.send(then)

    return script


def pings(*before: bytes) -> Script:
    """Make a script: send something, then a comment every few milliseconds until the proxy closes."""

    async def script(talk: Talk) -> None:
        await talk.receive()
        await talk.send(*before)
        with suppress(ConnectionError):  # it may close while a comment is on its way
            while not talk.gone.is_set():
                try:
                    async with asyncio.timeout(0.01):
                        await talk.closed()
                except TimeoutError:
                    await talk.send(chunk(b": ping\n\n"))

    return script


async def test_silence_in_the_middle_is_an_error():
    script = stays(STREAM_HEAD, chunk(ROLE), chunk(ONE))
    async with talking(script, upstream_timeouts={"idle": "50ms"}) as (upstream, client):
        await client.post(PATH, QUESTION)
        await client.head()
        assert [await client.chunk() for _ in range(2)] == [ROLE, ONE]
        (last,) = await client.chunks()

        error = error_of(last)
        assert error["code"] == "upstream_timeout"
        assert "0.05 s" in error["message"]
        await soon(upstream.talks[0].gone.wait())


async def test_comments_are_silence():
    script = pings(STREAM_HEAD, chunk(ROLE), chunk(ONE))
    async with talking(script, upstream_timeouts={"idle": "100ms"}) as (_, client):
        await client.post(PATH, QUESTION)
        await client.head()
        assert [await client.chunk() for _ in range(2)] == [ROLE, ONE]
        (last,) = await client.chunks()

    assert error_of(last)["code"] == "upstream_timeout"


async def test_silence_before_the_first_event_is_a_status():
    async with talking(pings(STREAM_HEAD), upstream_timeouts={"first_byte": "100ms"}) as (_, client):
        await client.post(PATH, QUESTION)
        head, error = await client.error()

    assert head.status == 504
    assert error["code"] == "upstream_timeout"
    assert "0.1 s" in error["message"]


@pytest.mark.parametrize("before", [[], [ROLE]], ids=["head", "role"])
async def test_model_may_take_its_time_before_its_first_word(clock, before):
    """LocalAI sends the role before it loads the model, others the head before they read the prompt."""
    rest = WHOLE[len(before) :]
    script = waits(STREAM_HEAD, *map(chunk, before), then=b"".join(map(chunk, rest)) + LAST_CHUNK)
    settings = {"open_after": 0, "upstream_timeouts": {"first_byte": "1h", "idle": "1s"}}
    async with talking(script, **settings) as (upstream, client):
        await client.post(PATH, QUESTION)
        await client.head()
        assert [await client.chunk() for _ in before] == before
        await soon(upstream.called.wait())
        clock.advance(5)
        await asyncio.sleep(0)
        await soon(upstream.called.wait())
        upstream.talks[0].go.set()

        assert await client.chunks() == rest


async def test_model_that_never_says_a_word():
    script = pings(STREAM_HEAD, chunk(ROLE))
    async with talking(script, upstream_timeouts={"first_byte": "100ms"}) as (upstream, client):
        await client.post(PATH, QUESTION)
        await client.head()
        assert await client.chunk() == ROLE
        error = error_of((await client.chunks())[0])

        assert (error["code"], error["message"]) == (
            "upstream_timeout",
            "The upstream said nothing within 0.1 s.",
        )
        await soon(upstream.talks[0].gone.wait())


async def test_every_event_gives_a_new_respite(clock):
    async def script(talk: Talk) -> None:
        await talk.receive()
        await talk.send(STREAM_HEAD)
        for frame in (ROLE, ONE, TWO, THREE):
            await talk.send(chunk(frame))
            await soon(talk.go.wait())
            talk.go.clear()
        await talk.send(chunk(STOP + DONE), LAST_CHUNK)

    async with talking(script, upstream_timeouts={"idle": "2s"}) as (upstream, client):
        await client.post(PATH, QUESTION)
        await client.head()
        for frame in (ROLE, ONE, TWO, THREE):
            assert await client.chunk() == frame
            clock.advance(1.5)
            await soon(upstream.called.wait())
            upstream.talks[0].go.set()

        assert await client.chunks() == [STOP, DONE]


async def test_no_limit_is_no_limit(clock):
    settings = {"open_after": "1h", "upstream_timeouts": {"idle": 0, "first_byte": 0, "connect": 0}}
    script = waits(STREAM_HEAD, then=b"".join(map(chunk, WHOLE)) + LAST_CHUNK)
    async with talking(script, **settings) as (upstream, client):
        await client.post(PATH, QUESTION)
        await soon(upstream.called.wait())
        clock.advance(10)
        await soon(upstream.called.wait())
        upstream.talks[0].go.set()
        await client.head()

        assert await client.chunks() == WHOLE


async def test_stream_is_opened_in_time_even_without_a_head():
    script = waits(then=STREAM_HEAD + b"".join(map(chunk, WHOLE)) + LAST_CHUNK)
    async with talking(script, open_after="20ms") as (upstream, client):
        await client.post(PATH, QUESTION)
        head = await client.head()
        await soon(upstream.called.wait())
        upstream.talks[0].go.set()

        assert head.status == 200
        assert head.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert await client.chunks() == WHOLE


async def test_stream_that_may_not_wait_is_opened_at_once():
    script = waits(then=STREAM_HEAD + b"".join(map(chunk, WHOLE)) + LAST_CHUNK)
    async with talking(script, open_after=0) as (upstream, client):
        await client.post(PATH, QUESTION)
        await client.head()
        await soon(upstream.called.wait())
        upstream.talks[0].go.set()

        assert await client.chunks() == WHOLE


async def test_error_after_the_opening_is_an_event():
    answer = b"HTTP/1.1 503 Busy\r\nRetry-After: 3\r\nContent-Length: 4\r\n\r\nbusy"
    async with talking(waits(then=answer), open_after="20ms") as (upstream, client):
        await client.post(PATH, QUESTION)
        assert (await client.head()).status == 200
        await soon(upstream.called.wait())
        upstream.talks[0].go.set()
        (frame,) = await client.chunks()

    assert error_of(frame)["message"] == "busy"


async def test_redirect_after_the_opening_is_an_error():
    answer = b"HTTP/1.1 307 There\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n"
    async with talking(waits(then=answer), open_after="20ms") as (upstream, client):
        await client.post(PATH, QUESTION)
        await client.head()
        await soon(upstream.called.wait())
        upstream.talks[0].go.set()
        (frame,) = await client.chunks()

    assert "307" in error_of(frame)["message"]


async def test_redirect_is_not_mistaken_for_a_silent_stream(clock):
    begun = b"HTTP/1.1 307 There\r\nLocation: /x\r\nContent-Length: 4\r\n\r\ngo"
    async with talking(waits(begun, then=b"ne"), open_after="10s") as (upstream, client):
        await client.post(PATH, QUESTION)
        assert (await client.head()).status == 307
        assert await soon(client.reader.readexactly(2)) == b"go"
        later = asyncio.Event()  # than a stream would have been opened
        alarm = Alarm(later.set)
        alarm.set(alarm.loop.time() + 10)
        clock.advance(11)
        await soon(later.wait())
        upstream.talks[0].go.set()

        assert await soon(client.reader.readexactly(2)) == b"ne"


async def test_comments_flow_while_the_upstream_is_silent():
    script = waits(then=STREAM_HEAD + b"".join(map(chunk, WHOLE)) + LAST_CHUNK)
    async with talking(script, keep_alive="20ms") as (upstream, client):
        await client.post(PATH, QUESTION)
        assert (await client.head()).status == 200
        assert [await client.chunk() for _ in range(3)] == [COMMENT] * 3
        await soon(upstream.called.wait())
        upstream.talks[0].go.set()
        frames = await client.chunks()

    assert [frame for frame in frames if frame != COMMENT] == WHOLE


async def test_comments_flow_between_events_too():
    script = waits(STREAM_HEAD, chunk(ROLE), then=chunk(ONE + STOP + DONE) + LAST_CHUNK)
    async with talking(script, keep_alive="20ms") as (upstream, client):
        await client.post(PATH, QUESTION)
        await client.head()
        frames = [await client.chunk()]
        while frames.count(COMMENT) < 2:
            frames.append(await client.chunk())
        await soon(upstream.called.wait())
        upstream.talks[0].go.set()
        frames += await client.chunks()

    assert [frame for frame in frames if frame != COMMENT] == [ROLE, ONE, STOP, DONE]


async def test_comments_of_ours_do_not_keep_a_silent_upstream():
    script = stays(STREAM_HEAD, chunk(ROLE), chunk(ONE))
    async with talking(script, keep_alive="10ms", upstream_timeouts={"idle": "100ms"}) as (_, client):
        await client.post(PATH, QUESTION)
        await client.head()
        *frames, last = await client.chunks()

    assert [frame for frame in frames if frame != COMMENT] == [ROLE, ONE]
    assert COMMENT in frames
    assert error_of(last)["code"] == "upstream_timeout"


async def test_client_that_leaves_a_silent_stream_with_comments():
    async with talking(stays(), keep_alive="10ms") as (upstream, client):
        await client.post(PATH, QUESTION)
        await client.head()
        assert await client.chunk() == COMMENT
        await soon(upstream.called.wait())
        await client.leave()

        await soon(upstream.talks[0].gone.wait())


async def test_nothing_is_said_once_a_stream_has_ended(clock):
    script = serves(STREAM_HEAD, *map(chunk, WHOLE), LAST_CHUNK)
    async with talking(script, keep_alive="1s") as (_, client):
        for _ in range(2):
            await client.post(PATH, QUESTION)
            await client.head()
            assert await client.chunks() == WHOLE
            clock.advance(3)


async def test_limit_for_the_first_word_is_for_no_other(clock):
    script = waits(STREAM_HEAD, chunk(ROLE), chunk(ONE), then=chunk(TWO + STOP + DONE) + LAST_CHUNK)
    async with talking(script, upstream_timeouts={"first_byte": "1s"}) as (upstream, client):
        await client.post(PATH, QUESTION)
        await client.head()
        assert [await client.chunk() for _ in range(2)] == [ROLE, ONE]
        clock.advance(2)
        await asyncio.sleep(0)
        await soon(upstream.called.wait())
        upstream.talks[0].go.set()

        assert await client.chunks() == [TWO, STOP, DONE]
