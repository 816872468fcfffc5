"""The names of upstreams: their servers are silent, their addresses change, and one of several is dead."""

import asyncio
import signal
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import pytest

from tests.cli.serving import NEVER, Served, serving
from tests.faults.asking import NEXT, get
from tests.faults.name_server import name_server
from tests.plain_client import PlainClient
from tests.scripted import Scripted
from tests.server.streams import PATH, QUESTION, answers, serves

NEXT_AND_LAST = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nnext"
OTHER_AND_LAST = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nother"
#: More than uvloop has threads for names.
SILENT = [f"silent{number}" for number in range(6)]
TIMEOUT = 504, "upstream_timeout"


def threads(served: Served) -> int:
    return len(list(Path(f"/proc/{served.process.pid}/task").iterdir()))


@contextmanager
def refusing(address: str, port: int) -> Iterator[None]:
    """Take an address, and do not listen."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as bound:
        bound.bind((address, port))
        yield


@contextmanager
def unanswering(address: str, port: int) -> Iterator[None]:
    """Listen at an address, and never accept: the queue is full."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as full, socket.socket(family) as first, socket.socket(family) as second:
        full.bind((address, port))
        full.listen(0)
        for each in (first, second):
            each.setblocking(False)
            each.connect_ex((address, port))
        yield


async def failure(served: Served, model: str) -> tuple[int, str]:
    """Ask a model; return status and code of the error."""
    async with PlainClient(served.url) as client:
        await client.post(PATH, QUESTION | {"model": model})
        head, error = await client.error()
        return head.status, error["code"]


async def test_name_server_that_is_silent(tmp_path):
    """It holds up nobody but those who wait for it: not other names, nor a reload, nor the end."""
    async with (
        name_server(tmp_path, silent=True) as names,
        Scripted(serves(NEXT)) as upstream,
        serving(
            upstream,
            tmp_path / "proxy.yaml",
            within=names.within,
            upstreams={
                "local": {"url": f"http://localhost:{upstream.port}", "health": NEVER},
                **{
                    name: {"url": f"http://{name}.test", "timeouts": {"connect": "300ms"}, "health": NEVER}
                    for name in SILENT
                },
            },
            models={"*": {"upstream": "local"}, **{name: {"upstream": name} for name in SILENT}},
        ) as served,
        PlainClient(served.url) as client,
    ):
        for _ in range(2):
            asked = [asyncio.create_task(failure(served, name)) for name in SILENT]
            assert await get(client) == b"next"
            assert await asyncio.gather(*asked) == [TIMEOUT] * len(SILENT)
        before = threads(served)
        assert await asyncio.gather(*(failure(served, name) for name in SILENT)) == [TIMEOUT] * len(SILENT)
        assert threads(served) == before

        served.process.send_signal(signal.SIGHUP)
        await served.line("reloaded")
        await client.leave()
        served.process.terminate()
        assert await served.ended() == 0


async def test_address_that_changes(tmp_path):
    """Nobody listens at the old one any more: the new one is looked for at once."""
    async with name_server(tmp_path, "127.0.0.2") as names, AsyncExitStack() as stack:
        upstream = Scripted(answers(NEXT_AND_LAST), listening=socket.create_server(("127.0.0.2", 0)))
        await stack.enter_async_context(upstream)
        settings = {"local": {"url": f"http://moving.test:{upstream.port}", "health": NEVER}}
        async with (
            serving(upstream, tmp_path / "proxy.yaml", within=names.within, upstreams=settings) as served,
            PlainClient(served.url) as client,
        ):
            assert await get(client) == b"next"
            await stack.aclose()
            names.addresses = ["127.0.0.3"]
            async with Scripted(
                answers(OTHER_AND_LAST), listening=socket.create_server(("127.0.0.3", upstream.port))
            ):
                assert await get(client) == b"other"


@pytest.mark.parametrize("how", [refusing, unanswering])
@pytest.mark.parametrize(
    ("dead", "alive"),
    [("127.0.0.2", "127.0.0.3"), ("127.0.0.3", "127.0.0.2"), ("::1", "127.0.0.1")],
    ids=["first", "second", "the-one-of-ipv6"],
)
async def test_one_of_two_addresses_is_dead(tmp_path, dead, alive, how):
    async with (
        name_server(tmp_path, dead, alive) as names,
        Scripted(answers(NEXT_AND_LAST), listening=socket.create_server((alive, 0))) as upstream,
        serving(
            upstream,
            tmp_path / "proxy.yaml",
            within=names.within,
            upstreams={"local": {"url": f"http://twice.test:{upstream.port}", "health": NEVER}},
        ) as served,
        PlainClient(served.url) as client,
    ):
        with how(dead, upstream.port):
            for _ in range(3):  # each begins with another one
                assert await get(client) == b"next"
