"""What a request leaves behind, and what it keeps while it runs: as little as can be."""

import asyncio
import gc
import json
import socket
import subprocess
import sys
import tracemalloc
from contextlib import asynccontextmanager
from types import FrameType

import pytest

from tests.plain_client import PlainClient
from tests.scripted import LAST_CHUNK, PATIENCE, STREAM_HEAD, Scripted, Talk, chunk, soon
from tests.server.running import running, talking, tasks_of_the_proxy
from tests.server.streams import DONE, ONE, PATH, QUESTION, ROLE, STOP, WHOLE, answers, serves, stays

CALL = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLS = ROLE.replace(b'{"role":"assistant"}', json.dumps({"tool_calls": [CALL]}).encode())


ASKED_WHOLE = QUESTION | {"stream": False}
JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n"
ERROR = JSON_HEAD.replace(b"200 OK", b"500 No") + b'{"error":{"code":5}}'


BROKEN = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".encode()


def ours(garbage):
    """Return what of it belongs to requests: objects of the proxy's, and what holds them all, frames."""
    return [
        thing
        for thing in garbage
        if type(thing).__module__.startswith("proxy.")
        or (isinstance(thing, FrameType) and "/proxy/" in thing.f_code.co_filename)
    ]


@asynccontextmanager
async def alone(proxy):
    """Connect a client; at the end all has ended that runs for it, and nobody knows it any more."""
    before, others = tasks_of_the_proxy(), set(proxy._server.connections)
    async with PlainClient(proxy.url) as client:
        yield client
    async with asyncio.timeout(PATIENCE):
        while tasks_of_the_proxy() - before or set(proxy._server.connections) - others:  # noqa: ASYNC110 - there is no event of that
            await asyncio.sleep(0)


