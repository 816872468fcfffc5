"""The process that was started: its signals, its exit status, and what runs in it."""

import asyncio
import logging
import os
import resource
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, Final, Protocol

from proxy.config.schema import Configuration
from proxy.server.app import Proxy
from proxy.server.operator.access_log import LibraryLog, open_log, tell_not_reloaded
from proxy.server.processes import notify
from proxy.server.processes.garbage import spare_what_lives
from proxy.server.processes.loop import LOOP

DONE: Final = 0
ENDED_AT_ONCE: Final = 1


class Running(Protocol):
    """What the process runs."""

    @property
    def url(self) -> str:
        """Where clients find it."""

    async def start(self) -> None:
        """Listen."""

    async def reload(self, configuration: Configuration) -> None:
        """Put a new configuration in force."""

    async def stop(self) -> None:
        """Drain."""

    def kill(self) -> None:
        """End at once what this process's end does not end."""


def run(
    configure: Callable[[], Configuration],
    *,
    beside: AbstractAsyncContextManager[Any] | None = None,
    announce: Callable[[str], None] | None = None,
) -> int:
    """Run the proxy until it is told to stop, and return the exit status.

    Args:
        configure: reads the configuration, at the start and at each SIGHUP.
        beside: what runs as long as the proxy does, in the same event loop.
        announce: is given the proxy's URL once it listens.

    Raises:
        ConfigurationError: the configuration is wrong.
        CannotListen: its address is taken, or not this machine's.
        WorkerFailed: one of several processes does not start.
    """
    configuration = configure()
    _lift_the_limit_of_files()
    process = _Process(configure, configuration)
    if os.getpid() == 1 and configuration.workers == 1:
        # Process 1 of a container inherits what others leave behind there. A supervisor sees to that anyway.
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    # A supervisor has children to see to, whose signal uvloop keeps for itself; and no stream passes it.
    factory = LOOP if configuration.workers == 1 else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(process.serve(beside or nullcontext(), announce))


def _lift_the_limit_of_files() -> None:
    """Take all the open files that the system allows this process; its workers inherit them.

    A stream takes two, and the usual soft limit of 1024 is kept low only for programs that call select().
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class _Process:
    def __init__(self, configure: Callable[[], Configuration], configuration: Configuration):
        self._configure = configure
        self._running = _running(configuration)
        self._log = open_log(configuration.log)
        self._library_log = LibraryLog(self._log)
        self._stop = asyncio.Event()
        self._hung_up = asyncio.Event()

    async def serve(
        self, beside: AbstractAsyncContextManager[Any], announce: Callable[[str], None] | None
    ) -> int:
        logging.getLogger().addHandler(self._library_log)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told_to_stop)
        loop.add_signal_handler(signal.SIGHUP, self._hung_up.set)
        async with beside:
            await self._running.start()
            spare_what_lives()
            notify.ready()
            reloading = asyncio.create_task(self._reload_when_told())
            living = asyncio.create_task(notify.alive())
            if announce is not None:
                announce(self._running.url)
            await self._stop.wait()
            notify.stopping()
            reloading.cancel()
            await self._running.stop()
            living.cancel()
        return DONE

    def _told_to_stop(self) -> None:
        if self._stop.is_set():  # told twice: at once
            self._running.kill()
            os._exit(ENDED_AT_ONCE)
        self._stop.set()

    async def _reload_when_told(self) -> None:
        while await self._hung_up.wait():
            self._hung_up.clear()
            notify.reloading()
            await self._reload()
            notify.ready()

    async def _reload(self) -> None:
        try:
            # Beside the event loop: a large file takes longer to read than a stream may wait.
            configuration = await asyncio.to_thread(self._configure)
            await self._running.reload(configuration)
        except Exception as error:  # noqa: BLE001 - whatever it is, the old configuration goes on
            tell_not_reloaded(self._log, error)
        else:
            self._log = self._library_log.log = open_log(configuration.log)


def _running(configuration: Configuration) -> Running:
    if configuration.workers == 1:
        return Proxy(configuration)
    from proxy.server.processes.supervisor import Supervisor

    return Supervisor(configuration)
