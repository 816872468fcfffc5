"""The proxy as a whole: its start and its stop."""

import asyncio
import socket
import ssl
from collections.abc import Sequence
from typing import Final, TextIO

from aiohttp import web

from proxy.config.lasting import keep
from proxy.config.schema import Configuration
from proxy.errors import CannotListen
from proxy.server.clients.answering import Answering
from proxy.server.clients.client_connections import ClientServer
from proxy.server.clients.one_task import kind_of_connection
from proxy.server.generation import Generation
from proxy.server.listening import bind, bound_silence, serve, url_of
from proxy.server.operator.access_log import AccessLog, open_log, tell_reload, tell_start
from proxy.server.operator.metrics import Metrics
from proxy.server.operator.oversight import STOPPING, Oversight
from proxy.server.operator.tracing import Tracing
from proxy.server.processes.places import Places
from proxy.server.tls import in_front, renew

#: Seconds for what is left to do on connections whose requests have ended.
_LAST_WORDS: Final = 1.0


class Proxy:
    """A listener, and the service behind it.

    Args:
        configuration: all that it does.
        log: where the log goes, in the place of the output that is set.
        sockets: where it listens; None: where the configuration says.
        worker: its number, where several processes are one proxy; the supervisor tells of the start then.
        places: counts the requests of all of them; None: those of this one are all.
    """

    def __init__(
        self,
        configuration: Configuration,
        log: TextIO | None = None,
        *,
        sockets: Sequence[socket.socket] | None = None,
        worker: int | None = None,
        places: Places | None = None,
    ):
        self._configuration = configuration
        self._log_stream = log
        self._worker = worker
        self._log = open_log(configuration.log, log, worker=worker)
        self._tracing = Tracing() if configuration.tracing else None
        self._places = places or Places()
        self._sockets = sockets
        self._answering = Answering(self._tracing)
        self._server: ClientServer  # made by start(), as the next two: they need the event loop
        self._runner: web.ServerRunner
        self._generation: Generation
        self._generations: set[Generation] = set()  # with those whose last request has not been answered
        self._oversight: Oversight | None = None
        self._context: ssl.SSLContext | None = None
        self._retiring: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Lock()
        self.metrics = Metrics(self._streams)

    @property
    def url(self) -> str:
        """Where clients find it, with the real port where 0 was configured."""
        if not self._sockets:
            raise RuntimeError("the proxy has not been started")
        return url_of(self._sockets[0].getsockname(), "https" if self._context else "http")

    @property
    def admin_url(self) -> str | None:
        """Where the operator finds health and metrics; None: nowhere."""
        return None if self._oversight is None else self._oversight.url

    async def start(self) -> None:
        """Listen.

        Raises:
            CannotListen: the address is taken, or not this machine's.
            ConfigurationError: a certificate or key is none.
        """
        configuration, there = self._configuration, self._configuration.listen
        self._context = in_front(there.tls) if there.tls else None
        generation = Generation(configuration, self._places)
        try:
            self._sockets = self._sockets or bind(there.host, there.port, path=there.path)
            self._oversight = Oversight(configuration, self.metrics.mark, self._collected)
        except CannotListen:
            for listener in self._sockets or ():
                listener.close()
            await generation.close()
            raise
        answering = self._answering
        self._server = ClientServer(
            answering.answer, answering.complete, answering.refuse, kind_of_connection()
        )
        self._runner = web.ServerRunner(self._server, shutdown_timeout=_LAST_WORDS)
        self._follow(configuration, generation)
        await serve(self._runner, self._sockets, self._context)
        await self._oversight.start(configuration.upstreams)
        if self._worker is None:
            tell_start(self._log, configuration, self.url, self.admin_url)

    async def reload(self, configuration: Configuration) -> None:
        """Put a new configuration in force; requests that run keep the one under which they came.

        Where it listens cannot change: the log tells of what has been kept.

        Args:
            configuration: the new one.

        Raises:
            ConfigurationError: a certificate or key in it is none. The old one stays in force.
        """
        configuration, kept = keep(self._configuration, configuration)
        if configuration.listen.tls:
            in_front(configuration.listen.tls)
        old, generation = self._generation, Generation(configuration, self._places)
        if self._context and configuration.listen.tls:
            try:
                renew(self._context, configuration.listen.tls)
            except Exception:
                await generation.close()
                raise
        self._log = open_log(configuration.log, self._log_stream, worker=self._worker)
        self._follow(configuration, generation)
        retiring = asyncio.create_task(self._retire(old))
        self._retiring.add(retiring)
        retiring.add_done_callback(self._retiring.discard)
        if self._oversight is not None:
            await self._oversight.follow(configuration.upstreams)
        if self._worker is None:
            tell_reload(self._log, configuration, kept)

    async def stop(self, drain: float | None = None) -> None:
        """Be ready no more, then listen no more, let requests end for as long as `drain`, and close all.

        A request that does not end in time is cut off: its client gets an error, and no `[DONE]`.

        Args:
            drain: seconds in the place of the configuration's.
        """
        self._answering.draining = True
        if self._oversight is not None:
            self._oversight.hindrance = STOPPING
        async with self._stopping:
            await self._listen_no_more()
            await self._end_of_requests(self._configuration.drain if drain is None else drain)
            for generation in self._generations:
                generation.running.cut_off()
            await self._end_of_requests(_LAST_WORDS)
            await self._runner.cleanup()
            if self._retiring:
                await asyncio.wait(self._retiring, timeout=_LAST_WORDS)
            await self._generation.close()
            if self._oversight is not None:
                await self._oversight.close()
            if self._tracing is not None:
                await self._tracing.close()

    def kill(self) -> None:
        """End at once what the end of this process does not end: nothing."""

    def _follow(self, configuration: Configuration, generation: Generation) -> None:
        self._configuration = configuration
        self._generation = self._answering.generation = generation
        self._generations.add(generation)
        self.metrics.follow(configuration.upstreams)
        access_log = AccessLog(configuration.log, self._log_stream, worker=self._worker)
        spans = [self._tracing.end] if self._tracing else []
        self._answering.listeners = (access_log, self.metrics, *spans)
        self._server.idle = configuration.clients.idle
        bound_silence(self._sockets or (), configuration.clients.idle)

    async def _collected(self) -> Metrics:
        return self.metrics

    async def _listen_no_more(self) -> None:
        """Close the listener, and the connections on which nothing is asked."""
        for site in list(self._runner.sites):
            await site.stop()
        if self._worker is None and (path := self._configuration.listen.path):
            path.unlink(missing_ok=True)
        await asyncio.sleep(0)  # what has come until now is being served then
        self._server.pre_shutdown()

    async def _retire(self, generation: Generation) -> None:
        await generation.retire()
        self._generations.discard(generation)

    async def _end_of_requests(self, seconds: float) -> None:
        """Wait until no request runs any more, but only so long."""
        until = asyncio.get_running_loop().time() + seconds
        for generation in list(self._generations):
            await generation.running.ended(until)

    def _streams(self, upstream: str) -> int:
        return sum(generation.running.streams(upstream) for generation in self._generations)
