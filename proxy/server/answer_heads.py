"""Heads of answers: what they mean, and which of those that an HTTP library takes are nothing to build on."""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from multidict import CIMultiDict, CIMultiDictProxy

from proxy.server.headers import OF_A_STREAM, without_body

#: RFC 9110, section 15.
_ABOVE_EVERY_STATUS: Final = 600
#: What no header field may hold (RFC 9110, section 5.5), and aiohttp would refuse to send on.
_CONTROL: Final = re.compile(r"[\0-\x08\x0b-\x1f\x7f]")
#: What aiohttp can undo, brotli and zstd where the packages are there.
_DECODED_BY_AIOHTTP: Final = frozenset({"", "identity", "gzip", "deflate", "br", "zstd"})
#: Most servers have one or two heads for their streams, and a new one each second where it tells the time.
_MOST_KNOWN: Final = 8
#: The longest head that is remembered, in bytes.
_LONGEST_KNOWN: Final = 4096

#: Header fields that many answers have in common, and none can change.
Fields = CIMultiDictProxy[str]


class Head:
    """The head of an answer, as it goes on. Several answers may share it: it does not change.

    Args:
        status: the HTTP status.
        reason: the words beside it.
        headers: as they came, but that they send nobody to where only we can go.
    """

    __slots__ = ("_of_stream", "_without_body", "headers", "reason", "status")

    def __init__(self, status: int, reason: str | None, headers: Mapping[str, str]):
        self.status = status
        self.reason = reason
        self.headers = headers
        self._of_stream: Fields | None = None
        self._without_body: Fields | None = None

    @property
    def of_stream(self) -> Fields:
        """The fields of a stream that the proxy sends in the place of the answer."""
        if self._of_stream is None:
            fields = CIMultiDict(OF_A_STREAM)
            fields.extend(
                (name, value) for name, value in self.without_body.items() if name not in OF_A_STREAM
            )
            self._of_stream = CIMultiDictProxy(fields)
        return self._of_stream

    @property
    def without_body(self) -> Fields:
        """The fields that stay true when the proxy sends a body of its own making."""
        if self._without_body is None:
            self._without_body = CIMultiDictProxy(without_body(self.headers))
        return self._without_body


class KnownHeads:
    """Heads that an upstream has sent before, byte for byte, and what they were found to mean.

    A server begins all its streams with the same bytes, until the time of day in them is another.
    """

    def __init__(self) -> None:
        self._heads: dict[bytes, Head] = {}

    def get(self, raw: bytes) -> Head | None:
        """Return what a head means, if the same bytes have come before."""
        return self._heads.get(raw)

    def add(self, raw: bytes, head: Head) -> None:
        """Remember what a head means; the oldest is forgotten for it."""
        if len(raw) > _LONGEST_KNOWN:
            return
        if len(self._heads) >= _MOST_KNOWN:
            del self._heads[next(iter(self._heads))]
        self._heads[raw] = head


def fault_of(status: int, reason: str | None, headers: Mapping[str, str], *, decode: bool) -> str | None:
    """Say what an upstream did wrong in the head of an answer.

    Args:
        status: of the answer, as it came.
        reason: the words beside it.
        headers: as they came.
        decode: its body has to be read here.

    Returns:
        What follows "The upstream …"; None: nothing is wrong.
    """
    if not HTTPStatus.OK <= status < _ABOVE_EVERY_STATUS:
        return f"does not speak proper HTTP: the status {status} ends no request"
    if headers.get("Transfer-Encoding", "chunked").strip().lower() != "chunked":
        return "does not speak proper HTTP: its answer is encoded for the way, though nobody asked for that"
    if _CONTROL.search("\n".join((reason or "", *headers.values()))):
        return "does not speak proper HTTP: there are control characters in its head"
    encoding = headers.get("Content-Encoding", "").strip().lower()
    if decode and encoding not in _DECODED_BY_AIOHTTP:
        return f"encoded its answer as {encoding!r}, though asked not to"
    return None
