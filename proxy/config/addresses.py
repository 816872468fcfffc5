"""Addresses: of upstreams, of listeners, of trusted networks, of web pages."""

import ipaddress
import re
from typing import Annotated, Final
from urllib.parse import SplitResult, urlsplit

from pydantic import BeforeValidator, PlainSerializer, PlainValidator, WithJsonSchema

from proxy.config.scalars import shown

_SCHEMES: Final = ("http", "https")
_ENDPOINT = re.compile(r"/(chat/completions|completions|embeddings|models)$")
_UNFIT = re.compile(r"[^\x21-\x7e]")


def upstream_url(value: object) -> str:
    """Check an upstream's URL.

    What is wrong with it is told without the URL: it may hold a password.

    Raises:
        ValueError: with the cause, and what to write instead.
    """
    if not isinstance(value, str) or not value:
        raise ValueError("must be a URL such as http://127.0.0.1:8080")
    if _UNFIT.search(value):
        raise ValueError("must not hold spaces or other than ASCII characters")
    parts = _split(str(value))
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a user or password; give the key as api_key")
    if parts.query or parts.fragment or value.endswith(("?", "#")):
        raise ValueError("must end with the path, without ? and #")
    if _ENDPOINT.search(parts.path.rstrip("/")):
        raise ValueError("is that of an endpoint; give the server's, up to /v1 at most")
    return str(value)


def _split(url: str) -> SplitResult:
    """Split a URL of scheme, host and perhaps port."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError("is not a URL: its host or port cannot be read") from error
    if parts.scheme not in _SCHEMES or not url.lower().startswith(f"{parts.scheme}://"):
        raise ValueError("must begin with http:// or https://")
    if not parts.hostname:
        raise ValueError("has no host; write it such as http://127.0.0.1:8080")
    if port == 0:
        raise ValueError("has port 0, at which nothing can answer")
    return parts


def split_path(url: str) -> tuple[str, str]:
    """Split a URL that `upstream_url` has let through into scheme with host, and path."""
    server, slash, path = url.partition("://")[2].partition("/")
    return url.partition("://")[0] + "://" + server, slash + path


def url_path(value: object) -> str:
    """Check a path below an upstream's URL, perhaps with a query; raises ValueError."""
    if not isinstance(value, str) or not value.startswith("/") or _UNFIT.search(value):
        raise ValueError(f"must be a path such as /v1/models, not {shown(value)}")
    return str(value)


def origin(value: object) -> str:
    """Check a web page's origin as browsers send it (RFC 6454), or `*`; raises ValueError."""
    if value == "*":
        return "*"
    if not isinstance(value, str) or _UNFIT.search(value):
        raise ValueError(f"must be an origin such as https://chat.example, not {shown(value)}")
    parts = _split(str(value))
    if parts.netloc != str(value).split("://", 1)[1]:
        raise ValueError("must end after host and port: browsers send no path there")
    if "@" in parts.netloc:
        raise ValueError("must not hold a user")
    return str(value).lower()


def network(value: object) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """Read a network such as 10.0.0.0/8, or a single address; raises ValueError."""
    if isinstance(value, ipaddress.IPv4Network | ipaddress.IPv6Network):
        return value
    try:
        found = ipaddress.ip_network(str(value), strict=False)
    except ValueError as error:
        raise ValueError(f"must be a network such as 10.0.0.0/8, not {shown(value)}") from error
    if ipaddress.ip_interface(str(value)).ip != found.network_address:
        raise ValueError(f"has bits set after its mask; did you mean {found}?")
    return found


def host_and_port(text: str) -> tuple[str, str]:
    """Split `HOST:PORT`, `[IPV6]:PORT` or `:PORT` (all addresses).

    The parts are checked by the schema, as those of a file are.

    Raises:
        ValueError: there is no port.
    """
    host, colon, port = text.rpartition(":")
    if not colon or (":" in host and not (host.startswith("[") and host.endswith("]"))):
        raise ValueError(f"must be HOST:PORT such as 127.0.0.1:8081, not {shown(text)}")
    return host.removeprefix("[").removesuffix("]") or "0.0.0.0", port  # noqa: S104 - asked for


#: An upstream's URL, a path there, an origin and a network, as keys of the schema.
UpstreamUrl = Annotated[str, BeforeValidator(upstream_url)]
UrlPath = Annotated[str, BeforeValidator(url_path)]
Origin = Annotated[str, BeforeValidator(origin)]
Network = Annotated[
    ipaddress.IPv4Network | ipaddress.IPv6Network,
    PlainValidator(network),
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "examples": ["10.0.0.0/8", "::1/128"]}),
]
