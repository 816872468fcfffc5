"""What one configuration makes of requests: which upstream answers, and what becomes of its answer."""

import asyncio

from aiohttp import web

from proxy.config.routes import Routes
from proxy.config.schema import Configuration
from proxy.server.passthrough import pass_through
from proxy.server.upstream import Upstream


class Service:
    """A configuration at work. To be made while the event loop runs.

    Args:
        configuration: what is to be done. It does not change: a new one is a new service.
    """

    def __init__(self, configuration: Configuration):
        self._routes = Routes(configuration.models)
        self._upstreams = {
            name: Upstream(name, settings) for name, settings in configuration.upstreams.items()
        }

    async def close(self) -> None:
        """Close all connections to the upstreams."""
        await asyncio.gather(*(upstream.close() for upstream in self._upstreams.values()))

    async def other(self, request: web.Request) -> web.StreamResponse:
        """Answer whatever is not ours to understand.

        Raises:
            UpstreamError: there is no answer.
        """
        route = self._routes.resolve(None)
        return await pass_through(request, self._upstreams[route.upstream])
