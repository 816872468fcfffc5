"""Answers that come, but do not get on: bytes in time are not words in time."""

import json

import pytest

from tests.faults.asking import ASKS, HALF_A_FILE, NEXT, get
from tests.faults.upstreams import goes_on
from tests.scripted import LAST_CHUNK, STREAM_HEAD, Talk, chunk, soon
from tests.server.streams import DONE, ONE, ROLE, STOP, serves

JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
FILE_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
TEXT = "x" * 200_000
BODY = json.dumps({"choices": [{"message": {"content": TEXT}, "finish_reason": "stop"}]}).encode()
WHOLE = ASKS["whole"]
BEGUN_STREAM = STREAM_HEAD + chunk(ROLE) + chunk(ONE)

#: How an answer begins, what then comes for ever, and which limit ends that.
ENDLESS = {
    "blanks": (JSON_HEAD, b"\n", "first_byte"),
    "comments": (STREAM_HEAD, b": busy\n\n", "first_byte"),
    "a-role": (STREAM_HEAD + chunk(ROLE), b": busy\n\n", "first_byte"),
    "a-text-letter-by-letter": (JSON_HEAD + chunk(BODY[:50]), b"x", "idle"),
    "blanks-after-the-beginning": (JSON_HEAD + chunk(b"{"), b" ", "idle"),
    "comments-after-the-beginning": (BEGUN_STREAM, b": busy\n\n", "idle"),
    "an-event-letter-by-letter": (BEGUN_STREAM + chunk(ONE[:-20]), b"x", "idle"),
}


@pytest.mark.parametrize(("begun", "again", "limit"), ENDLESS.values(), ids=ENDLESS)
async def test_whole_answer_that_does_not_get_on(talking, begun, again, limit):
    script = goes_on(begun, chunk(again))
    async with talking(script, serves(NEXT), upstream_timeouts={limit: "300ms"}) as (upstream, client):
        await WHOLE.ask(client)
        head, error = await client.error()

        assert (head.status, error["code"]) == (504, "upstream_timeout")
        await soon(upstream.talks[0].gone.wait())
        assert await get(client) == b"next"


async def in_steps(talk: Talk, head: bytes, pieces: list[bytes]) -> None:
    """Answer with one piece after the other, each when the test says so."""
    await talk.receive()
    await talk.send(head)
    for piece in pieces:
        await soon(talk.go.wait())
        talk.go.clear()
        await talk.send(chunk(piece))
        talk.heard.set()
    await talk.send(LAST_CHUNK)


async def slowly(upstream, clock, steps: int, seconds: float) -> None:
    """Have the upstream take its steps, with so much time between them."""
    await soon(upstream.called.wait())
    talk = upstream.talks[0]
    for _ in range(steps):
        clock.advance(seconds)
        talk.go.set()
        await soon(talk.heard.wait())
        talk.heard.clear()


async def test_blanks_are_no_beginning(talking, clock):
    """The model may take as long to load as `first_byte` says, though something comes meanwhile."""
    pieces = [b"\n"] * 9 + [BODY]
    async with talking(lambda talk: in_steps(talk, JSON_HEAD, pieces), upstream_timeouts={"idle": "2s"}) as (
        upstream,
        client,
    ):
        await WHOLE.ask(client)
        await slowly(upstream, clock, len(pieces), 4)
        assert TEXT.encode() in await client.body(await client.head())


@pytest.mark.parametrize(
    ("head", "pieces"),
    [
        (JSON_HEAD, [BODY[at : at + 70_000] for at in range(0, len(BODY), 70_000)]),
        (STREAM_HEAD, [ROLE, ONE, ONE, ONE, STOP + DONE]),
    ],
    ids=["body", "stream"],
)
async def test_whole_answer_that_gets_on_may_take_its_time(talking, clock, head, pieces):
    async with talking(lambda talk: in_steps(talk, head, pieces), upstream_timeouts={"idle": "5s"}) as (
        upstream,
        client,
    ):
        await WHOLE.ask(client)
        await slowly(upstream, clock, len(pieces), 4)
        assert (await client.head()).status == 200


async def test_what_is_passed_may_take_its_time_however_little_comes(talking, clock):
    pieces = [HALF_A_FILE[:1]] * 9
    async with talking(lambda talk: in_steps(talk, FILE_HEAD, pieces), upstream_timeouts={"idle": "5s"}) as (
        upstream,
        client,
    ):
        await ASKS["passed"].ask(client)
        await slowly(upstream, clock, len(pieces), 4)
        await client.head()
        assert b"".join(await client.chunks()) == b"".join(pieces)
