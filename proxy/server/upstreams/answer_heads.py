"""Heads of answers: what they mean, and which of those that an HTTP library takes are nothing to build on."""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final, TypeVar

from multidict import CIMultiDict, CIMultiDictProxy

from proxy.server.clients.headers import OF_A_STREAM, in_lines, without_body
from proxy.wire.charset import foreign_encoding

#: RFC 9110, section 15.
_ABOVE_EVERY_STATUS: Final = 600
#: What no header field may hold (RFC 9110, section 5.5), and aiohttp would refuse to send on.
_CONTROL: Final = re.compile(r"[\0-\x08\x0b-\x1f\x7f]")
#: What aiohttp can undo, brotli and zstd where the packages are there.
_DECODED_BY_AIOHTTP: Final = frozenset({"", "identity", "gzip", "deflate", "br", "zstd"})
#: Most servers have one or two heads for their streams, and a new one each second where it tells the time.
_MOST_KNOWN: Final = 8
#: Fields that say something of this answer alone, and nothing of its form. `X-Accel-…` is not among them: a
#: stream has its own.
_OF_ONE_ANSWER: Final = re.compile(
    rb"\r\n((?i:date|age|request-id|traceparent|server-timing|cf-ray|openai-[\w-]+|x-(?!accel-)[\w-]+)):"
    rb"[ \t]*([!-~](?:[ -~]*[!-~])?)(?=\r\n[^ \t])"
)
#: The longest head that is remembered, in bytes.
_LONGEST_KNOWN: Final = 4096

K = TypeVar("K")
T = TypeVar("T")

#: Header fields that many answers have in common, and none can change.
Fields = CIMultiDictProxy[str]


class Head:
    """The head of an answer, as it goes on. Several answers may share it: it does not change.

    Args:
        status: the HTTP status.
        reason: the words beside it.
        headers: as they came, but that they send nobody to where only we can go.
    """

    __slots__ = (
        "_encoding",
        "_lines_of_stream",
        "_of_stream",
        "_without_body",
        "headers",
        "reason",
        "status",
    )

    def __init__(self, status: int, reason: str | None, headers: Mapping[str, str]):
        self.status = status
        self.reason = reason
        self.headers = headers
        self._encoding: str | None = None
        self._of_stream: Fields | None = None
        self._lines_of_stream: bytes | None = None
        self._without_body: Fields | None = None

    @property
    def encoding(self) -> str:
        """Which the body's text is in, where that is not UTF-8; else ""."""
        if self._encoding is None:
            self._encoding = foreign_encoding(self.headers.get("Content-Type", ""))
        return self._encoding

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
    def lines_of_stream(self) -> bytes:
        """These fields as they are written."""
        if self._lines_of_stream is None:
            self._lines_of_stream = in_lines(self.of_stream)
        return self._lines_of_stream

    @property
    def without_body(self) -> Fields:
        """The fields that stay true when the proxy sends a body of its own making."""
        if self._without_body is None:
            self._without_body = CIMultiDictProxy(without_body(self.headers))
        return self._without_body

    def with_values(self, values: Sequence[tuple[str, str]]) -> "Head":
        """Return a head that has other values in some fields, each of which this one has once."""
        other = Head(self.status, self.reason, _replaced(self.headers, values))
        other._without_body = _replaced(self.without_body, values)
        other._of_stream = _replaced(self.of_stream, values)
        other._encoding = self.encoding
        return other


def _replaced(fields: Mapping[str, str], values: Sequence[tuple[str, str]]) -> Fields:
    replaced = CIMultiDict(fields)
    for name, value in values:
        if name in replaced:
            replaced[name] = value
    return CIMultiDictProxy(replaced)


class KnownHeads:
    """Heads that an upstream has sent before, byte for byte, and what they were found to mean.

    A server begins all its streams with the same bytes, but for the time of day in them, and an id perhaps.
    """

    def __init__(self) -> None:
        self._heads: dict[bytes, Head] = {}
        # By all of their bytes but such values, with the names to which these belong.
        self._alike: dict[tuple[bytes, ...], tuple[Head, list[str]]] = {}

    def get(self, raw: bytes) -> Head | None:
        """Return what a head means, if it has come before."""
        head = self._heads.get(raw)
        if head is None and self._alike and len(raw) <= _LONGEST_KNOWN:
            rest, _, values = _taken_apart(raw)
            alike = self._alike.get(rest)
            if alike is not None:
                other, names = alike
                head = other.with_values(list(zip(names, values, strict=True)))
                _remember(self._heads, raw, head)
        return head

    def add(self, raw: bytes, head: Head) -> None:
        """Remember what a head means; the oldest is forgotten for it."""
        if len(raw) > _LONGEST_KNOWN:
            return
        _remember(self._heads, raw, head)
        rest, names, _ = _taken_apart(raw)
        if names and len(names) == len(set(names)):
            spelt = {name.lower(): name for name in head.headers}
            _remember(self._alike, rest, (head, [spelt[name] for name in names]))


def _taken_apart(raw: bytes) -> tuple[tuple[bytes, ...], list[str], list[str]]:
    """Return a head without the values of one answer alone, their names in lower case, and these values."""
    pieces = _OF_ONE_ANSWER.split(raw)
    names, values = pieces[1::3], pieces[2::3]
    del pieces[2::3]
    return tuple(pieces), [name.decode().lower() for name in names], [value.decode() for value in values]


def _remember(heads: dict[K, T], raw: K, head: T) -> None:
    if len(heads) >= _MOST_KNOWN:
        del heads[next(iter(heads))]
    heads[raw] = head


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
