"""Whom a request comes from, as the upstream is told: `X-Forwarded-…`, and `Forwarded` of RFC 7239.

And through whom: `Via`, which a gateway has to send on (RFC 9110, section 7.6.3).
"""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import Final

from aiohttp import web

from proxy.server.clients.headers import Headers

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_X_FOR: Final = "X-Forwarded-For"
_X_PROTO: Final = "X-Forwarded-Proto"
_X_HOST: Final = "X-Forwarded-Host"
_FORWARDED: Final = "Forwarded"
_VIA: Final = "Via"
#: In the place of a host, which may be nobody's business.
_PSEUDONYM: Final = "straightwire"
#: RFC 7239's word for somebody without an address.
_UNKNOWN: Final = "unknown"
#: What can stand between quotes without being escaped; no host needs more.
_HOST = re.compile(r"[\w.\-:\[\]%]+", re.ASCII)


class Forwarding:
    """Adds the client to the chain of those that a request has come through.

    Args:
        trusted: networks of proxies; a chain that comes from elsewhere is anybody's invention.
    """

    def __init__(self, trusted: Sequence[Network]):
        self._trusted = tuple(trusted)

    def extend(self, headers: Headers, request: web.BaseRequest) -> None:
        """Put the chain, with the client at its end, into what goes upstream.

        Args:
            headers: changed in place.
            request: the client's.
        """
        peer = _peer(request)
        if not self._trusts(peer):
            for name in {name.lower() for name in headers if _speaks_of_the_way(name)}:
                del headers[name]
        host = request.headers.get("Host", "")
        chain = headers.popall(_X_FOR, [])
        forwarded = headers.popall(_FORWARDED, None) or [f"for={_node(each)}" for each in _members(chain)]
        headers[_X_FOR] = ", ".join([*chain, str(peer or _UNKNOWN)])
        headers[_FORWARDED] = ", ".join([*forwarded, _element(peer, host, request.scheme)])
        version = f"{request.version.major}.{request.version.minor}"
        headers[_VIA] = ", ".join([*headers.popall(_VIA, []), f"{version} {_PSEUDONYM}"])
        headers.setdefault(_X_PROTO, request.scheme)
        if host:
            headers.setdefault(_X_HOST, host)

    def _trusts(self, peer: Address | None) -> bool:
        return peer is not None and any(peer in network for network in self._trusted)


def _speaks_of_the_way(name: str) -> bool:
    name = name.lower()
    return name.startswith("x-forwarded-") or name in ("forwarded", "x-real-ip")


def _peer(request: web.BaseRequest) -> Address | None:
    """Return the address at the other end of the connection; None: it is a unix socket, which has none."""
    found = request.transport.get_extra_info("peername") if request.transport is not None else None
    if not isinstance(found, tuple):
        return None
    return ipaddress.ip_address(found[0].partition("%")[0])


def _members(values: Iterable[str]) -> list[str]:
    members = [member.strip() for value in values for member in value.split(",")]
    return [member for member in members if member]


def _element(peer: Address | None, host: str, scheme: str) -> str:
    told = [f"for={_node(str(peer or _UNKNOWN))}"]
    if _HOST.fullmatch(host):
        told.append(f'host="{host}"')
    return ";".join([*told, f"proto={scheme}"])


def _node(address: str) -> str:
    """Return an address in the form of RFC 7239, section 6; what is none is not told."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return _UNKNOWN
    return f'"[{parsed}]"' if parsed.version == 6 else str(parsed)
