"""How a stream ends: well only where the upstream has finished, else in a way that the client can see."""

import json

import pytest

from tests.scripted import LAST_CHUNK, STREAM_HEAD, Script, Talk, chunk, soon
from tests.server.running import talking
from tests.server.streams import DONE, ONE, PATH, QUESTION, ROLE, STOP, WHOLE, answers, error_of, stays

pytestmark = pytest.mark.usefixtures("road")

UNTIL_CLOSED = STREAM_HEAD.replace(b"Transfer-Encoding: chunked", b"Connection: close")
WITH_LENGTH = STREAM_HEAD.replace(b"Transfer-Encoding: chunked", b"Content-Length: 9999")
BEGUN = chunk(ROLE) + chunk(ONE)


def resets(*data: bytes) -> Script:
    """Make a script: take a request, send these bytes, and reset once the test says go."""

    async def script(talk: Talk) -> None:
        await talk.receive()
        await talk.send(*data)
        await soon(talk.go.wait())
        talk.reset()

    return script


BROKEN = {
    "in-a-chunk": answers(STREAM_HEAD, BEGUN, b"80\r\ndata: {"),
    "between-chunks": answers(STREAM_HEAD, BEGUN),
    "before-the-last-line": answers(STREAM_HEAD, BEGUN, b"0\r\n"),
    "short-of-its-length": answers(WITH_LENGTH, ROLE, ONE),
    "reset": resets(STREAM_HEAD, BEGUN),
    "reset-until-closed": resets(UNTIL_CLOSED, ROLE, ONE),
}


@pytest.mark.parametrize("script", BROKEN.values(), ids=BROKEN)
async def test_broken_stream_ends_in_an_error_and_then_properly(script):
    async with talking(script, stays(STREAM_HEAD, *map(chunk, WHOLE), LAST_CHUNK)) as (upstream, client):
        await client.post(PATH, QUESTION)
        assert (await client.head()).status == 200
        assert [await client.chunk(), await client.chunk()] == [ROLE, ONE]
        upstream.talks[0].go.set()
        (last,) = await client.chunks()

        error = error_of(last)
        assert error["code"] == "upstream_truncated"
        assert f"127.0.0.1:{upstream.port}" in error["message"]

        await client.post(PATH, QUESTION)
        await client.head()
        assert await client.chunks() == WHOLE


@pytest.mark.parametrize(
    "script", [answers(STREAM_HEAD, *map(chunk, WHOLE[:-1])), answers(WITH_LENGTH, *WHOLE[:-1])]
)
async def test_stream_that_breaks_after_its_last_choice_has_finished_is_whole(script):
    async with talking(script) as (_, client):
        await client.post(PATH, QUESTION)
        await client.head()

        assert await client.chunks() == WHOLE


async def test_clean_end_without_a_finish_is_an_error():
    async with talking(answers(STREAM_HEAD, BEGUN, LAST_CHUNK)) as (_, client):
        await client.post(PATH, QUESTION)
        await client.head()
        *begun, last = await client.chunks()

    assert begun == [ROLE, ONE]
    assert error_of(last)["code"] == "upstream_truncated"


async def test_clean_end_without_a_finish_is_a_stop_where_so_configured():
    script = answers(STREAM_HEAD, BEGUN, LAST_CHUNK)
    async with talking(script, upstream_on_missing_finish="stop") as (_, client):
        await client.post(PATH, QUESTION)
        await client.head()

        assert await client.chunks() == [ROLE, ONE, STOP, DONE]


async def test_reset_is_no_clean_end_even_where_only_the_closing_ends_the_body():
    script = resets(UNTIL_CLOSED, ROLE, ONE)
    async with talking(script, upstream_on_missing_finish="stop") as (upstream, client):
        await client.post(PATH, QUESTION)
        await client.head()
        assert [await client.chunk(), await client.chunk()] == [ROLE, ONE]
        upstream.talks[0].go.set()
        (last,) = await client.chunks()

    assert error_of(last)["code"] == "upstream_truncated"


async def test_nothing_is_awaited_after_done():
    async with talking(stays(STREAM_HEAD, *map(chunk, WHOLE))) as (upstream, client):
        await client.post(PATH, QUESTION)
        await client.head()

        assert await client.chunks() == WHOLE
        await soon(upstream.talks[0].gone.wait())


async def test_upstream_connection_is_used_again():
    async def script(talk: Talk) -> None:
        for _ in range(2):
            await talk.receive()
            await talk.send(STREAM_HEAD, *map(chunk, WHOLE), LAST_CHUNK)
        await talk.closed()

    async with talking(script) as (upstream, client):
        for _ in range(2):
            await client.post(PATH, QUESTION)
            await client.head()
            assert await client.chunks() == WHOLE

        assert len(upstream.talks) == 1


USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":1,"total_tokens":10}}\n\n'


async def test_usage_that_was_asked_for_is_waited_for_after_done():
    async def script(talk: Talk) -> None:
        await talk.receive()
        await talk.send(STREAM_HEAD, *map(chunk, WHOLE))
        await soon(talk.go.wait())
        await talk.send(chunk(USAGE))
        await talk.closed()

    async with talking(script) as (upstream, client):
        await client.post(PATH, QUESTION | {"stream_options": {"include_usage": True}})
        await client.head()
        while b'"stop"' not in await client.chunk():
            pass
        upstream.talks[0].go.set()
        usage, done = await client.chunks()

    assert json.loads(usage[6:])["usage"]["total_tokens"] == 10
    assert done == DONE


@pytest.mark.parametrize("stream", [True, False])
async def test_upstream_that_neither_reports_usage_nor_ends_after_done_is_not_waited_for(stream):
    async with talking(stays(STREAM_HEAD, *map(chunk, WHOLE))) as (_, client):
        await client.post(PATH, QUESTION | {"stream": stream, "stream_options": {"include_usage": True}})
        head = await client.head()
        body = await client.body(head) if not stream else b"".join(await client.chunks())

    assert b'"total_tokens":0' in body
    assert body.endswith(DONE) == stream
