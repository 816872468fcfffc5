"""The operator's listener: /healthz, /readyz and /metrics, where clients do not come."""

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from proxy.config import schema
from proxy.server.failures import answer_errors
from proxy.server.listening import bind, serve, url_of
from proxy.server.metrics import Collected, page
from proxy.server.passthrough import drop_additions
from proxy.server.recorder import Recorder, mark

_SERVICE_UNAVAILABLE: Final = 503


class Admin:
    """The listener, from the first moment on, and its three pages.

    Args:
        settings: where it listens.
        trouble: tells in one line why the proxy is not ready; None: it is.
        metrics: returns what /metrics shows.

    Attributes:
        url: where it is, with the real port where 0 was configured.

    Raises:
        CannotListen: the address is taken, or not this machine's.
    """

    def __init__(
        self,
        settings: schema.Admin,
        trouble: Callable[[], str | None],
        metrics: Callable[[], Awaitable[Collected]],
    ):
        self._trouble = trouble
        self._metrics = metrics
        self._sockets = bind(settings.host, settings.port)
        self.url = url_of(self._sockets[0].getsockname())
        application = web.Application(middlewares=[Recorder().middleware, answer_errors])
        application.on_response_prepare.extend([drop_additions, mark])
        application.router.add_get("/healthz", self._healthz)
        application.router.add_get("/readyz", self._readyz)
        application.router.add_get("/metrics", self._show_metrics)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0)

    async def start(self) -> None:
        """Answer."""
        await serve(self._runner, self._sockets)

    async def stop(self) -> None:
        """Close the listener and its connections."""
        await self._runner.cleanup()

    async def _healthz(self, _request: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def _readyz(self, _request: web.Request) -> web.Response:
        trouble = self._trouble()
        if trouble is None:
            return web.Response(text="ready\n")
        return web.Response(text=f"not ready: {trouble}\n", status=_SERVICE_UNAVAILABLE)

    async def _show_metrics(self, request: web.Request) -> web.Response:
        body, content_type = page(await self._metrics(), request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})
