"""The proxy's start."""

import socket

import pytest

from proxy.errors import CannotListen
from proxy.server.app import Proxy
from tests.plain_client import PlainClient
from tests.scripted import Scripted
from tests.server.running import configured, running
from tests.server.streams import stays


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
