"""The event loops that the server is tested on, and a clock that tests can put forward."""

import asyncio
from collections.abc import Callable

import pytest
import uvloop

from proxy.server.clients import one_task
from proxy.server.upstreams import direct


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every test on uvloop, which `serve` uses, and on asyncio's own loop, which it falls back to."""
    loops = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    if "clock" in getattr(item, "fixturenames", ()):
        del loops["uvloop"]  # its clock is out of reach
    return loops


class Clock:
    """The event loop's clock, ahead of the true one by what `advance` has added up to.

    What is due is done as soon as the loop is free; waits of `soon` grow shorter, too.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._true_time = loop.time
        self._ahead = 0.0

    def time(self) -> float:
        return self._true_time() + self._ahead

    def advance(self, seconds: float) -> None:
        """Put the clock forward."""
        self._ahead += seconds
        self._loop.call_soon(lambda: None)  # wakes a loop that sleeps until the next timer


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    loop = asyncio.get_running_loop()
    clock = Clock(loop)
    monkeypatch.setattr(loop, "time", clock.time)
    return clock


@pytest.fixture(params=["direct", "plain"])
def road(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the fast roads, and those that every other version of aiohttp takes."""
    if request.param == "plain":
        monkeypatch.setattr(direct, "TRIED", ("0.",))
        monkeypatch.setattr(one_task, "TRIED", ("0.",))
