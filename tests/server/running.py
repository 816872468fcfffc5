"""A proxy that runs for as long as a test needs it, and has to leave nothing behind."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TextIO

from proxy.config.schema import Configuration
from proxy.server.app import Proxy
from tests.plain_client import PlainClient
from tests.scripted import PATIENCE, Script, Scripted


@asynccontextmanager
async def running(
    upstream: Scripted | str, path: str = "", logged: TextIO | None = None, **settings: Any
) -> AsyncIterator[Proxy]:
    """Run a proxy before one upstream.

    At the end no task of the proxy's is left, and neither asyncio nor aiohttp has had to complain.

    Args:
        upstream: the server behind it, or its URL.
        path: what follows in the URL.
        logged: takes the proxy's log.
        settings: of the configuration; those of the upstream are named `upstream_…`.
    """
    url = upstream if isinstance(upstream, str) else upstream.url
    proxy = Proxy(configured(url + path, **settings), logged)
    complaints = Complaints()
    logging.getLogger("aiohttp").addHandler(complaints)
    asyncio.get_running_loop().set_exception_handler(complaints.from_asyncio)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()
        await _end_of(tasks_of_the_proxy())
        gc.collect()  # asyncio complains of failures that nobody has looked at when they are collected
        asyncio.get_running_loop().set_exception_handler(None)
        logging.getLogger("aiohttp").removeHandler(complaints)
    assert complaints.heard == []


@asynccontextmanager
async def talking(*scripts: Script, **settings: Any) -> AsyncIterator[tuple[Scripted, PlainClient]]:
    """Run an upstream that plays scripts, a proxy before it, and a client that is connected."""
    async with (
        Scripted(*scripts) as upstream,
        running(upstream, **settings) as proxy,
        PlainClient(proxy.url) as client,
    ):
        yield upstream, client


def configured(url: str, **settings: Any) -> Configuration:
    """Return a configuration with one upstream, whose own settings are named `upstream_…`."""
    prefix = "upstream_"
    own = {name.removeprefix(prefix): value for name, value in settings.items() if name.startswith(prefix)}
    others = {name: value for name, value in settings.items() if not name.startswith(prefix)}
    return Configuration.model_validate(
        {"listen": {"port": 0}, "admin": None, "drain": "50ms", "upstreams": {"local": {"url": url, **own}}}
        | others
    )


def tasks_of_the_proxy() -> set["asyncio.Task[Any]"]:
    """Return the tasks that run the proxy's code or aiohttp's. The tests use no aiohttp of their own."""
    return {task for task in asyncio.all_tasks() if _is_of_the_proxy(task)}


def _is_of_the_proxy(task: "asyncio.Task[Any]") -> bool:
    module = task.get_coro().cr_frame.f_globals["__name__"] if task.get_coro().cr_frame else ""
    return module.split(".")[0] in ("aiohttp", "proxy")


async def _end_of(tasks: set["asyncio.Task[Any]"]) -> None:
    if tasks:
        _, left = await asyncio.wait(tasks, timeout=PATIENCE)
        assert not left


class Complaints(logging.Handler):
    """What asyncio and aiohttp had to say that nobody else has heard."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(self.format(record))

    def from_asyncio(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.heard.append(f"{context['message']}: {context.get('exception')!r}")
