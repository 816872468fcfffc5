"""The operator's listener: /healthz, /readyz and /metrics, where clients do not come."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

from proxy.config import schema
from proxy.server.answers.failures import answer_to
from proxy.server.answers.passthrough import drop_additions
from proxy.server.clients.exchange import Exchange
from proxy.server.listening import bind, serve, url_of
from proxy.server.operator.metrics import Collected, page

_SERVICE_UNAVAILABLE: Final = 503
_METHODS: Final = ("GET", "HEAD")


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
        self._runner: web.ServerRunner  # made by start(): it needs the event loop

    async def start(self) -> None:
        """Answer."""
        server = web.Server(self._answer, request_factory=_exchange, access_log=None)  # type: ignore[arg-type]
        self._runner = web.ServerRunner(server, shutdown_timeout=0)
        await serve(self._runner, self._sockets)

    async def stop(self) -> None:
        """Close the listener and its connections."""
        await self._runner.cleanup()

    async def _answer(self, request: Exchange) -> web.StreamResponse:
        try:
            return await self._page(request)
        except Exception as failure:  # noqa: BLE001 - it is answered, and told
            return answer_to(request, failure)

    async def _page(self, request: Exchange) -> web.Response:
        pages = {"/healthz": self._healthz, "/readyz": self._readyz, "/metrics": self._show_metrics}
        page_of = pages.get(request.rel_url.path)
        if page_of is None:
            raise web.HTTPNotFound
        if request.method not in _METHODS:
            raise web.HTTPMethodNotAllowed(request.method, _METHODS)
        return await page_of(request)

    async def _healthz(self, _request: Exchange) -> web.Response:
        return web.Response(text="alive\n")

    async def _readyz(self, _request: Exchange) -> web.Response:
        trouble = self._trouble()
        if trouble is None:
            return web.Response(text="ready\n")
        return web.Response(text=f"not ready: {trouble}\n", status=_SERVICE_UNAVAILABLE)

    async def _show_metrics(self, request: Exchange) -> web.Response:
        body, content_type = page(await self._metrics(), request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})


def _exchange(*arguments: Any) -> Exchange:
    return Exchange(*arguments, asyncio.get_running_loop(), complete=drop_additions)