@pytest.fixture
def garbage():
    """Keep what only the search for cycles would have found."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    yield gc.garbage
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


@pytest.mark.usefixtures("road")
@pytest.mark.parametrize("events", [WHOLE, [ROLE, CALLS, STOP, DONE]], ids=["text", "calls"])
async def test_stream_leaves_no_cycle_behind(events, garbage):
    async with talking(serves(STREAM_HEAD, *map(chunk, events), LAST_CHUNK)) as (_, client):
        for _ in range(3):
            await client.post(PATH, QUESTION | {"tools": [{"type": "function", "function": {"name": "f"}}]})
            await client.head()
            await client.chunks()
        gc.collect()

        assert ours(garbage) == []


FAULTS = {
    "refused": (answers(ERROR), QUESTION),
    "refused whole": (answers(ERROR), ASKED_WHOLE),
    "no answer": (answers(), QUESTION),
    "no JSON": (answers(STREAM_HEAD, chunk(b"data: {]\n\n"), LAST_CHUNK), QUESTION),
    "broken off": (answers(STREAM_HEAD, chunk(ROLE), chunk(ONE)), QUESTION),
    "broken off whole": (answers(JSON_HEAD, b"{"), ASKED_WHOLE),
    "broken off, folded": (answers(STREAM_HEAD, chunk(ROLE), chunk(ONE)), ASKED_WHOLE),
    "broken off at the end": (answers(STREAM_HEAD, *map(chunk, WHOLE[:-1])), QUESTION),
    "broken off at the end, folded": (answers(STREAM_HEAD, *map(chunk, WHOLE[:-1])), ASKED_WHOLE),
    "silent at the end": (stays(STREAM_HEAD, *map(chunk, WHOLE[:-1])), QUESTION),
    "silent": (stays(STREAM_HEAD, chunk(ROLE), chunk(ONE)), QUESTION),
    "silent whole": (stays(JSON_HEAD, b"{"), ASKED_WHOLE),
}


@pytest.mark.usefixtures("road")
@pytest.mark.parametrize(("script", "question"), FAULTS.values(), ids=FAULTS)
async def test_failure_leaves_no_cycle_behind(script, question, garbage):
    limits = {"first_byte": "50ms", "idle": "50ms"}
    async with Scripted(script) as upstream, running(upstream, upstream_timeouts=limits) as proxy:
        for _ in range(2):
            async with alone(proxy) as client:
                await client.post(PATH, question)
                head = await client.head()
                await (client.body(head) if "content-length" in head.headers else client.chunks())
        gc.collect()
        assert ours(garbage) == []


@pytest.mark.usefixtures("road")
@pytest.mark.parametrize("begun", [(), (STREAM_HEAD, chunk(ROLE))], ids=["before the answer", "in it"])
async def test_client_that_leaves_leaves_no_cycle_behind(begun, garbage):
    async with Scripted(stays(*begun)) as upstream, running(upstream) as proxy:
        async with alone(proxy) as client:
            await client.post(PATH, QUESTION)
            await soon(upstream.called.wait())
            if begun:
                await client.head()
                await client.chunk()
            await client.leave()
        gc.collect()
        assert ours(garbage) == []


@pytest.mark.parametrize("sent", [b"no HTTP\r\n\r\n", BROKEN], ids=["head", "chunk"])
async def test_request_that_is_no_http_leaves_no_cycle_behind(sent, garbage):
    async with Scripted(stays()) as upstream, running(upstream) as proxy:
        async with alone(proxy) as client:
            await client.send(sent)
            assert (await client.error())[0].status == 400
            assert await client.closed() == b""
        gc.collect()
        assert ours(garbage) == []


async def test_name_that_is_none_leaves_no_cycle_behind(garbage, monkeypatch):
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async with running("http://upstream.test") as proxy, alone(proxy) as client:
        monkeypatch.setattr(socket, "getaddrinfo", unknown)
        await client.post(PATH, QUESTION)
        assert (await client.error())[0].status == 502
        gc.collect()
        assert ours(garbage) == []


async def test_client_that_leaves_while_its_next_request_waits_leaves_no_cycle_behind(garbage):
    async with (
        Scripted(stays()) as upstream,
        running(upstream) as proxy,
        PlainClient(proxy.url) as beside,
    ):
        async with alone(proxy) as client:
            await client.post(PATH, QUESTION)
            await soon(upstream.called.wait())
            await client.post(PATH, QUESTION)
            await beside.request("OPTIONS", "*")
            await beside.error()
            await client.leave()
        gc.collect()
        assert ours(garbage) == []


async def test_client_that_leaves_in_the_middle_of_its_next_body_leaves_no_cycle_behind(garbage):
    body = json.dumps(QUESTION).encode()
    request = f"POST {PATH} HTTP/1.1\r\nHost: proxy.test\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    async with (
        Scripted(serves(STREAM_HEAD, *map(chunk, WHOLE), LAST_CHUNK)) as upstream,
        running(upstream) as proxy,
        PlainClient(proxy.url) as beside,
    ):
        async with alone(proxy) as client:
            await client.send(request + body)
            await client.head()
            await client.chunks()
            await client.send(request + body[:9])
            await beside.request("OPTIONS", "*")
            await beside.error()
            await client.leave()
        gc.collect()
        assert ours(garbage) == []


@pytest.mark.usefixtures("road")
async def test_stream_does_not_keep_the_body_of_its_request():
    size = 2**22
    body = json.dumps(QUESTION | {"messages": [{"role": "user", "content": "x" * size}]}).encode()

    async def script(talk: Talk) -> None:
        await talk.receive_head()
        for _ in range(len(body) // 2**10):
            await soon(talk.reader.readexactly(2**10))
        await soon(talk.reader.readexactly(len(body) % 2**10))
        await talk.send(STREAM_HEAD, chunk(ROLE))
        await soon(talk.go.wait())
        await talk.send(*map(chunk, WHOLE[1:]), LAST_CHUNK)

    async with talking(script) as (upstream, client):
        tracemalloc.start()
        try:
            await client.post(PATH, body)
            await client.head()
            assert await client.chunk() == ROLE
            kept, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        upstream.talks[0].go.set()
        await client.chunks()

    assert peak > size
    assert kept < size / 2


def told_by_python(lines):
    """Run lines in a process of its own, since what they set is for good; return the words that it prints."""
    command = [sys.executable, "-c", "\n".join(lines)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def test_what_is_alive_at_the_start_is_not_searched_again():
    lines = ["import gc", "from proxy.server.processes.garbage import spare_what_lives", "spare_what_lives()"]
    frozen, others_few = told_by_python([*lines, "print(gc.get_freeze_count(), sum(gc.get_count()) < 100)"])

    assert int(frozen) > 1000
    assert others_few == "True"


def test_a_start_is_searched_only_where_it_is_new():
    """Of the three searches, those that walk through all that has been imported until then find nothing."""
    told = told_by_python(
        [
            "import gc, sys",
            "searches = []",
            "gc.callbacks.append(lambda when, facts: searches.append(facts['generation']))",
            "from proxy.cli import main",
            "before = len(searches)",
            "try: main(['serve', '--help'])",
            "except SystemExit: pass",
            "print('searches', 'aiohttp' in sys.modules, *sorted({*searches[before:]}))",
        ]
    )

    assert told[told.index("searches") + 1 :] == ["True", "0"]
