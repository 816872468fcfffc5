"""A worker: the process that serves clients where there are several.

The supervisor starts it, and gives it a channel and the sockets that it listens on. A terminal's signals are
the supervisor's matter; at SIGTERM a worker drains and ends, and another takes its place.
"""

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence

from proxy.config.schema import Configuration
from proxy.errors import ConfigurationError
from proxy.server.app import Proxy
from proxy.server.operator.access_log import LibraryLog, open_log, tell_not_reloaded
from proxy.server.processes.channel import Ask, Channel, Configure, Drain, Failed, Leaving, Ready, Report
from proxy.server.processes.garbage import spare_what_lives
from proxy.server.processes.loop import LOOP
from proxy.server.processes.places import Places

DONE = 0
FAILED = 1


class Worker:
    """One worker.

    Args:
        number: tells it from the others, in the log.
        channel: to the supervisor.
        places: counts the requests of all workers.
        sockets: what it listens on.
    """

    def __init__(self, number: int, channel: Channel, places: Places, sockets: Sequence[socket.socket]):
        self._number = number
        self._places = places
        self._channel = channel
        self._sockets = sockets
        self._stop = asyncio.Event()
        #: The supervisor has gone: nobody is left to wait for.
        self._orphaned = False

    async def run(self) -> int:
        """Serve until the supervisor says that it is over, or has gone; return the exit status."""
        message = await self._channel.receive()
        if not isinstance(message, Configure):
            return FAILED
        configuration = message.configuration
        log = open_log(configuration.log, worker=self._number)
        logging.getLogger().addHandler(library_log := LibraryLog(log))
        proxy = Proxy(configuration, sockets=self._sockets, worker=self._number, places=self._places)
        try:
            await proxy.start()
        except ConfigurationError as error:
            self._channel.send(Failed(str(error)))
            await self._channel.close()
            return FAILED
        spare_what_lives()
        self._channel.send(Ready())
        obeying = asyncio.create_task(self._obey(proxy, library_log))
        await self._stop.wait()
        self._channel.send(Leaving())
        await proxy.stop(0.0 if self._orphaned else None)
        obeying.cancel()
        self._channel.send(Report(0, proxy.metrics.collect()))
        await self._channel.close()
        return DONE

    def stop(self) -> None:
        """Drain, and end; told twice, end at once."""
        if self._stop.is_set():
            os._exit(FAILED)
        self._stop.set()

    async def _obey(self, proxy: Proxy, library_log: LibraryLog) -> None:
        while message := await self._channel.receive():
            match message:
                case Configure(number, configuration):
                    await self._reload(proxy, configuration, library_log)
                    self._channel.send(Report(number, proxy.metrics.collect()))
                case Ask(number):
                    self._channel.send(Report(number, proxy.metrics.collect()))
                case Drain():
                    self._stop.set()
        self._orphaned = True
        self.stop()

    async def _reload(self, proxy: Proxy, configuration: Configuration, library_log: LibraryLog) -> None:
        try:
            await proxy.reload(configuration)
        except Exception as error:  # noqa: BLE001 - who answers the supervisor has to go on
            tell_not_reloaded(library_log.log, error)
        else:
            library_log.log = open_log(configuration.log, worker=self._number)


def main(number: str, slot: str, channel: str, memory: str, *listeners: str) -> int:
    """Run a worker, and return its exit status.

    Args:
        number: tells it from the others.
        slot: its own in the memory in which all workers count their requests.
        channel: the file descriptor of its end of the channel.
        memory: that of this memory.
        listeners: those of the sockets that it listens on.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sockets = [socket.socket(fileno=int(listener)) for listener in listeners]

    async def serve() -> int:
        to_supervisor = await Channel.over(socket.socket(fileno=int(channel)))
        worker = Worker(int(number), to_supervisor, Places(int(slot), int(memory)), sockets)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
        return await worker.run()

    with asyncio.Runner(loop_factory=LOOP) as runner:
        return runner.run(serve())


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
