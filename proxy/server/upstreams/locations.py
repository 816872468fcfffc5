"""Where an upstream sends a client: to itself, by a URL that only we can reach, so to us instead."""

from typing import Final
from urllib.parse import SplitResult, urlsplit

from proxy.server.clients.headers import Headers

_FIELDS: Final = ("Location", "Content-Location")
_PORTS: Final = {"http": 80, "https": 443}


def bring_home(headers: Headers, base: str) -> None:
    """Make the locations in an answer's head relative to us where they point at the upstream.

    Args:
        headers: changed in place.
        base: the URL of the upstream, to which our paths are appended.
    """
    for name in _FIELDS:
        if name in headers:
            headers[name] = _relative(headers[name], base)


def _relative(location: str, base: str) -> str:
    """Return a location as clients can follow it; one that does not point below `base` stays as it is."""
    here = urlsplit(base)
    try:
        there = urlsplit(location)
        at_home = not there.netloc or _server(there, here.scheme) == _server(here, here.scheme)
    except ValueError:  # no URL: what a client makes of it is its own matter
        return location
    path = location.partition("//")[2].removeprefix(there.netloc) if there.netloc else location
    is_whole = bool(there.netloc) or path.startswith("/")
    if not (at_home and is_whole and _below(path, here.path)):
        return location
    rest = "/" + path.removeprefix(here.path).removeprefix("/")
    # Two slashes at the beginning would name another server (RFC 3986, section 4.2).
    return f"/.{rest}" if rest.startswith(("//", "/\\")) else rest


def _server(url: SplitResult, scheme: str) -> tuple[str, str | None, int | None]:
    scheme = url.scheme or scheme
    return scheme, url.hostname, url.port or _PORTS.get(scheme)


def _below(path: str, prefix: str) -> bool:
    return path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in ("", "/", "?", "#")
