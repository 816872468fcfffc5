"""What one configuration makes of requests: which upstream answers, and what becomes of its answer."""

import asyncio
import secrets
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from aiohttp import web

from proxy.config.routes import Routes
from proxy.config.schema import Configuration
from proxy.server.body import read_whole
from proxy.server.destination import destination
from proxy.server.models import ModelList
from proxy.server.names import Names
from proxy.server.passthrough import pass_through
from proxy.server.paths import aim, target_of
from proxy.server.record import record_of
from proxy.server.relay import StreamRelay
from proxy.server.websocket import is_websocket, pass_websocket
from proxy.server.whole import WholeRelay
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
    """

    def __init__(self, configuration: Configuration):
        self._limits = configuration.limits
        self._routes = Routes(configuration.models)
        self._names = Names(self._routes, self._limits.request_body)
        self._models = ModelList(self._routes)
        self._destinations = {name: destination(name, configuration) for name in configuration.upstreams}

    async def close(self) -> None:
        """Close all connections to the upstreams."""
        await asyncio.gather(*(each.upstream.close() for each in self._destinations.values()))

    async def generate(self, endpoint: Endpoint, request: web.Request) -> web.StreamResponse:
        """Answer a request with a JSON body: chat, completions, embeddings, edits.

        Raises:
            ClientError: the request cannot be served as it stands.
            UpstreamError: there is no answer.
        """
        record = record_of(request)
        body = await read_whole(request, self._limits.request_body)
        wanted = read_request(endpoint, body)
        if wanted.model is None and "model" in request.match_info:  # /v1/engines/{model}/…
            wanted = replace(wanted, model=request.match_info["model"])
        record.model = wanted.model
        route = self._routes.resolve(wanted.model)
        record.upstream = route.upstream
        there = self._destinations[route.upstream]
        mapped = route.model is not None and route.model != wanted.model
        if route.model is not None and mapped and "model" in request.match_info:
            aim(request, rename_in_path(target_of(request), route.model))
        body, _ = there.translator.apply(body, route.model if mapped else None)
        origin = _origin(mapped=mapped and wanted.model is not None)
        if wanted.stream and endpoint in STREAMED:
            rewriter = StreamRewriter(wanted, origin, there.plan, event_limit=there.bounds.event)
            relay = StreamRelay(request, there.upstream, rewriter, there.patience, body)
            del body  # the relay lets go of it when it has been sent
            return await relay.run()
        wanted = replace(wanted, stream=False)
        return await WholeRelay(request, there, wanted, origin).run(body)

    async def models(self, request: web.Request) -> web.StreamResponse:
        """Answer with the models of all upstreams, or with one of them.

        Raises:
            UnknownModel: there is none of this name.
            UpstreamError: no upstream answered.
        """
        relays = self._model_relays(request)
        if "model" in request.match_info:
            return await self._models.one(relays, request.match_info["model"])
        return await self._models.all(relays)

    async def other(self, request: web.Request) -> web.StreamResponse:
        """Answer whatever is not ours to understand.

        Raises:
            ClientError: the request cannot be served as it stands.
            UpstreamError: there is no answer.
        """
        route, body = await self._names.route(request)
        record_of(request).upstream = route.upstream
        upstream = self._destinations[route.upstream].upstream
        if is_websocket(request):
            return await pass_websocket(request, upstream)
        return await pass_through(request, upstream, body)

    def _model_relays(self, request: web.Request) -> Mapping[str, WholeRelay]:
        wanted = Request(Endpoint.MODELS)
        return {
            name: WholeRelay(request, there, wanted, _origin()) for name, there in self._destinations.items()
        }


def _origin(*, mapped: bool = False) -> Origin:
    return Origin(secrets.token_hex(16), int(time.time()), mapped)
