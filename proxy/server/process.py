"""The process around the proxy: its event loop, its signals, its exit status."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, Final

from proxy.config.schema import Configuration
from proxy.server.access_log import LibraryLog, open_log
from proxy.server.app import Proxy

try:
    import uvloop
except ImportError:  # it is no dependency where it does not exist
    LOOP: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
else:
    LOOP = uvloop.new_event_loop

DONE: Final = 0
ENDED_AT_ONCE: Final = 1


def run(
    configure: Callable[[], Configuration],
    *,
    beside: AbstractAsyncContextManager[Any] | None = None,
    announce: Callable[[str], None] | None = None,
) -> int:
    """Run the proxy until it is told to stop, and return the exit status.

    Args:
        configure: reads the configuration.
        beside: what runs as long as the proxy does, in the same event loop.
        announce: is given the proxy's URL once it listens.

    Raises:
        ConfigurationError: the configuration is wrong.
        CannotListen: its address is taken, or not this machine's.
    """
    configuration = configure()
    logging.getLogger().addHandler(LibraryLog(open_log(configuration.log)))
    with asyncio.Runner(loop_factory=LOOP) as runner:
        return runner.run(_serve(configuration, beside or nullcontext(), announce))


async def _serve(
    configuration: Configuration,
    beside: AbstractAsyncContextManager[Any],
    announce: Callable[[str], None] | None,
) -> int:
    stop = asyncio.Event()

    def told() -> None:
        if stop.is_set():  # told twice: at once
            os._exit(ENDED_AT_ONCE)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told)
    loop.add_signal_handler(signal.SIGHUP, _hung_up)
    async with beside:
        proxy = Proxy(configuration)
        await proxy.start()
        if announce is not None:
            announce(proxy.url)
        await stop.wait()
        await proxy.stop()
    return DONE


def _hung_up() -> None:
    """Say what SIGHUP does not do yet; unhandled, it would end the process and every stream with it."""
    sys.stderr.write(
        "straightwire: the configuration is read at the start only; restart to have it read again\n"
    )
