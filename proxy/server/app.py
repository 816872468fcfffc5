"""The proxy as a whole: its routes, its start and its stop."""

import asyncio
from functools import partial
from typing import Final, TextIO

from aiohttp import web
from aiohttp.typedefs import Handler

from proxy.config.schema import Configuration
from proxy.errors import CannotListen
from proxy.server.access_log import AccessLog, open_log, tell_start
from proxy.server.admin import Admin
from proxy.server.body import expect_nothing
from proxy.server.connections import ClientRunner
from proxy.server.doors import Doors
from proxy.server.failures import answer_errors
from proxy.server.health import Health
from proxy.server.listening import listen, url_of
from proxy.server.metrics import Metrics
from proxy.server.passthrough import drop_additions
from proxy.server.recorder import Recorder, mark
from proxy.server.service import Service
from proxy.server.stopping import cut_off
from proxy.server.tls import in_front
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
        log: where the log goes; None: standard error.
    """

    def __init__(self, configuration: Configuration, log: TextIO | None = None):
        self._configuration = configuration
        self._doors = Doors(configuration)
        self._log = open_log(configuration.log, log)
        self._recorder = Recorder()
        self._metrics = Metrics(configuration.upstreams, self._recorder.streams)
        access_log = AccessLog(self._log, debug=configuration.log.level == "debug")
        self._recorder.listeners = (access_log, self._metrics)
        self._service: Service  # made by start(): it needs the event loop
        self._admin: Admin | None = None
        self._health: Health | None = None
        self._draining = False
        self._requests: set[asyncio.Task[object]] = set()
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

    @property
    def url(self) -> str:
        """Where clients find it, with the real port where 0 was configured."""
        return url_of(self._runner, "https" if self._configuration.listen.tls else "http")

    @property
    def admin_url(self) -> str | None:
        """Where the operator finds health and metrics; None: nowhere."""
        return None if self._admin is None else self._admin.url

    async def start(self) -> None:
        """Listen.

        Raises:
            CannotListen: the address is taken, or not this machine's.
            ConfigurationError: a certificate or key is none.
        """
        configuration, there = self._configuration, self._configuration.listen
        context = in_front(there.tls) if there.tls else None
        self._service = Service(configuration)
        try:
            await listen(self._runner, there.host, there.port, path=there.path, context=context)
            if configuration.admin is not None:
                self._admin = Admin(configuration.admin, self._trouble, self._metrics)
                await self._admin.start()
                self._health = Health(configuration.upstreams, self._metrics.mark)
        except CannotListen:
            await self.stop()
            raise
        tell_start(self._log, configuration, self.url, self.admin_url)

    async def stop(self) -> None:
        """Be ready no more, then listen no more, let requests end for as long as `drain`, and close all.

        A request that does not end in time is cut off: its client gets an error, and no `[DONE]`.
        """
        self._draining = True
        async with self._stopping:
            await self._listen_no_more()
            await _end_of(self._requests, self._configuration.drain)
            for request in self._requests:
                cut_off(request)
            await _end_of(self._requests, _LAST_WORDS)
            await self._runner.cleanup()
            await self._service.close()
            if self._health is not None:
                await self._health.close()
            if self._admin is not None:
                await self._admin.stop()

    async def _listen_no_more(self) -> None:
        """Close the listener, and the connections on which nothing is asked."""
        for site in list(self._runner.sites):
            await site.stop()
        if self._runner.server is not None:
            await asyncio.sleep(0)  # what has come until now is being served then
            self._runner.server.pre_shutdown()

    def _trouble(self) -> str | None:
        """Say why no requests should come; None: they can."""
        if self._draining:
            return "The proxy is stopping."
        return None if self._health is None else self._health.trouble

    def _application(self) -> web.Application:
        application = web.Application(
            middlewares=[self._recorder.middleware, self._keep_count, answer_errors, self._let_in]
        )
        application.on_response_prepare.extend([drop_additions, mark, self._mark])
        route = partial(application.router.add_route, expect_handler=expect_nothing)
        for endpoint, paths in _GENERATING.items():
            for path in paths:
                for place in (f"/v1{path}", path):
                    route("POST", place, partial(self._generate, endpoint))
        for path in _MODELS:
            route("GET", f"/v1{path}", self._models)
        route("GET", "/models", self._models)
        route("*", _ANY, self._other)
        return application

    # Doors and service are looked up for each request, so that new ones can take their place.

    @web.middleware
    async def _let_in(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        return await self._doors.let_in(request, handler)

    async def _mark(self, request: web.Request, response: web.StreamResponse) -> None:
        self._doors.mark(request, response)
        if self._draining and response.status != _SWITCHING_PROTOCOLS:
            response.force_close()
            response.headers["Connection"] = "close"

    async def _generate(self, endpoint: Endpoint, request: web.Request) -> web.StreamResponse:
        return await self._service.generate(endpoint, request)

    async def _models(self, request: web.Request) -> web.StreamResponse:
        return await self._service.models(request)

    async def _other(self, request: web.Request) -> web.StreamResponse:
        return await self._service.other(request)

    @web.middleware
    async def _keep_count(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Know the requests that run, to wait for them at the end."""
        task = asyncio.current_task()
        if task is not None:
            self._requests.add(task)
            task.add_done_callback(self._requests.discard)
        return await handler(request)


async def _end_of(requests: set["asyncio.Task[object]"], seconds: float) -> None:
    """Wait until no request runs any more, but only so long."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while requests and (left := until - loop.time()) > 0:
        await asyncio.wait(requests, timeout=left)
