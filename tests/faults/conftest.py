"""Where the proxy is started for all fault tests, and the event loops that it runs on."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from tests.plain_client import PlainClient
from tests.scripted import Scripted
from tests.server import running
from tests.server.conftest import Clock, clock, pytest_asyncio_loop_factories, road

__all__ = ["Clock", "Talking", "clock", "pytest_asyncio_loop_factories", "road", "talking"]

#: `talking(*scripts, **settings)`: an upstream that plays scripts, a proxy before it, a client.
Talking = Callable[..., AbstractAsyncContextManager[tuple[Scripted, PlainClient]]]


@pytest.fixture
def talking(road: None) -> Callable[..., Any]:
    """Start the proxy. Whatever it has to be proved on is decided here, and nowhere else."""
    return running.talking
