"""The proxy as a whole: its routes, its start and its stop."""

import asyncio
import os
import ssl
from functools import partial
from typing import Final, TextIO

from aiohttp import web
from aiohttp.typedefs import Handler

from proxy.config.schema import Configuration, Listen
from proxy.errors import CannotListen
from proxy.server.access_log import AccessLog, open_log, tell_start
from proxy.server.doors import Doors
from proxy.server.failures import answer_errors
from proxy.server.passthrough import drop_additions
from proxy.server.record import STOPPED
from proxy.server.recorder import Recorder, mark
from proxy.server.service import Service
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
#: Connections that may wait to be accepted.
_BACKLOG: Final = 1024
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
        self._recorder = Recorder(AccessLog(self._log, debug=configuration.log.level == "debug"))
        self._service: Service  # made by start(): it needs the event loop
        self._requests: set[asyncio.Task[object]] = set()
        self._stopping = asyncio.Lock()
        self._runner = web.AppRunner(
            self._application(),
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
        address = self._runner.addresses[0]
        if isinstance(address, str):
            return f"unix:{address}"
        host, port = address[:2]
        scheme = "https" if self._configuration.listen.tls else "http"
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

    async def start(self) -> None:
        """Listen.

        Raises:
            CannotListen: the address is taken, or not this machine's.
            ConfigurationError: a certificate or key is none.
        """
        listen = self._configuration.listen
        context = in_front(listen.tls) if listen.tls else None
        self._service = Service(self._configuration)
        await self._runner.setup()
        try:
            await self._site(listen, context).start()
        except OSError as error:
            await self.stop()
            reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error
            where = listen.path or f"{listen.host}:{listen.port}"
            raise CannotListen(f"cannot listen on {where}: {reason}") from error
        tell_start(self._log, self._configuration, self.url, None)

    def _site(self, listen: Listen, context: ssl.SSLContext | None) -> web.BaseSite:
        if listen.path is not None:
            return web.UnixSite(self._runner, listen.path, backlog=_BACKLOG, ssl_context=context)
        return web.TCPSite(self._runner, listen.host, listen.port, backlog=_BACKLOG, ssl_context=context)

    async def stop(self) -> None:
        """Listen no more, let the running requests end, for as long as `drain` at most, and close all."""
        async with self._stopping:
            for site in self._runner.sites:
                await site.stop()
            if self._requests:
                _, unfinished = await asyncio.wait(self._requests, timeout=self._configuration.drain)
                for request in unfinished:
                    request.cancel(STOPPED)
            await self._runner.cleanup()
            await self._service.close()

    def _application(self) -> web.Application:
        application = web.Application(
            middlewares=[self._recorder.middleware, self._keep_count, answer_errors, self._let_in]
        )
        application.on_response_prepare.extend([drop_additions, mark, self._mark])
        for endpoint, paths in _GENERATING.items():
            for path in paths:
                application.router.add_post(f"/v1{path}", partial(self._generate, endpoint))
                application.router.add_post(path, partial(self._generate, endpoint))
        for path in _MODELS:
            application.router.add_get(f"/v1{path}", self._models, allow_head=False)
        application.router.add_get("/models", self._models, allow_head=False)
        application.router.add_route("*", _ANY, self._other)
        return application

    # Doors and service are looked up for each request, so that new ones can take their place.

    @web.middleware
    async def _let_in(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        return await self._doors.let_in(request, handler)

    async def _mark(self, request: web.Request, response: web.StreamResponse) -> None:
        self._doors.mark(request, response)

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
