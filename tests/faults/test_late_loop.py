"""The proxy itself is late: nothing that has arrived meanwhile is given up.

Its event loop stands still for real, for longer than the limit, while the kernel goes on to connect and to
receive. Nothing else of the test goes on either: all of it shares that loop.
"""

import asyncio
import json
import os
import socket
import time

import pytest

from tests.faults.asking import ASKS, NEXT
from tests.plain_client import PlainClient
from tests.scripted import LAST_CHUNK, STREAM_HEAD, Script, Scripted, Talk, chunk, soon
from tests.server.streams import DONE, ONE, QUESTION, ROLE, STOP, answers

LIMIT, STANDSTILL = "200ms", 0.5
BODY = json.dumps({"choices": [{"message": {"content": "1"}, "finish_reason": "stop"}]}).encode()
JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY)
#: Of each kind of request: its answer up to where it stalls, and the rest.
ANSWERS = {
    "stream": (STREAM_HEAD + chunk(ROLE) + chunk(ONE), chunk(STOP) + chunk(DONE) + LAST_CHUNK),
    "whole": (JSON_HEAD + BODY[:9], BODY[9:]),
    "passed": (NEXT[:-2], NEXT[-2:]),
}
asks = pytest.mark.parametrize("kind", ASKS)


async def stand_still(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Send something past the event loop, and keep that from looking at it before overdue timers."""
    loop, over = asyncio.get_running_loop(), asyncio.Event()

    def stand() -> None:
        os.write(writer.get_extra_info("socket").fileno(), data)
        time.sleep(STANDSTILL)
        over.set()

    awake, alarm = socket.socketpair()
    with awake, alarm:
        loop.add_reader(awake, stand)  # as a crowd of others would: with what their sockets bring
        alarm.send(b"x")
        await over.wait()
        loop.remove_reader(awake)


def stalls(begun: bytes, rest: bytes) -> Script:
    """Make a script: begin to answer, and end when the test says so, in which the loop stands still."""

    async def script(talk: Talk) -> None:
        await talk.receive()
        await talk.send(begun)
        await soon(talk.go.wait())
        await stand_still(talk.writer, rest)

    return script


async def whole(client: PlainClient, kind: str) -> None:
    """Read an answer, and see that it is whole."""
    head = await client.head()
    assert head.status == 200
    if kind == "stream":
        assert b"".join(await client.chunks()) == ROLE + ONE + STOP + DONE
    else:
        assert await client.body(head)


@asks
async def test_connection_that_was_made_in_time(proxied, monkeypatch, kind):
    connect = socket.socket.connect

    def late(self: socket.socket, address: tuple[str, int]) -> None:
        try:
            connect(self, address)
        finally:
            if address[1] == upstream.port:
                time.sleep(STANDSTILL)

    monkeypatch.setattr(socket.socket, "connect", late)
    async with (
        Scripted(answers(*ANSWERS[kind])) as upstream,
        proxied(upstream.url, upstream_timeouts={"connect": LIMIT}) as client,
    ):
        await ASKS[kind].ask(client)
        await whole(client, kind)


@asks
async def test_answer_that_came_in_time(talking, kind):
    async def script(talk: Talk) -> None:
        await talk.receive()
        await stand_still(talk.writer, b"".join(ANSWERS[kind]))

    async with talking(script, upstream_timeouts={"first_byte": LIMIT}) as (_, client):
        await ASKS[kind].ask(client)
        await whole(client, kind)


async def test_rest_of_a_stream_that_came_in_time(talking):
    begun, rest = ANSWERS["stream"]
    async with talking(stalls(begun, rest), upstream_timeouts={"idle": LIMIT}) as (upstream, client):
        await ASKS["stream"].ask(client)
        await client.head()
        assert [await client.chunk(), await client.chunk()] == [ROLE, ONE]
        upstream.talks[0].go.set()
        assert b"".join(await client.chunks()) == STOP + DONE


async def test_rest_of_what_is_passed_that_came_in_time(talking):
    begun, rest = ANSWERS["passed"]
    async with talking(stalls(begun, rest), upstream_timeouts={"idle": LIMIT}) as (upstream, client):
        await ASKS["passed"].ask(client)
        await client.head()
        assert await soon(client.reader.readexactly(2)) == b"ne"
        upstream.talks[0].go.set()
        assert await soon(client.reader.readexactly(2)) == b"xt"


async def test_rest_of_a_request_that_came_in_time(talking):
    body = json.dumps(QUESTION).encode()

    async def script(talk: Talk) -> None:
        await talk.receive_head()
        talk.go.set()
        assert await talk.receive_chunk() == body
        await talk.send(NEXT)

    async with talking(script, clients={"idle": LIMIT}) as (upstream, client):
        await client.send(b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        await soon(upstream.called.wait())
        await soon(upstream.talks[0].go.wait())
        await stand_still(client.writer, chunk(body) + LAST_CHUNK)
        assert await client.body(await client.head()) == b"next"
