"""What one configuration makes of requests: which upstream answers, and what becomes of its answer."""

import asyncio
import secrets
import time
from dataclasses import dataclass

from aiohttp import web

from proxy.config.routes import Routes
from proxy.config.schema import Configuration
from proxy.errors import RequestTooLarge
from proxy.server.passthrough import pass_through
from proxy.server.relay import StreamRelay
from proxy.server.silence import Patience
from proxy.server.upstream import Upstream
from proxy.wire.chunk import Origin
from proxy.wire.model_name import rename_model
from proxy.wire.plan import Plan, compile_plan
from proxy.wire.requests import Endpoint, read_request
from proxy.wire.rewriter import StreamRewriter


@dataclass(frozen=True, slots=True)
class Destination:
    """An upstream, and how its answers are treated."""

    upstream: Upstream
    plan: Plan
    patience: Patience


class Service:
    """A configuration at work. To be made while the event loop runs.

    Args:
        configuration: what is to be done. It does not change: a new one is a new service.
    """

    def __init__(self, configuration: Configuration):
        self._limits = configuration.limits
        self._routes = Routes(configuration.models)
        self._destinations = {name: _destination(name, configuration) for name in configuration.upstreams}

    async def close(self) -> None:
        """Close all connections to the upstreams."""
        await asyncio.gather(*(each.upstream.close() for each in self._destinations.values()))

    async def chat(self, request: web.Request) -> web.StreamResponse:
        """Answer a chat completion.

        Raises:
            ClientError: the request cannot be served as it stands.
            UpstreamError: there is no answer.
        """
        body = await _read_body(request, self._limits.request_body)
        wanted = read_request(Endpoint.CHAT, body)
        route = self._routes.resolve(wanted.model)
        there = self._destinations[route.upstream]
        mapped = route.model is not None and route.model != wanted.model
        if route.model is not None and mapped:
            body = rename_model(body, route.model)
        if not wanted.stream:
            return await pass_through(request, there.upstream, body)
        origin = Origin(secrets.token_hex(16), int(time.time()), mapped and wanted.model is not None)
        rewriter = StreamRewriter(wanted, origin, there.plan, event_limit=self._limits.event)
        return await StreamRelay(request, there.upstream, rewriter, there.patience).run(body)

    async def other(self, request: web.Request) -> web.StreamResponse:
        """Answer whatever is not ours to understand.

        Raises:
            UpstreamError: there is no answer.
        """
        route = self._routes.resolve(None)
        return await pass_through(request, self._destinations[route.upstream].upstream)


def _destination(name: str, configuration: Configuration) -> Destination:
    settings = configuration.upstreams[name]
    return Destination(
        Upstream(name, settings),
        compile_plan(configuration.repairs_of(name), missing_finish=settings.on_missing_finish),
        Patience(configuration.open_after, configuration.keep_alive, settings.timeouts.idle),
    )


async def _read_body(request: web.Request, limit: int) -> bytes:
    """Read a request's body whole.

    Raises:
        RequestTooLarge: it is longer than `limit` bytes; 0 is no limit.
    """
    body = bytearray()
    async for data in request.content.iter_any():
        body += data
        if 0 < limit < len(body):
            raise RequestTooLarge(f"The request body is longer than {limit} bytes.")
    return bytes(body)
