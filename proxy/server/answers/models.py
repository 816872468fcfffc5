"""`/v1/models`: what the upstreams have, and the names that the configuration adds."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from proxy.config.routes import Routes
from proxy.errors import ClientError, StraightwireError, UnknownModel, UpstreamError, UpstreamTimeout
from proxy.server.answers.whole import WholeRelay
from proxy.wire import codec

#: Seconds that one of several upstreams has for its list: one that hangs is not to hide the others.
_PATIENCE: Final = 10.0

Models = list[dict[str, Any]]


class ModelList:
    """The models of all upstreams, joined.

    Args:
        routes: lead from a name to an upstream; a model that no route leads to is not listed.
    """

    def __init__(self, routes: Routes):
        self._routes = routes

    async def all(self, relays: Mapping[str, WholeRelay]) -> web.Response:
        """Answer with every model. An upstream that is down leaves the others listed.

        Raises:
            StraightwireError: no upstream answered; the first one's reason.
        """
        return _answer({"object": "list", "data": await self._joined(relays)})

    async def one(self, relays: Mapping[str, WholeRelay], name: str) -> web.Response:
        """Answer with one model.

        Raises:
            UnknownModel: there is none of this name.
            StraightwireError: no upstream answered.
        """
        for model in await self._joined(relays):
            if model["id"] == name:
                return _answer(model)
        raise UnknownModel(f"The model '{name}' does not exist.")

    async def _joined(self, relays: Mapping[str, WholeRelay]) -> Models:
        patience = _PATIENCE if len(relays) > 1 else None
        asked = (_models(relay, patience) for relay in relays.values())
        answers = await asyncio.gather(*asked, return_exceptions=True)
        listed: dict[str, dict[str, Any]] = {}
        failures = []
        for upstream, answer in zip(relays, answers, strict=True):
            if isinstance(answer, StraightwireError):
                failures.append(answer)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                for model in answer:
                    if self._leads(model["id"], upstream):
                        listed.setdefault(model["id"], model)
        if failures and len(failures) == len(relays):
            raise failures[0]
        for alias, route in self._routes.aliases.items():
            if alias not in listed:
                known = listed.get(route.model or alias, {"created": 1, "owned_by": route.upstream})
                listed[alias] = {"id": alias, "object": "model", **_of_its_own(known)}
        return list(listed.values())

    def _leads(self, name: str, upstream: str) -> bool:
        try:
            return self._routes.resolve(name).upstream == upstream
        except ClientError:
            return False


async def _models(relay: WholeRelay, patience: float | None) -> Models:
    try:
        async with asyncio.timeout(patience):
            body = codec.strict_loads(await relay.fetch("/v1/models"))
    except TimeoutError:
        raise UpstreamTimeout(f"An upstream has not told its models within {patience:g} s.") from None
    data = body.get("data")
    if not isinstance(data, list):
        raise UpstreamError("The upstream's list of models has no models in it.")
    return [model for model in data if isinstance(model, dict) and isinstance(model.get("id"), str)]


def _of_its_own(model: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in model.items() if key not in ("id", "object")}


def _answer(value: Mapping[str, Any]) -> web.Response:
    return web.Response(body=codec.dumps(value), content_type="application/json")
