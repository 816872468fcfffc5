"""The proxy's start and stop."""

import asyncio
import socket

import pytest

from proxy.errors import CannotListen
from proxy.server.app import Proxy
from tests.plain_client import PlainClient
from tests.scripted import LAST_CHUNK, STREAM_HEAD, Scripted, Talk, chunk, soon
from tests.server.running import configured, running
from tests.server.streams import DONE, ONE, PATH, QUESTION, ROLE, STOP, stays


async def test_address_that_is_taken():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        proxy = Proxy(configured("http://127.0.0.1:9", listen={"port": port}))
        with pytest.raises(CannotListen) as caught:
            await proxy.start()

    assert str(caught.value) == f"cannot listen on 127.0.0.1:{port}: Address already in use"


async def test_address_of_another_machine():
    proxy = Proxy(configured("http://127.0.0.1:9", listen={"host": "192.0.2.1", "port": 0}))
    with pytest.raises(CannotListen, match=r"192\.0\.2\.1:0: Cannot assign requested address"):
        await proxy.start()


async def test_url_on_ipv6():
    async with Scripted(stays()) as upstream, running(upstream, listen={"host": "::1", "port": 0}) as proxy:
        assert proxy.url.startswith("http://[::1]:")
        async with PlainClient(proxy.url):
            pass


async def test_stopping_lets_a_stream_end():
    async def script(talk: Talk) -> None:
        await talk.receive()
        await talk.send(STREAM_HEAD, chunk(ROLE))
        await soon(talk.go.wait())
        await talk.send(chunk(ONE + STOP + DONE), LAST_CHUNK)

    async with (
        Scripted(script) as upstream,
        running(upstream, drain="20s") as proxy,
        PlainClient(proxy.url) as client,
    ):
        await client.post(PATH, QUESTION)
        await client.head()
        assert await client.chunk() == ROLE
        stopping = asyncio.ensure_future(proxy.stop())
        await refused(proxy.url)
        upstream.talks[0].go.set()

        assert b"".join(await client.chunks()) == ONE + STOP + DONE
        await soon(stopping)


async def test_stopping_breaks_off_what_does_not_end_in_time():
    async with (
        Scripted(stays(STREAM_HEAD, chunk(ROLE))) as upstream,
        running(upstream, drain="50ms") as proxy,
        PlainClient(proxy.url) as client,
    ):
        await client.post(PATH, QUESTION)
        await client.head()
        assert await client.chunk() == ROLE
        await soon(proxy.stop())

        assert b"0\r\n" not in await client.closed()
        await soon(upstream.talks[0].gone.wait())


async def refused(url: str) -> None:
    """Wait until nobody listens any more."""
    async with asyncio.timeout(20):
        while True:
            try:
                async with PlainClient(url):
                    await asyncio.sleep(0)
            except ConnectionError:
                return
