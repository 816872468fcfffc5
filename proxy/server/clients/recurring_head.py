"""The fast road past the parser: a head that has come before on its connection, byte for byte.

A client that keeps its connection sends the same head with each request, but for the length of the body. What
aiohttp's parser made of it, and what followed from it, holds for the next one, too. Where the head tells more
of one request alone, as its id, it is parsed each time.
"""

import asyncio
import re
from hmac import compare_digest
from typing import TYPE_CHECKING, Final, Self

from aiohttp import StreamReader
from aiohttp.http import HttpVersion11, RawRequestMessage
from multidict import CIMultiDict, CIMultiDictProxy

from proxy.server.clients.headers import LENGTH, PASSING

if TYPE_CHECKING:
    from proxy.server.clients.admission import Admission

#: Where a body's length stands. Ten digits are taken; a longer body takes the other road anyway.
_LENGTH: Final = re.compile(rb"\r\n((?i:content-length)):[ \t]*([0-9]{1,10})(?=\r\n[^ \t])")
_MOST_DIGITS: Final = 10
#: What says something of one request alone: a head with such a field will not come again.
_OF_ONE_REQUEST: Final = tuple(name for name in PASSING if name != LENGTH)
#: The longest head that is remembered, in bytes.
_LONGEST: Final = 4096
#: The longest body that comes on this road, in bytes: far from where aiohttp would stop reading.
_LARGEST_BODY: Final = 2**16


class RecurringHead:
    """The head of a request, up to its blank line.

    Attributes:
        message: what aiohttp's parser makes of it, with the length that it had last.
        admission: what followed from it at the doors; None before.
    """

    __slots__ = ("_begin", "_digits", "_name", "_rest", "admission", "message")

    def __init__(self, head: bytes, length: re.Match[bytes], message: RawRequestMessage):
        self.message = message
        self.admission: Admission | None = None
        self._name, self._digits = length.groups()
        self._begin = length.start(2)  # of the digits
        self._rest = head[: self._begin] + head[length.end() :]

    @classmethod
    def of(cls, head: bytes, message: RawRequestMessage) -> Self | None:
        """Return what is to be remembered of a head; None: nothing, for more than its bytes would count.

        Args:
            head: with its blank line.
            message: what aiohttp's parser made of it.
        """
        fields = message.headers
        if (
            len(head) > _LONGEST
            or any(name in fields for name in _OF_ONE_REQUEST)
            or message.version != HttpVersion11
            or message.upgrade
            or message.chunked
        ):
            return None
        length = _LENGTH.search(head)
        if length is None or fields.get(LENGTH) != length[2].decode():
            return None
        return cls(head, length, message)

    def read(self, data: bytes) -> tuple[int, int] | None:
        """Return where in `data` the body of a request with this head begins, and its length.

        `message` is the request's then. Keys are compared in a time that does not tell how close they are.

        Returns:
            None: it begins with another one, or is nothing for this road.
        """
        begin, rest = self._begin, self._rest
        end = data.find(b"\r", begin, begin + _MOST_DIGITS + 1)
        digits = data[begin:end]
        if end < 0 or not digits.isdigit() or not 0 < (length := int(digits)) <= _LARGEST_BODY:
            return None
        body = end + len(rest) - begin
        if not compare_digest(data[:begin] + data[end:body], rest):
            return None
        if digits != self._digits:
            self._take_length(digits)
        return body, length

    def _take_length(self, digits: bytes) -> None:
        message, name = self.message, self._name
        fields = CIMultiDict(message.headers)
        fields[name.decode()] = digits.decode()
        raw = tuple([(key, digits if key == name else value) for key, value in message.raw_headers])
        self.message = message._replace(headers=CIMultiDictProxy(fields), raw_headers=raw)
        self._digits = digits


class ShortBody(StreamReader):
    """The body of such a request. It is too short to be held up, and has often come whole with the head.

    Args:
        loop: in which it is read.
        data: what has come of it.
        missing: bytes that have not.

    Attributes:
        missing: the same.
    """

    __slots__ = ("_data", "missing")

    def __init__(self, loop: asyncio.AbstractEventLoop, data: bytes, missing: int):
        # Instead of aiohttp's, which is made for bodies of any length.
        self.missing = missing
        self.total_bytes = len(data)
        self._data = data
        self._exception = None
        self._loop = loop
        self._waiter = None

    def feed_data(self, data: bytes, size: int = 0) -> bool:
        """Take more of it; return False, as nothing has to wait for its reader."""
        self.missing -= len(data)
        self.total_bytes += len(data)
        self._data += data
        self._wake_up()
        return False

    def feed_eof(self) -> None:
        """Take it for whole."""
        self.missing = 0
        self._wake_up()

    def set_exception(self, exc: BaseException, exc_cause: BaseException | None = None) -> None:
        """Have whoever reads it get an exception from now on."""
        self._exception = exc
        self._wake_up()

    def is_eof(self) -> bool:
        """Tell whether all of it has come."""
        return not self.missing

    def at_eof(self) -> bool:
        """Tell whether all of it has been read."""
        return not (self.missing or self._data)

    def read_nowait(self, n: int = -1) -> bytes:
        """Return what has come and has not been read."""
        if self._exception is not None:
            raise self._exception
        data, self._data = self._data, b""
        return data

    async def readany(self) -> bytes:
        """Do so as soon as anything has come; b"" at the end."""
        if self.missing and not self._data and self._exception is None:
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self.read_nowait()

    def _wake_up(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
