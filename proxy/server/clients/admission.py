"""What follows from the head of a request that has been let in.

A client that keeps its connection sends the same head with each request, but for a few fields. So the
connection remembers what followed from the last one, and the doors need not look at it again.
"""

from dataclasses import dataclass, field
from hmac import compare_digest
from typing import Final

from aiohttp import web
from aiohttp.http import HttpVersion

from proxy.server.clients.headers import PASSING, Headers, Written

#: How clients spell the fields that differ from one request to the next; in another spelling, it is another
#: head.
_PASSING_NAMES: Final = frozenset(
    spelling
    for name in PASSING
    for spelling in (name.encode(), name.lower().encode(), name.title().encode(), name.capitalize().encode())
)
#: What stands in no field (RFC 9110, section 5.5) and so parts them.
_END: Final = b"\n"


@dataclass(frozen=True, slots=True, eq=False)
class Admission:
    """What follows from a head.

    Attributes:
        doors: who let it in; others have to look for themselves.
        method, path, version: of the request, as they came.
        lines: the header fields, but for those of `PASSING`.
        client: the name that the configuration gives to the client's key.
        fields: what the upstream gets of them; never changed.
        written: how they have been written for it.
    """

    doors: object
    method: str
    path: str
    version: HttpVersion
    lines: bytes
    client: str | None
    fields: Headers
    written: Written = field(default_factory=Written)

    def holds(self, doors: object, request: web.BaseRequest, lines: bytes) -> bool:
        """Tell whether the same follows from another request's head.

        The keys in it are compared in a time that does not tell how close they are: a proxy in front of us
        may send the requests of many clients on one connection.
        """
        return (
            doors is self.doors
            and request.method == self.method
            and request.raw_path == self.path
            and request.version == self.version
            and compare_digest(lines, self.lines)
        )


def lines_of(request: web.BaseRequest) -> bytes:
    """Return the header fields of a request, but for those of `PASSING`."""
    return _END.join(
        [part for field in request.raw_headers if field[0] not in _PASSING_NAMES for part in field]
    )
