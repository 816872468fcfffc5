"""What a request passes before it is served: everything that one configuration asks of every client."""

import re
from typing import Final

from aiohttp import web
from aiohttp.http import HttpVersion10

from proxy.config.schema import Configuration
from proxy.errors import InvalidRequest, Overloaded
from proxy.server.clients.admission import Admission, lines_of
from proxy.server.clients.auth import Keys
from proxy.server.clients.client_connections import ClientConnection
from proxy.server.clients.cors import METHODS, Cors
from proxy.server.clients.exchange import Exchange
from proxy.server.clients.forwarding import Forwarding
from proxy.server.clients.headers import PASSING, Headers, end_to_end
from proxy.server.clients.paths import check_target
from proxy.server.processes.places import Places

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

    Attributes:
        mark: completes the head of a response, whatever it is; given the request and the response.
    """

    def __init__(self, configuration: Configuration, places: Places):
        self._keys = Keys(configuration.clients.api_keys)
        self._limit = configuration.limits.streams
        self._patience = configuration.clients.idle
        self._places = places
        self._cors = Cors(configuration.cors.origins)
        self.mark = self._cors.mark
        self._forwarding = Forwarding(configuration.trusted_proxies)

    def let_in(self, request: Exchange) -> web.Response | None:
        """Let a request in, if it may come in; note on it what the upstream gets as header.

        Returns:
            The answer to a request that only asks whether another may come in.

        Raises:
            ClientError: it may not.
            HTTPMethodNotAllowed: nobody may ask so.
            HTTPNotFound: it asks for nothing that has a path.
            Overloaded: as many as the configuration allows are being served.
        """
        head = request.recurring
        admission = None if head is None else head.admission
        if admission is None or admission.doors is not self:
            preflight = self._cors.preflight(request)
            if preflight is not None:
                return preflight
            admission = self._admission(request)
            if head is not None:
                head.admission = admission
        request.admission = admission
        request.record.client = admission.client
        request.patience = self._patience
        if 0 < self._limit <= self._places.taken:
            raise Overloaded(f"All {self._limit} places for requests are taken. Try again later.")
        self._places.take()
        request.inside = True
        return None

    def let_out(self, request: Exchange) -> None:
        """Make room for another, where a request that has been answered had been let in."""
        if request.inside:
            self._places.leave()

    def _admission(self, request: Exchange) -> Admission:
        """Return what follows from a head, which is the one before on its connection, as like as not."""
        connection, lines = request.protocol, lines_of(request)
        admission = connection.admission if isinstance(connection, ClientConnection) else None
        if admission is None or not admission.holds(self, request, lines):
            admission = self._looked_at(request, lines)
            if isinstance(connection, ClientConnection):
                connection.admission = admission
        return admission

    def _looked_at(self, request: Exchange, lines: bytes) -> Admission:
        client = None
        if not (request.method in ("GET", "HEAD") and request.raw_path.partition("?")[0] == _OPEN):
            client = self._keys.check(request.headers)
        request.record.client = client
        _check(request)
        return Admission(
            self, request.method, request.raw_path, request.version, lines, client, self._fields(request)
        )

    def _fields(self, request: Exchange) -> Headers:
        headers = end_to_end(request.headers)
        for name in (*_FOR_US, *PASSING):
            headers.popall(name, None)
        if self._keys.wanted:
            headers.popall("Authorization", None)
        self._forwarding.extend(headers, request)
        return headers


def _check(request: Exchange) -> None:
    if request.method in _NOT_SERVED:
        raise web.HTTPMethodNotAllowed(request.method, METHODS)
    if request.version < HttpVersion10:
        raise InvalidRequest("The request says nothing of HTTP/1.1 or 1.0.")
    if not _HOST.fullmatch(request.headers.get("Host", "")):
        raise InvalidRequest("The request's Host is no host.")
    if not (request.raw_path.startswith("/") or request.rel_url.raw_path.startswith("/")):
        raise web.HTTPNotFound  # `OPTIONS *`, or a URL that ends with its host
    check_target(request.target)
