"""What a request leaves behind, and what it keeps while it runs: as little as can be."""

import gc
import json
import subprocess
import sys
import tracemalloc

import pytest

from tests.scripted import LAST_CHUNK, STREAM_HEAD, Talk, chunk, soon
from tests.server.running import talking
from tests.server.streams import DONE, PATH, QUESTION, ROLE, STOP, WHOLE, serves

CALL = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLS = ROLE.replace(b'{"role":"assistant"}', json.dumps({"tool_calls": [CALL]}).encode())


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

        assert [thing for thing in garbage if type(thing).__module__.startswith("proxy.")] == []


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


def test_what_is_alive_at_the_start_is_not_searched_again():
    lines = ["import gc", "from proxy.server.garbage import hold_back", "hold_back()"]
    count = "print(gc.get_freeze_count(), sum(gc.get_count()) < 100)"
    told = subprocess.run(  # in a process of its own, since it is for good
        [sys.executable, "-c", "; ".join([*lines, count])], capture_output=True, text=True, check=True
    )
    frozen, others_few = told.stdout.split()

    assert int(frozen) > 1000
    assert others_few == "True"
