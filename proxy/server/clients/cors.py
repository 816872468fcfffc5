"""Which web pages may call from a browser: the Fetch standard's CORS protocol.

A key in `Authorization` is no credential in the protocol's sense, so `Access-Control-Allow-Credentials` is
never said: no page gets at what a browser keeps for the upstream.
"""

from collections.abc import Sequence
from typing import Final

from aiohttp import web

ALL: Final = "*"
#: Those that RFC 9110 knows and that are served; more may pass.
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
#: For how long a browser need not ask again, in seconds.
_MAX_AGE: Final = "600"
_OF_CORS: Final = "access-control-"


class Cors:
    """The rules of the configuration. Without an origin, CORS is the upstream's matter.

    Args:
        origins: in lower case; `*` is all of them.
    """

    def __init__(self, origins: Sequence[str]):
        self._origins = frozenset(origins)

    def preflight(self, request: web.BaseRequest) -> web.Response | None:
        """Answer a browser's question whether a page may send what it wants to; None: this is none."""
        if not (self._origins and _is_preflight(request)):
            return None
        return web.Response(status=204)

    def mark(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        """Say on a response's head which page may read it, in the place of what the upstream says."""
        if not self._origins:
            return
        headers = response.headers
        for name in {name.lower() for name in headers if name.lower().startswith(_OF_CORS)}:
            del headers[name]
        varying = [*headers.popall("Vary", []), *(() if ALL in self._origins else ("Origin",))]
        if varying:
            headers["Vary"] = ", ".join(varying)
        if allowed := self._allowed(request):
            headers["Access-Control-Allow-Origin"] = allowed
            headers["Access-Control-Expose-Headers"] = ALL
            headers.update(_granted(request))

    def _allowed(self, request: web.BaseRequest) -> str | None:
        """Return what to allow to the page that the request comes from; None: nothing."""
        origin = request.headers.get("Origin")
        if origin is None:
            return None
        if ALL in self._origins:
            return ALL
        return origin if origin.lower() in self._origins else None


def _is_preflight(request: web.BaseRequest) -> bool:
    asks = "Origin" in request.headers and "Access-Control-Request-Method" in request.headers
    return asks and request.method == "OPTIONS"


def _granted(request: web.BaseRequest) -> dict[str, str]:
    """Return what an allowed page is told that asks first: whatever it wants to send."""
    if not _is_preflight(request):
        return {}
    granted = {"Access-Control-Allow-Methods": ", ".join(METHODS), "Access-Control-Max-Age": _MAX_AGE}
    if wanted := request.headers.get("Access-Control-Request-Headers"):
        granted["Access-Control-Allow-Headers"] = wanted  # `*` would leave Authorization out
    return granted
