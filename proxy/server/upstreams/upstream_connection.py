"""A connection to an upstream, with aiohttp's protocol underneath: what it may say, and when.

aiohttp trusts an upstream to speak when it is asked, and to come to the point. This one need not do either.
"""

import asyncio
import re
import select
from http import HTTPStatus
from typing import Any, Final

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import RawResponseMessage
from aiohttp.streams import StreamReader

from proxy.server.alarms import Alarm
from proxy.server.short_queue import ShortQueue

#: What is kept of a body for its reader, in bytes, before the upstream has to wait; by aiohttp, twice that.
READ_AHEAD: Final = 65536
#: The longest header field taken from an upstream; aiohttp's own 8190 bytes are too few for some.
HEADER_LIMIT: Final = 65536
#: What ends a head (RFC 9112, section 2.1); section 2.2 allows for the shorter line ends.
_BLANK_LINE: Final = re.compile(rb"\n\r?\n")
#: Statuses of heads after which another one comes.
_BEFORE_THE_ANSWER: Final = frozenset(range(100, 200)) - {HTTPStatus.SWITCHING_PROTOCOLS}
_WITHOUT_BODY: Final = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})


class InTheHead:
    """The connection ended when something had come, but not the whole head of the answer."""


class ResetInTheHead(InTheHead, aiohttp.ClientOSError):
    """It was broken."""


class ClosedInTheHead(InTheHead, aiohttp.ServerDisconnectedError):
    """It was closed."""


class Connection(ResponseHandler):
    """One connection, used for one request after the other.

    Whatever comes without having been asked for, be it one byte, closes it: it would be taken for the
    beginning of the next answer, which may be another client's.

    aiohttp's timeout for a read begins anew with each byte, ends with any head, be it "100 Continue", and
    does not begin before the whole request has been taken. Here it is the time for the whole head of an
    answer, from the end of the request, or from when the upstream stopped to take it.
    """

    # With these in it, the dictionary of aiohttp's own would outgrow what Python shares between objects.
    __slots__ = ("_alarm", "_asked", "_begun", "_head_came", "_raw_head", "_seam", "_sent", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop):
        super().__init__(loop)
        self._buffer = ShortQueue()  # type: ignore[assignment]  # does what aiohttp asks of it
        self._asked = False
        self._sent = False
        self._begun = False  # something has come of the answer, or before it
        self._head_came = False
        self._raw_head = b""  # the head that is being parsed, where it has come in one piece
        self._seam = b""  # the last bytes of one that has not come whole
        self._alarm = Alarm(loop=loop)  # one for all requests
        self._waiting: select.poll | None = None

    @property
    def idle(self) -> bool:
        """Nothing may come now: the last answer is whole, or nothing has been asked."""
        if self._upgraded:
            return False
        return not self._asked or (self._head_came and (self._payload is None or self._payload.is_eof()))

    @property
    def used(self) -> bool:
        """A request has been sent on it."""
        return self._asked

    # From aiohttp

    def set_response_params(self, **settings: Any) -> None:
        """Expect the answer to a request that is about to be sent."""
        self._expect_answer()
        super().set_response_params(**settings)

    def is_connected(self) -> bool:
        """Tell whether a request can be sent: also nothing waits to be read, which only an end could be."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return False
        return not (self._is_readable() and self.idle)

    def start_timeout(self) -> None:
        """Measure from now on: the whole request has been sent."""
        self._sent = True
        self._set_deadline()

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        """Take the news that no answer will come, and tell whether it had begun."""
        super().set_exception(self._torn(exc), *cause)

    def close(self) -> None:
        """Close at once: aiohttp would wait until the upstream has taken what it has not yet been sent."""
        self._alarm.rest()
        if self.transport is not None and self.transport.get_write_buffer_size():
            self.abort()
        else:
            super().close()

    # From the parser

    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        """Take the head of an answer, if one is expected."""
        if self._head_came:
            self._refuse()
            return
        message = data[0]
        if message.code not in _BEFORE_THE_ANSWER:
            self._head_came = True
            self._alarm.rest()
        if message.code in _WITHOUT_BODY and _announces_body(message):
            self.force_close()  # it may follow, and would be taken for the next answer
        self._take_head(data)

    # From the event loop

    def data_received(self, data: bytes) -> None:
        """Take bytes, if any are expected."""
        if data and self.idle:
            self._refuse()
        elif data and not self._head_came:
            self._receive_head(data)
        else:
            super().data_received(data)
            if data and self.idle and not self._should_close:
                self._end_answer()

    def pause_writing(self) -> None:
        """The upstream does not take the request as fast as it comes."""
        super().pause_writing()
        self._set_deadline()

    def resume_writing(self) -> None:
        """The upstream has taken some of the request."""
        super().resume_writing()
        if self._sent:
            self._set_deadline()
        else:
            self._alarm.rest()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Note the end."""
        self._alarm.stop()
        super().connection_lost(exc)

    def _reschedule_timeout(self) -> None:
        """Do nothing where aiohttp would begin its own measure anew."""

    def _expect_answer(self) -> None:
        self._asked, self._sent, self._begun, self._head_came = True, False, False, False
        self._seam = b""

    def _receive_head(self, data: bytes) -> None:
        """Give the parser heads, and nothing else with them.

        At a fault it forgets what it has understood in the same call, and how the bytes were cut would decide
        what becomes of an answer with more behind it than there should be.
        """
        self._begun = True
        at = 0
        while at < len(data) and not self._head_came and self.exception() is None:
            rest = data[at:]
            found = _BLANK_LINE.search(self._seam + rest)
            head = rest[: found.end() - len(self._seam)] if found else rest
            self._raw_head = b"" if self._seam else head
            self._seam = b"" if found else (self._seam + rest)[-2:]
            super().data_received(head)
            at += len(head)
        self._raw_head = b""
        if at < len(data) and self.exception() is None:
            self.data_received(data[at:])

    def _torn(self, error: BaseException) -> BaseException:
        """Return the error that ended the connection, as one that tells of an answer that had begun."""
        if not self._begun or self._head_came:
            return error
        if type(error) is aiohttp.ClientOSError:
            return ResetInTheHead(*error.args)
        if type(error) is aiohttp.ServerDisconnectedError:
            return ClosedInTheHead(error.message)
        return error

    def _end_answer(self) -> None:
        """Look whether the beginning of another answer has come with the end of this one."""
        parser, self._parser = self._parser, None
        if parser is not None and parser.feed_eof() is not None:
            self._refuse()

    def _take_head(self, data: tuple[RawResponseMessage, StreamReader]) -> None:
        """Give a head to who waits for it."""
        super().feed_data(data)

    def _refuse(self) -> None:
        self.force_close()
        if self.transport is not None:
            self.transport.abort()

    def _is_readable(self) -> bool:
        if self._waiting is None:
            descriptor = self.transport.get_extra_info("socket") if self.transport is not None else None
            if descriptor is None:
                return False
            self._waiting = select.poll()
            self._waiting.register(descriptor.fileno(), select.POLLIN)
        return bool(self._waiting.poll(0))

    def _set_deadline(self) -> None:
        if self._read_timeout and not self._head_came:
            self._alarm.ring = self._on_read_timeout
            self._alarm.set(self._loop.time() + self._read_timeout)


def was_closed_meanwhile(error: BaseException) -> bool:
    """Tell whether a kept connection may just have been closed: it has ended before an answer began."""
    ended = isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError)
    return ended and not isinstance(error, InTheHead)


def _announces_body(message: RawResponseMessage) -> bool:
    return message.chunked or message.headers.get("Content-Length", "0") != "0"
