"""Nobody reads the log for a while."""

import asyncio
import signal

import pytest

from tests.cli.serving import serving
from tests.plain_client import PlainClient
from tests.scripted import PATIENCE, Scripted, soon
from tests.server.operating import get
from tests.server.streams import serves

NOTHING = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#: Requests whose lines are more than a pipe and the reader's own buffer hold, some 200 KiB.
MANY = 1500


@pytest.mark.parametrize("workers", [1, 2])
async def test_log_that_is_read_late(tmp_path, workers):
    async with (
        Scripted(serves(NOTHING)) as upstream,
        serving(upstream, tmp_path / "proxy.yaml", workers=workers) as served,
        PlainClient(served.url) as client,
    ):
        for number in range(MANY):
            await client.request("GET", f"/{number}/{'x' * 100}")
            assert (await client.head()).status == 200
        assert await get(served.admin_url, "/healthz") == (200, "alive\n")
        paths = [(await served.line("request"))["path"] for _ in range(MANY)]
        assert [int(path.split("/")[1]) for path in paths] == list(range(MANY))
        served.process.send_signal(signal.SIGTERM)
        assert await served.ended() == 0


@pytest.mark.parametrize("workers", [1, 2])
async def test_log_that_nobody_will_ever_read(tmp_path, workers):
    async with (
        Scripted(serves(NOTHING)) as upstream,
        serving(upstream, tmp_path / "proxy.yaml", workers=workers) as served,
        PlainClient(served.url) as client,
    ):
        served.process._transport.get_pipe_transport(2).close()
        await client.request("GET", "/x")
        assert (await client.head()).status == 200
        served.configure(clients={"api_keys": ["sk-1"]})
        served.process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(PATIENCE):
            while await status_of_a_question(served.url) != 401:
                pass
        served.process.send_signal(signal.SIGTERM)
        assert await soon(served.process.wait()) == 0


async def status_of_a_question(url: str) -> int:
    async with PlainClient(url) as client:
        await client.request("GET", "/x")
        return (await client.head()).status
