"""Which header fields travel through a proxy: those that are not for one connection alone."""

from collections.abc import Mapping
from typing import Final

from multidict import CIMultiDict, CIMultiDictProxy, MultiMapping

from proxy.server.clients.exchange import Exchange
from proxy.server.operator.record import REQUEST_ID

Headers = CIMultiDict[str]

#: RFC 9110, section 7.6.1, with what older specifications named; and `trailer`, as trailers stop here.
_HOP_BY_HOP: Final = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
#: Of what clients send, these differ from one request to the next: the body's length, and where the request
#: stands in a trace.
LENGTH: Final = "Content-Length"
TRACING: Final = ("Traceparent", "Tracestate", "Baggage")
PASSING: Final = (LENGTH, REQUEST_ID, *TRACING)
_REQUEST_ID: Final = REQUEST_ID.lower()
#: Said of a body by its bytes; untrue once another body takes its place.
_OF_THE_BODY: Final = frozenset(
    {
        "accept-ranges",
        "content-digest",
        "content-encoding",
        "content-length",
        "content-md5",
        "content-type",
        "digest",
        "etag",
        "last-modified",
        "repr-digest",
    }
)
#: What the wire contract demands of every stream, whatever the upstream's head says.
OF_A_STREAM: Final = CIMultiDictProxy(
    CIMultiDict(
        {
            "Content-Type": "text/event-stream; charset=utf-8",
            "Cache-Control": "no-cache",
            "X-Accel-Buffering": "no",
        }
    )
)
_NOTHING: Final = CIMultiDict[str]()


class Written:
    """The head of a request to an upstream, as it was written: that of the client's next is mostly the same.

    Attributes:
        steady: the fields that its requests have in common; None: that has not been asked yet.
        what: who wrote the head, and of what; None: nobody has.
        head: method, target and fields, but for what is another each time.
        fields: those that stand in it.
    """

    __slots__ = ("fields", "head", "steady", "what")

    def __init__(self) -> None:
        self.steady: Headers | None = None
        self.what: tuple[object, str, str, Mapping[str, str]] | None = None
        self.head = b""
        self.fields = _NOTHING


def end_to_end(headers: Mapping[str, str]) -> Headers:
    """Return the fields that go on to the other side, in their order, repeated ones included.

    Left out are the hop-by-hop fields, and those that `Connection` names (RFC 9110, 7.6.1).
    """
    dropped = _HOP_BY_HOP
    if "Connection" in headers:
        named = CIMultiDict(headers).getall("Connection")
        dropped = dropped | {name.strip().lower() for value in named for name in value.split(",")}
    # Of a field whose name is written in two ways, aiohttp's client would send the last one only.
    spelt: dict[str, str] = {}
    return CIMultiDict(
        (spelt.setdefault(lower, name), value if value.isascii() else _legible(value))
        for name, value in headers.items()
        if (lower := name.lower()) not in dropped
    )


def _legible(value: str) -> str:
    """Return a value that can be written: bytes that are no UTF-8 are Latin-1, as HTTP once had it.

    aiohttp writes UTF-8 and nothing else, and would leave them out without a word.
    """
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-8", "surrogateescape").decode("latin-1")
    return value


def without_body(headers: Mapping[str, str]) -> Headers:
    """Return the end-to-end fields that stay true when the proxy sends a body of its own making."""
    kept = end_to_end(headers)
    for name in _OF_THE_BODY & {name.lower() for name in kept}:
        del kept[name]
    return kept


def in_lines(fields: Mapping[str, str]) -> bytes:
    """Return the fields of an answer as they are written, but for the request id, which is for us to say.

    Args:
        fields: without control characters: a head with such is not taken from an upstream.
    """
    return "".join(
        [f"{name}: {value}\r\n" for name, value in fields.items() if name.lower() != _REQUEST_ID]
    ).encode()


def towards_upstream(request: Exchange) -> Headers:
    """Return a client's header fields as the upstream gets them, to be changed at will.

    `Host` is the upstream's own; the request id is the one under which we know the request.
    """
    headers = request.admission.fields.copy()
    headers.extend(passing(request))
    length = request.length or request.headers.get(LENGTH)
    if length is not None:
        headers[LENGTH] = length
    return headers


def asking_uncompressed(request: Exchange) -> Headers:
    """Return what `towards_upstream` does, without `passing`: for a body of ours, and an answer read here.

    The fields are never to be changed: the requests of a client share them.
    """
    written = request.admission.written
    if written.steady is None:
        written.steady = request.admission.fields.copy()
        written.steady["Accept-Encoding"] = "identity"
    return written.steady


def passing(request: Exchange) -> Mapping[str, str]:
    """Return the fields that are another in each request: its id, and where it stands in a trace."""
    own = {REQUEST_ID: request.record.request_id}
    if not request.propagated and (request.recurring is not None or not _is_traced(request.headers)):
        return own  # a head that has come before stands in no trace
    fields = CIMultiDict(own)
    fields.extend(_tracing(request.headers))
    fields.update(request.propagated)
    return fields


def _is_traced(sent: Mapping[str, str]) -> bool:
    return "Traceparent" in sent or "Tracestate" in sent or "Baggage" in sent


def _tracing(sent: MultiMapping[str]) -> Headers:
    names = (*TRACING, "Connection")  # which may name the others
    return end_to_end(CIMultiDict((name, value) for name in names for value in sent.getall(name, ())))
