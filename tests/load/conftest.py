"""A proxy in a process of its own, and the question what it holds."""

import asyncio
import json
import resource
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.load.crowd import LONG
from tests.scripted import PATIENCE

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def many_files():
    """Let this process have as many connections as the machine allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Watched:
    """The process.

    Attributes:
        url: where clients find it.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.url = ""

    async def told(self) -> dict[str, Any]:
        """Return the next line that it tells."""
        async with asyncio.timeout(LONG):
            return json.loads(await self._process.stdout.readline())

    async def holds(self) -> dict[str, int]:
        """Ask what it holds."""
        self._process.stdin.write(b"?\n")
        return await self.told()

    async def settled(self, start: dict[str, int]) -> dict[str, int]:
        """Ask until it has no more tasks and files than at the start; return what it holds then."""
        async with asyncio.timeout(PATIENCE):
            holds = await self.holds()
            while holds["tasks"] > start["tasks"] or holds["files"] > start["files"]:
                holds = await self.holds()
        return await self.holds()  # what has ended in this turn of the event loop is let go in the next


def few_files():
    """Give the proxy the usual small limit, which it has to lift by itself."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


@asynccontextmanager
async def watched(upstream: str) -> AsyncIterator[Watched]:
    """Run a proxy before an upstream; at the end it has to stop as it is told."""
    settings = {
        "listen": {"port": 0},
        "admin": None,
        "upstreams": {"local": {"url": upstream}},
        "log": {"format": "json"},
        "drain": "5s",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.load.watched", json.dumps(settings)),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        preexec_fn=few_files,
    )
    proxy = Watched(process)
    try:
        proxy.url = (await proxy.told())["url"]
        yield proxy
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
