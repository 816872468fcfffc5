"""Where the proxy is started for all fault tests, and the event loops that it runs on."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop

from tests.faults.namespaces import Cable, cable
from tests.plain_client import PlainClient
from tests.server import running
from tests.server.conftest import clock, road

__all__ = ["clock", "laid_cable", "proxied", "pytest_asyncio_loop_factories", "road", "talking"]


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every test on the loop that `serve` uses; its clock is out of reach of those that turn one."""
    if "clock" in getattr(item, "fixturenames", ()):
        return {"asyncio": asyncio.new_event_loop}
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
def talking(road: None) -> Callable[..., Any]:
    """Start an upstream that plays scripts, a proxy before it, and a client that is connected.

    Whatever the proxy is to be proved on is decided here, and nowhere else.
    """
    return running.talking


@pytest.fixture(name="cable")
def laid_cable() -> Iterator[Cable]:
    """Lay a cable to a network of one's own."""
    with cable() as laid:
        yield laid


@pytest.fixture
def proxied(road: None) -> Callable[..., Any]:
    """Start a proxy before the upstream with some URL, and a client that is connected."""

    @asynccontextmanager
    async def start(url: str, **settings: Any) -> AsyncIterator[PlainClient]:
        async with running.running(url, **settings) as proxy, PlainClient(proxy.url) as client:
            yield client

    return start
