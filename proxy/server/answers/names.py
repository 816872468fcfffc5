"""The model of a request that is not ours to understand: found where it may be named, and mapped there.

Audio uploads name it in a form, `/v1/realtime` in its query, images and speech in JSON. Only what the
configuration makes depend on the model is looked into, and of a form no more than it takes to find it.
"""

from collections.abc import AsyncIterable, AsyncIterator
from typing import Final

from proxy.config.routes import Route, Routes
from proxy.server.clients.body import incoming, read_whole
from proxy.server.clients.exchange import Exchange
from proxy.wire.model_name import rename_model
from proxy.wire.model_places import FormModel, boundary_of, model_in_query, rename_in_query
from proxy.wire.requests import model_of

#: How much of a form is held until its model has come, in bytes; some clients send the file first, and
#: OpenAI takes files of 25 MB.
_MOST_HELD: Final = 2**25
#: What is handed on of it at a time, in bytes.
_PIECE: Final = 2**16

#: A body that has been read, wholly or in part; None: it is still the client's to send.
Body = bytes | AsyncIterable[bytes] | None


class Names:
    """Finds and maps the models of such requests.

    Args:
        routes: lead from a model to an upstream, and to its name there.
        limit: the longest body that is read whole, in bytes; 0: none.
    """

    def __init__(self, routes: Routes, limit: int):
        self._routes = routes
        self._limit = limit

    async def route(self, request: Exchange) -> tuple[Route, Body]:
        """Return where a request goes, and its body where that had to be looked into.

        One that names no model, or none within what is looked at, takes the route of those without one.

        Raises:
            UnknownModel: no route leads from its model anywhere.
            InvalidRequest: it names no model, and there is no route for that; or its body is broken.
            RequestTooLarge: it is JSON, and longer than what may be read.
        """
        if not self._routes.by_model:
            return self._routes.resolve(None), None
        target = request.target
        model = model_in_query(target)
        if model is not None:
            route = self._resolve(request, model)
            if route.model not in (None, model):
                request.target = rename_in_query(target, route.model or model)
            return route, None
        if request.body_exists and "Content-Encoding" not in request.headers:
            boundary = boundary_of(request.headers.get("Content-Type", ""))
            if boundary is not None:
                return await self._by_form(request, FormModel(boundary))
            if _is_json(request.content_type):
                return await self._by_json(request)
        return self._resolve(request, None), None

    def _resolve(self, request: Exchange, model: str | None) -> Route:
        request.record.model = model
        return self._routes.resolve(model)

    async def _by_json(self, request: Exchange) -> tuple[Route, Body]:
        body = await read_whole(request, self._limit)
        model = model_of(body)
        route = self._resolve(request, model)
        if model is None or route.model in (None, model):
            return route, body
        return route, rename_model(body, route.model or model)

    async def _by_form(self, request: Exchange, form: FormModel) -> tuple[Route, Body]:
        rest = incoming(request)
        async for data in rest:
            form.receive(data)
            if form.done or len(form.held) > _MOST_HELD:
                break
        route = self._resolve(request, form.model)
        if form.model is None or route.model in (None, form.model):
            return route, _joined(form.held, rest)
        begun = form.renamed(route.model or form.model)
        if request.content_length is not None:
            request.length = str(request.content_length + len(begun) - len(form.held))
        return route, _joined(begun, rest)


async def _joined(begun: bytes | bytearray, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    for start in range(0, len(begun), _PIECE):
        yield bytes(begun[start : start + _PIECE])
    async for data in rest:
        yield data


def _is_json(content_type: str) -> bool:
    return content_type == "application/json" or content_type.endswith("+json")
