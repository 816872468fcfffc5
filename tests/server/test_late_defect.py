"""A defect of ours in a stream that lasts ends the connection as one in a young stream does."""

import asyncio

import pytest

from proxy.server import silence
from proxy.wire.rewriter import StreamRewriter
from tests.scripted import STREAM_HEAD, Talk, chunk, soon
from tests.server.running import talking
from tests.server.streams import ONE, ROLE, begin

LASTING = 0.05


@pytest.mark.parametrize("age", [0, 6 * LASTING], ids=["young", "lasting"])
async def test_what_came_before_the_defect_arrives(monkeypatch, age):
    async def script(talk: Talk) -> None:
        await talk.receive()
        await talk.send(STREAM_HEAD, chunk(ROLE))
        await soon(talk.go.wait())
        await talk.send(chunk(ONE))
        await talk.closed()

    def fails(*_: object) -> None:
        raise KeyError("a defect")

    monkeypatch.setattr(silence, "_LASTING", LASTING)
    async with talking(script) as (upstream, client):
        await begin(client)
        await asyncio.sleep(age)
        monkeypatch.setattr(StreamRewriter, "receive_data", fails)
        monkeypatch.setattr(StreamRewriter, "shortcut", fails)
        upstream.talks[0].go.set()
        assert await client.closed() == b""  # the end, and no reset, which would destroy what is on its way
