"""The proxy as a whole: its routes, its start and its stop."""

import asyncio
import socket
import ssl
from collections.abc import Sequence
from functools import partial
from typing import Final, TextIO

from aiohttp import web
from aiohttp.typedefs import Handler

from proxy.config.lasting import keep
from proxy.config.schema import Configuration
from proxy.errors import CannotListen
from proxy.server.access_log import AccessLog, open_log, tell_reload, tell_start
from proxy.server.body import expect_nothing
from proxy.server.client_connections import ClientRunner
from proxy.server.failures import answer_errors
from proxy.server.generation import Generation, generation_of
from proxy.server.listening import bind, serve, url_of
from proxy.server.metrics import Metrics
from proxy.server.oversight import STOPPING, Oversight
from proxy.server.passthrough import drop_additions
from proxy.server.places import Places
from proxy.server.record import record_of
from proxy.server.recorder import Recorder, mark
from proxy.server.stopping import cut_off
from proxy.server.tls import in_front, renew
from proxy.server.tracing import Tracing
from proxy.wire.requests import Endpoint

#: What is understood, and under which paths. LocalAI and old clients know them without /v1, too.
_GENERATING: Final = {
    Endpoint.CHAT: ("/chat/completions", "/engines/{model}/chat/completions"),
    Endpoint.COMPLETIONS: ("/completions", "/engines/{model}/completions"),
    Endpoint.EMBEDDINGS: ("/embeddings", "/engines/{model}/embeddings"),
    Endpoint.EDITS: ("/edits",),
}
#: A model's name may have slashes in it.
_MODELS: Final = ("/models", r"/models/{model:.+}")
#: Every path, whatever is in it; aiohttp's `.*` would stop at an encoded line feed.
_ANY: Final = r"/{path:[\s\S]*}"
#: The longest header field taken from a client, in bytes: cookies and tokens outgrow aiohttp's 8190.
_HEADER_LIMIT: Final = 65536
#: Where there is no HTTP after the response's head.
_SWITCHING_PROTOCOLS: Final = 101
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
        self._recorder = Recorder()
        self._tracing = Tracing() if configuration.tracing else None
        self._places = places or Places()
        self._sockets = sockets
        self._endpoints: dict[web.AbstractRoute, str] = {}
        self._generation: Generation  # made by start(): it needs the event loop
        self._oversight: Oversight | None = None
        self._context: ssl.SSLContext | None = None
        self._draining = False
        self._requests: set[asyncio.Task[object]] = set()
        self._retiring: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Lock()
        self._runner = ClientRunner(
            self._application(),
            self._recorder.refuse,
            handler_cancellation=True,  # a client that leaves stops the upstream, even while that is silent
            access_log=None,
            auto_decompress=False,
            max_line_size=_HEADER_LIMIT,
            max_field_size=_HEADER_LIMIT,
            shutdown_timeout=_LAST_WORDS,
        )
        self.metrics = Metrics(self._recorder.streams)

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
            renew(self._context, configuration.listen.tls)
        self._log = open_log(configuration.log, self._log_stream, worker=self._worker)
        self._follow(configuration, generation)
        retiring = asyncio.create_task(old.retire())
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
        self._draining = True
        if self._oversight is not None:
            self._oversight.hindrance = STOPPING
        async with self._stopping:
            await self._listen_no_more()
            await _end_of(self._requests, self._configuration.drain if drain is None else drain)
            for request in self._requests:
                cut_off(request)
            await _end_of(self._requests, _LAST_WORDS)
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
        self._generation = generation
        self.metrics.follow(configuration.upstreams)
        access_log = AccessLog(self._log)
        self._recorder.listeners = (access_log, self.metrics)
        self._runner.idle = configuration.clients.idle

    async def _collected(self) -> Metrics:
        return self.metrics

    async def _listen_no_more(self) -> None:
        """Close the listener, and the connections on which nothing is asked."""
        for site in list(self._runner.sites):
            await site.stop()
        if self._worker is None and (path := self._configuration.listen.path):
            path.unlink(missing_ok=True)
        if self._runner.server is not None:
            await asyncio.sleep(0)  # what has come until now is being served then
            self._runner.server.pre_shutdown()

    def _application(self) -> web.Application:
        outermost = [self._tracing.middleware] if self._tracing else []
        application = web.Application(
            middlewares=[*outermost, self._recorder.middleware, self._keep_count, answer_errors, self._let_in]
        )
        application.on_response_prepare.extend([drop_additions, mark, self._mark])
        route = partial(application.router.add_route, expect_handler=expect_nothing)
        for endpoint, paths in _GENERATING.items():
            for path in paths:
                for place in (f"/v1{path}", path):
                    understood = route("POST", place, partial(self._generate, endpoint))
                    self._endpoints[understood] = endpoint.value
        for path in ("/models", *(f"/v1{path}" for path in _MODELS)):
            self._endpoints[route("GET", path, self._models)] = Endpoint.MODELS.value
        route("*", _ANY, self._other)
        return application

    @web.middleware
    async def _let_in(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        record = record_of(request)
        # Before the doors: whom they send away came for an endpoint, too.
        record.endpoint = self._endpoints.get(request.match_info.route, record.endpoint)
        return await generation_of(request).doors.let_in(request, handler)

    async def _mark(self, request: web.Request, response: web.StreamResponse) -> None:
        generation_of(request).doors.mark(request, response)
        if self._draining and response.status != _SWITCHING_PROTOCOLS:
            response.force_close()
            response.headers["Connection"] = "close"

    async def _generate(self, endpoint: Endpoint, request: web.Request) -> web.StreamResponse:
        return await generation_of(request).service.generate(endpoint, request)

    async def _models(self, request: web.Request) -> web.StreamResponse:
        return await generation_of(request).service.models(request)

    async def _other(self, request: web.Request) -> web.StreamResponse:
        return await generation_of(request).service.other(request)

    @web.middleware
    async def _keep_count(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Know the requests that run, to wait for their ends; each belongs to the generation in force."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("aiohttp serves requests in tasks")
        self._requests.add(task)
        task.add_done_callback(self._requests.discard)
        self._generation.take(request, task)
        return await handler(request)


async def _end_of(requests: set["asyncio.Task[object]"], seconds: float) -> None:
    """Wait until no request runs any more, but only so long."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while requests and (left := until - loop.time()) > 0:
        await asyncio.wait(requests, timeout=left)
