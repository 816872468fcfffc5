"""The parent of several workers: starts them, starts another where one has ended, and speaks for all of them.

Clients never come here. It holds the listening sockets, so that connections can wait while a worker is
replaced; the admin listener, whose /metrics sums what the workers have counted; and the configuration.
"""

import asyncio
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from typing import Any, Final

from proxy.config.lasting import keep
from proxy.config.schema import Configuration
from proxy.config.shares import share
from proxy.errors import CannotListen, WorkerFailed
from proxy.server.generation import Generation
from proxy.server.listening import SharedAddress, url_of
from proxy.server.operator.access_log import open_log, tell_reload, tell_start
from proxy.server.operator.metrics import Metrics
from proxy.server.operator.oversight import STOPPING, Oversight
from proxy.server.processes.children import Child, Children, said
from proxy.server.processes.places import Places, shared_memory
from proxy.server.processes.totals import Totals
from proxy.server.tls import in_front

#: How often a worker is started before the start of the proxy is given up.
_ATTEMPTS: Final = 3
#: A worker that has lived for so many seconds is replaced at once, others after pauses, each twice as long.
_LIVED: Final = 10.0
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 15.0
#: Processes of one number at the same time: the one that serves, and those that drain.
_SLOTS: Final = 16
#: Seconds for the workers' answers.
_PATIENCE: Final = 2.0
#: Seconds beyond `drain` after which a worker that has not ended is killed.
_LAST_WORDS: Final = 5.0
_NO_WORKER: Final = "No worker is running yet."


