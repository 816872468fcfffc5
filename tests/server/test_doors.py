"""As many requests at once as the configuration allows."""

import asyncio

import pytest

from tests.plain_client import PlainClient
from tests.scripted import STREAM_HEAD, Scripted, Talk, chunk, soon
from tests.server.running import running
from tests.server.streams import PATH, QUESTION, ROLE, begin, held


@pytest.mark.parametrize(("method", "path"), [("POST", PATH), ("GET", "/file"), ("GET", "/v1/models")])
async def test_request_above_the_limit_is_told_to_come_again(method, path):
    async with (
        Scripted(held) as upstream,
        running(upstream, limits={"streams": 2}) as proxy,
        PlainClient(proxy.url) as first,
        PlainClient(proxy.url) as second,
        PlainClient(proxy.url) as third,
    ):
        await asyncio.gather(begin(first), begin(second))
        await third.request(method, path, QUESTION if method == "POST" else None)
        head, error = await third.error()

        assert head.status == 503
        assert int(head.headers["retry-after"]) > 0
        assert error["code"] == "overloaded"
        assert "2" in error["message"]
        assert len(upstream.talks) == 2
        for talk in upstream.talks:
            talk.go.set()
        await first.chunks()
        await begin(third)
        upstream.talks[-1].go.set()
        await third.chunks()


async def test_client_that_leaves_makes_room():
    async def stays_twice(talk: Talk) -> None:
        await talk.receive()
        await talk.send(STREAM_HEAD, chunk(ROLE))
        await talk.closed()

    async with Scripted(stays_twice) as upstream, running(upstream, limits={"streams": 1}) as proxy:
        for number in range(2):
            async with PlainClient(proxy.url) as client:
                await begin(client)
            await soon(upstream.talks[number].gone.wait())


async def test_preflight_needs_no_room():
    settings = {"limits": {"streams": 1}, "cors": {"origins": ["*"]}}
    async with (
        Scripted(held) as upstream,
        running(upstream, **settings) as proxy,
        PlainClient(proxy.url) as first,
        PlainClient(proxy.url) as page,
    ):
        await begin(first)
        await page.request("OPTIONS", PATH, Origin="https://a.example", Access_Control_Request_Method="POST")

        assert (await page.head()).status == 204
        upstream.talks[0].go.set()
        await first.chunks()
