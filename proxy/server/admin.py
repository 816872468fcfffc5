"""The operator's listener: /healthz, /readyz and /metrics, where clients do not come."""

from collections.abc import Callable
from typing import Final

from aiohttp import web

from proxy.config import schema
from proxy.server.failures import answer_errors
from proxy.server.listening import listen, url_of
from proxy.server.metrics import Metrics
from proxy.server.passthrough import drop_additions
from proxy.server.recorder import Recorder, mark

_SERVICE_UNAVAILABLE: Final = 503


class Admin:
    """The listener and its three pages.

    Args:
        settings: where it listens.
        trouble: tells in one line why the proxy is not ready; None: it is.
        metrics: what /metrics shows.
    """

    def __init__(self, settings: schema.Admin, trouble: Callable[[], str | None], metrics: Metrics):
        self._settings = settings
        self._trouble = trouble
        self._metrics = metrics
        application = web.Application(middlewares=[Recorder().middleware, answer_errors])
        application.on_response_prepare.extend([drop_additions, mark])
        application.router.add_get("/healthz", self._healthz)
        application.router.add_get("/readyz", self._readyz)
        application.router.add_get("/metrics", self._show_metrics)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0)

    @property
    def url(self) -> str:
        """Where it is, with the real port where 0 was configured."""
        return url_of(self._runner)

    async def start(self) -> None:
        """Listen.

        Raises:
            CannotListen: the address is taken, or not this machine's.
        """
        await listen(self._runner, self._settings.host, self._settings.port)

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
        page, content_type = self._metrics.page(request.headers.get("Accept", ""))
        return web.Response(body=page, headers={"Content-Type": content_type})
