"""What one configuration makes of requests: which upstream answers, and what becomes of its answer."""

import asyncio
import time
from collections.abc import Awaitable, Mapping
from dataclasses import replace
from typing import Final

from aiohttp import web

from proxy.config.routes import Routes
from proxy.config.schema import Configuration
from proxy.server.answers.destination import Destination, destination
from proxy.server.answers.models import ModelList
from proxy.server.answers.names import Names
from proxy.server.answers.passthrough import pass_through
from proxy.server.answers.relay import StreamRelay
from proxy.server.answers.websocket import is_websocket, pass_websocket
from proxy.server.answers.whole import WholeRelay
from proxy.server.clients.body import read_whole
from proxy.server.clients.exchange import Exchange
from proxy.wire.chunk import Origin
from proxy.wire.model_places import rename_in_path
from proxy.wire.requests import Endpoint, Request, read_request
from proxy.wire.rewriter import StreamRewriter

#: The endpoints whose answers come as streams where the request asks for it.
STREAMED: Final = frozenset({Endpoint.CHAT, Endpoint.COMPLETIONS})


class Service:
    """A configuration at work. To be made while the event loop runs.

    Args:
        configuration: what is to be done. It does not change: a new one is a new service.

    Raises:
        ConfigurationError: a certificate or key in it is none.
    """

    def __init__(self, configuration: Configuration):
        self._limits = configuration.limits
        self._routes = Routes(configuration.models)
        self._names = Names(self._routes, self._limits.request_body)
        self._models = ModelList(self._routes)
        self._destinations: dict[str, Destination] = {}
        try:
            for name in configuration.upstreams:
                self._destinations[name] = destination(name, configuration)
        except Exception:
            for made in self._destinations.values():
                made.upstream.discard()
            raise

    async def close(self) -> None:
        """Close all connections to the upstreams."""
        await asyncio.gather(*(each.upstream.close() for each in self._destinations.values()))

    def answer(self, request: Exchange) -> Awaitable[web.StreamResponse]:
        """Answer a request, whatever it asks for; raises what the methods below raise."""
        if request.endpoint is None:
            return self.other(request)
        if request.endpoint is Endpoint.MODELS:
            return self.models(request)
        return self.generate(request.endpoint, request)

    async def generate(self, endpoint: Endpoint, request: Exchange) -> web.StreamResponse:
        """Answer a request with a JSON body: chat, completions, embeddings, edits.

        Raises:
            ClientError: the request cannot be served as it stands.
            UpstreamError: there is no answer.
        """
        record = request.record
        body = await read_whole(request, self._limits.request_body)
        wanted = read_request(endpoint, body)
        if wanted.model is None and request.model is not None:  # /v1/engines/{model}/…
            wanted = replace(wanted, model=request.model)
        record.model = wanted.model
        route = self._routes.resolve(wanted.model)
        record.upstream = route.upstream
        there = self._destinations[route.upstream]
        mapped = route.model is not None and route.model != wanted.model
        if route.model is not None and mapped and request.model is not None:
            request.target = rename_in_path(request.target, route.model)
        body, _ = there.translator.apply(body, route.model if mapped else None)
        origin = _origin(request, mapped=mapped and wanted.model is not None)
        if wanted.stream and endpoint in STREAMED:
            rewriter = StreamRewriter(wanted, origin, there.plan, event_limit=there.bounds.event)
            relay = StreamRelay(request, there.upstream, rewriter, there.patience, body)
            del body  # the relay lets go of it when it has been sent
            return await relay.run()
        wanted = replace(wanted, stream=False)
        return await WholeRelay(request, there, wanted, origin).run(body)

    async def models(self, request: Exchange) -> web.StreamResponse:
        """Answer with the models of all upstreams, or with one of them.

        Raises:
            UnknownModel: there is none of this name.
            UpstreamError: no upstream answered.
        """
        relays = self._model_relays(request)
        if request.model is not None:
            return await self._models.one(relays, request.model)
        return await self._models.all(relays)

    async def other(self, request: Exchange) -> web.StreamResponse:
        """Answer whatever is not ours to understand.

        Raises:
            ClientError: the request cannot be served as it stands.
            UpstreamError: there is no answer.
        """
        route, body = await self._names.route(request)
        request.record.upstream = route.upstream
        upstream = self._destinations[route.upstream].upstream
        if is_websocket(request):
            return await pass_websocket(request, upstream)
        return await pass_through(request, upstream, body)

    def _model_relays(self, request: Exchange) -> Mapping[str, WholeRelay]:
        wanted, origin = Request(Endpoint.MODELS), _origin(request)
        return {
            name: WholeRelay(request, there, wanted, origin) for name, there in self._destinations.items()
        }


def _origin(request: Exchange, *, mapped: bool = False) -> Origin:
    return Origin(request.token, int(time.time()), mapped)
