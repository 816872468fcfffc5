"""What a request passes before it is served: everything that one configuration asks of every client."""

import re
from typing import Final

from aiohttp import web
from aiohttp.http import HttpVersion10
from aiohttp.typedefs import Handler

from proxy.config.schema import Configuration
from proxy.errors import InvalidRequest, Overloaded
from proxy.server.auth import Keys
from proxy.server.body import PATIENCE
from proxy.server.cors import METHODS, Cors
from proxy.server.forwarding import Forwarding
from proxy.server.headers import TOWARDS_UPSTREAM, Headers, end_to_end
from proxy.server.paths import check_target, target_of
from proxy.server.places import Places
from proxy.server.record import record_of

#: The path that needs no key, so that what watches the proxy needs none.
_OPEN: Final = "/healthz"
#: For us, or for the connection to us: `Expect` has been answered here, and an upstream that does not know it
#: would never ask for the body.
_FOR_US: Final = ("Host", "Expect")
#: One asks for a tunnel, the answer to the other would show a client the upstream's key.
_NOT_SERVED: Final = ("CONNECT", "TRACE")
_HOST: Final = re.compile(r"[\w.\-:\[\]%]*", re.ASCII)


class Doors:
    """The doors that a configuration sets up.

    Args:
        configuration: the keys and limits in it.
        places: counts the requests inside.
    """

    def __init__(self, configuration: Configuration, places: Places):
        self._keys = Keys(configuration.clients.api_keys)
        self._limit = configuration.limits.streams
        self._patience = configuration.clients.idle
        self._places = places
        self._cors = Cors(configuration.cors.origins)
        self._forwarding = Forwarding(configuration.trusted_proxies)

    async def let_in(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Serve a request, if it may come in; note on it what the upstream gets as header.

        Args:
            request: the client's.
            handler: serves it.

        Raises:
            ClientError: it may not.
            HTTPMethodNotAllowed: nobody may ask so.
            Overloaded: as many as the configuration allows are being served.
        """
        preflight = self._cors.preflight(request)
        if preflight is not None:
            return preflight
        if not (request.method in ("GET", "HEAD") and request.raw_path.partition("?")[0] == _OPEN):
            record_of(request).client = self._keys.check(request.headers)
        _check(request)
        request[PATIENCE] = self._patience
        request[TOWARDS_UPSTREAM] = self._headers(request)
        if 0 < self._limit <= self._places.taken:
            raise Overloaded(f"All {self._limit} places for requests are taken. Try again later.")
        self._places.take()
        try:
            return await handler(request)
        finally:
            self._places.leave()

    def mark(self, request: web.Request, response: web.StreamResponse) -> None:
        """Complete the head of a response, whatever it is."""
        self._cors.mark(request, response)

    def _headers(self, request: web.Request) -> Headers:
        headers = end_to_end(request.headers)
        for name in _FOR_US:
            headers.popall(name, None)
        if self._keys.wanted:
            headers.popall("Authorization", None)
        self._forwarding.extend(headers, request)
        return headers


def _check(request: web.Request) -> None:
    if request.method in _NOT_SERVED:
        raise web.HTTPMethodNotAllowed(request.method, METHODS)
    if request.version < HttpVersion10:
        raise InvalidRequest("The request says nothing of HTTP/1.1 or 1.0.")
    if not _HOST.fullmatch(request.headers.get("Host", "")):
        raise InvalidRequest("The request's Host is no host.")
    check_target(target_of(request))