class Supervisor:
    """Several workers as one proxy.

    Args:
        configuration: all that they do, and how many they are.
    """

    def __init__(self, configuration: Configuration):
        self._configuration = configuration
        self._log = open_log(configuration.log)
        self._metrics = Metrics(lambda _: 0)
        self._totals = Totals(self._metrics)
        self._children = Children()
        slots = range(configuration.workers * _SLOTS)
        self._memory = shared_memory(len(slots))
        self._places = Places(memory=self._memory)
        self._slots: asyncio.Queue[int] = asyncio.Queue()
        for slot in slots:
            self._slots.put_nowait(slot)
        self._workers: set[Child] = set()
        self._keeping: list[asyncio.Task[None]] = []
        self._ending: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()
        self._address: SharedAddress
        self._oversight: Oversight

    @property
    def url(self) -> str:
        """Where clients find the proxy, with the real port where 0 was configured."""
        return url_of(self._address.name, "https" if self._configuration.listen.tls else "http")

    async def start(self) -> None:
        """Listen, and start all workers.

        Raises:
            CannotListen: an address is taken, or not this machine's.
            ConfigurationError: a certificate or key is none.
            WorkerFailed: a worker does not start.
        """
        configuration, there = self._configuration, self._configuration.listen
        await _try(configuration)
        self._address = SharedAddress(there.host, there.port, there.path, configuration.workers)
        try:
            self._oversight = Oversight(configuration, self._metrics.mark, self._collected)
        except CannotListen:
            self._address.close()
            raise
        self._oversight.hindrance = _NO_WORKER
        self._metrics.follow(configuration.upstreams)
        self._children.watch()
        await self._oversight.start(configuration.upstreams)
        numbers = range(1, configuration.workers + 1)
        starting = [asyncio.create_task(self._start_first(number)) for number in numbers]
        try:
            workers = await asyncio.gather(*starting)
        except WorkerFailed:
            self._stop.set()
            self.kill()
            await asyncio.wait(starting)
            await self.stop()
            raise
        self._keeping = [asyncio.create_task(self._keep(worker)) for worker in workers]
        tell_start(self._log, configuration, self.url, self._oversight.url)

    async def reload(self, configuration: Configuration) -> None:
        """Put a new configuration in force, in all workers; it is tried here before any of them gets it.

        Args:
            configuration: the new one.

        Raises:
            ConfigurationError: a certificate or key in it is none. The old one stays in force.
        """
        configuration, kept = keep(self._configuration, configuration)
        await _try(configuration)
        self._configuration = configuration
        await _all(worker.configure(share(configuration, worker.number)) for worker in self._workers)
        self._log = open_log(configuration.log)
        self._metrics.follow(configuration.upstreams)
        await self._oversight.follow(configuration.upstreams)
        tell_reload(self._log, configuration, kept)

    async def stop(self) -> None:
        """Be ready no more, then let all workers drain and end."""
        self._oversight.hindrance = STOPPING
        self._stop.set()
        self._address.close()
        for worker in self._workers:
            worker.drain()
        ending = asyncio.create_task(self._end())
        _, late = await asyncio.wait([ending], timeout=self._configuration.drain + _LAST_WORDS)
        if late:
            self.kill()
        await ending
        await self._oversight.close()

    def kill(self) -> None:
        """End all workers at once."""
        for worker in self._workers:
            worker.kill()

    async def _end(self) -> None:
        """Wait until no worker is left."""
        if self._keeping:
            await asyncio.wait(self._keeping)
        while self._ending:
            await asyncio.wait(self._ending)

    async def _start_first(self, number: int) -> Child:
        """Start a worker when the proxy starts.

        Raises:
            WorkerFailed: it does not start, though tried again.
        """
        for _ in range(_ATTEMPTS - 1):
            try:
                return await self._start(number)
            except WorkerFailed as error:
                if self._stop.is_set():
                    raise
                self._log.error("worker ended", worker=number, reason=str(error))
        return await self._start(number)

    async def _start(self, number: int) -> Child:
        """Start a worker.

        Raises:
            WorkerFailed: it does not start.
            CannotListen: somebody else has taken the address meanwhile.
        """
        worker = Child(number, await self._slots.get(), self._children, self._totals)
        self._workers.add(worker)
        try:
            configuration = share(self._configuration, number)
            await worker.start(configuration, self._memory, self._address.sockets(number))
        except (WorkerFailed, CannotListen):
            self._forget(worker)
            raise
        self._log.info("worker started", worker=number, pid=worker.pid)
        self._note_readiness()
        return worker

    async def _keep(self, first: Child) -> None:
        """Start another worker whenever one takes nothing new any more, until the proxy stops."""
        loop = asyncio.get_running_loop()
        worker: Child | None = first
        failures = 0
        while worker is not None:
            began = loop.time()
            await worker.left.wait()
            self._note_readiness()
            ending = asyncio.create_task(self._see_off(worker))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
            lasted = worker.resigned or loop.time() - began > _LIVED
            failures = 0 if lasted else failures + 1
            worker = await self._replace(worker.number, failures)

    async def _see_off(self, worker: Child) -> None:
        """Wait for the end of a worker, and tell of it where it has not been asked for."""
        code = await worker.end()
        self._forget(worker)
        if not self._stop.is_set():
            tell = self._log.info if worker.resigned and code == 0 else self._log.error
            tell("worker ended", worker=worker.number, pid=worker.pid, reason=worker.fault or said(code))

    def _forget(self, worker: Child) -> None:
        self._workers.discard(worker)
        self._places.vacate(worker.slot)
        self._slots.put_nowait(worker.slot)

    async def _replace(self, number: int, failures: int) -> Child | None:
        """Start a worker in the place of another; None: the proxy stops.

        Args:
            number: of the worker.
            failures: how many of this number have lived but shortly, one after the other.
        """
        while not self._stop.is_set():
            if failures > 1:
                self._address.release(number)
                pause = min(_FIRST_PAUSE * 2.0 ** (failures - 2), _LONGEST_PAUSE)
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._stop.wait()
                        break
            try:
                return await self._start(number)
            except (WorkerFailed, CannotListen) as error:
                self._address.release(number)  # the others can have its connections
                self._log.error("worker ended", worker=number, reason=str(error))
                failures += 1
        return None

    def _note_readiness(self) -> None:
        if not self._stop.is_set():
            ready = any(worker.ready for worker in self._workers)
            self._oversight.hindrance = None if ready else _NO_WORKER

    async def _collected(self) -> Totals:
        """Return what all workers have counted. Of one that is late with its answer, the last one counts."""
        await _all(worker.report() for worker in self._workers if worker.ready)
        return self._totals


async def _all(answers: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Wait for the answers of workers, but not for one that does not answer."""
    tasks = [asyncio.create_task(answer) for answer in answers]
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=_PATIENCE)
        for task in late:
            task.cancel()


async def _try(configuration: Configuration) -> None:
    """Set up what a worker would, and see whether that works.

    Raises:
        ConfigurationError: a certificate or key is none.
    """
    if configuration.listen.tls:
        in_front(configuration.listen.tls)
    await Generation(configuration, Places()).close()
