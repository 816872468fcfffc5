"""What an operator sees of a proxy: the pages of its admin listener, and its log."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from proxy.server.app import Proxy
from tests.plain_client import PlainClient
from tests.scripted import PATIENCE, Script, Scripted
from tests.server.running import running
from tests.server.streams import serves

ADMIN = {"port": 0}
LIVES = serves(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
NEVER = {"interval": 0}


async def get(url: str | None, path: str) -> tuple[int, str]:
    """Ask for a page of the admin listener."""
    assert url is not None
    async with PlainClient(url) as client:
        await client.request("GET", path)
        head = await client.head()
        return head.status, (await client.body(head)).decode()


async def ready(url: str | None, *, expected: int) -> str:
    """Ask for readiness until the answer has the status that must come; return its body."""
    async with asyncio.timeout(PATIENCE):
        while True:
            status, body = await get(url, "/readyz")
            if status == expected:
                return body


class Log(io.StringIO):
    """What a proxy logs, as JSON."""

    def lines(self, event: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.getvalue().splitlines()]
        return [line for line in lines if line["event"] == event]

    @property
    def line(self) -> dict[str, Any]:
        """The line of the only request."""
        (line,) = self.lines("request")
        return line


@asynccontextmanager
async def logging(
    *scripts: Script, level: str = "info", **settings: Any
) -> AsyncIterator[tuple[Log, Proxy, PlainClient]]:
    """Run an upstream that plays scripts, a proxy that logs, and a client that is connected."""
    log = Log()
    async with Scripted(*scripts) as upstream:
        settings = {"log": {"format": "json", "level": level}} | settings
        async with running(upstream, logged=log, **settings) as proxy, PlainClient(proxy.url) as client:
            yield log, proxy, client
