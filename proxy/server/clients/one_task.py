"""The fast road of a client's connection: one task for all of its requests, where aiohttp makes one for each.

Those cost two turns of the event loop more, and a stream has two tasks there in the place of one. aiohttp
still parses what does not begin as the last request did, and takes over for the rest of a connection as soon
as something else comes than one request after the answer to another: pipelined requests, upgrades, and what
is no HTTP.

This leans on what aiohttp does not promise, so it is done only with versions that it has been tried with.
"""

import asyncio
from contextlib import suppress
from typing import Any, Final

import aiohttp
from aiohttp import StreamReader, web
from aiohttp.http import HttpRequestParser, RawRequestMessage, StreamWriter
from aiohttp.web_protocol import RequestPayloadError

from proxy.server.clients.client_connections import Answer, ClientConnection, ClientServer
from proxy.server.clients.exchange import Exchange
from proxy.server.clients.recurring_head import RecurringHead, ShortBody

#: How the versions of aiohttp begin whose server has been seen to work with this module.
TRIED: Final = ("3.14.",)
_HEAD_END: Final = b"\r\n\r\n"


def kind_of_connection() -> type[ClientConnection]:
    """Return the kind of connection that takes the fast road, if this aiohttp is known to bear it."""
    return OneTaskConnection if aiohttp.__version__.startswith(TRIED) else ClientConnection


class OneTaskConnection(ClientConnection):
    """A connection whose requests are answered by the task that waits for them."""

    __slots__ = ("_body", "_first_head", "_read", "_tail")

    def __init__(self, server: ClientServer, **options: Any):
        super().__init__(server, **options)
        self._read = 0  # bytes, since the beginning of a request was last known to be next
        self._first_head = 0  # bytes of these, up to the end of the first head; 0: it has not come
        self._tail = b""  # of what has come of that head, as far as it could belong to its end
        self._body: ShortBody | None = None  # of a request with a recurring head, while it is not whole

    def data_received(self, data: bytes) -> None:
        """Take bytes: a request that begins as the last one did, or whatever the parser makes of them."""
        if self._force_close or self._close:
            return
        if self._body is not None:
            data = self._take_body(self._body, data)
            if not data:
                return
        elif not self._read and self.recurring is not None and self._take_request(self.recurring, data):
            return
        self._parse(data)

    def let_go(self, request: Exchange) -> None:
        """Do as any connection does; and do without a parser, which holds the last head, until more comes."""
        held_back = self._reading_paused or self._buffer_paused
        if self._is_between(request.content) and not held_back:
            self._parser = None
            self._read = self._first_head = 0
        super().let_go(request)

    def _parse(self, data: bytes) -> None:
        begins = not (self._read or self._messages)
        if self._parser is None and self.transport is not None:
            self._parser = self._new_parser()
        if not self._first_head:
            self._seek_end_of_head(data)
        self._read += len(data)
        super().data_received(data)
        if begins and self._messages and isinstance(message := self._messages[0][0], RawRequestMessage):
            self.recurring = RecurringHead.of(data[: self._first_head], message)

    def _seek_end_of_head(self, data: bytes) -> None:
        seen = self._tail + data
        end = seen.find(_HEAD_END)
        if end < 0:
            self._tail = seen[1 - len(_HEAD_END) :]
        else:
            self._first_head = self._read - len(self._tail) + end + len(_HEAD_END)
            self._tail = b""

    def _take_request(self, head: RecurringHead, data: bytes) -> bool:
        """Take a request with that head, if it is one, and is waited for."""
        waiter = self._waiter
        if waiter is None or waiter.done() or (found := head.read(data)) is None:
            return False
        start, length = found
        missing = start + length - len(data)
        if missing < 0:
            return False  # more than a request
        body = ShortBody(self._loop, data[start:], missing)
        self._messages.append((head.message, body))
        if missing:
            self._body = body
        self._read, self._first_head = start + length, start  # of which the parser gets nothing
        waiter.set_result(None)
        return True

    def _take_body(self, body: ShortBody, data: bytes) -> bytes:
        """Take more of the body of such a request; return what comes after it."""
        missing = body.missing
        body.feed_data(data[:missing])
        if not body.missing:
            self._body = None
        return data[missing:]

    async def start(self) -> None:
        """Answer requests until the connection ends."""
        try:
            while True:
                if not self._messages:
                    self._waiter = self._loop.create_future()
                    try:
                        await self._waiter
                    finally:
                        self._waiter = None
                if not self._next_is_plain():
                    break
                if not await self._answer_next():
                    self._end()
                    return
        except asyncio.CancelledError as cancellation:  # the client has left, or the proxy stops
            self.force_close()
            # The task keeps the exception; its frames would keep the task, in a cycle.
            raise cancellation.with_traceback(None) from None
        await super().start()

    def _next_is_plain(self) -> bool:
        """Tell whether what has come is a request and nothing else."""
        message = self._messages[0][0]
        return len(self._messages) == 1 and isinstance(message, RawRequestMessage) and not message.upgrade

    async def _answer_next(self) -> bool:
        """Answer the next request; tell whether another one may follow."""
        if self._parser is None or self._request_factory is None or self._request_handler is None:
            return False  # the client has left
        self._parser.message_consumed()
        make: Any = self._request_factory
        try:
            # What is taken out of the queue gets no name: it would be held for as long as the answer takes.
            writer = StreamWriter(self, self._loop)
            request: Exchange = make(*self._messages.popleft(), self, writer, self._task_handler)
            if self.recurring is not None:
                request.recall(self.recurring)
            response = await self._answered(request, self._request_handler)
        except ConnectionError:
            return False
        except Exception as error:  # noqa: BLE001 - a defect of ours; nobody else would tell
            self.log_exception("Unhandled exception", exc_info=error)
            return False
        body = request.content
        if not (self._force_close or body.is_eof()):
            await self._let_pass(body)
        if self._is_between(body):
            self._read = self._first_head = 0
        self._keepalive = bool(response.keep_alive)
        if self._force_close or self._close or not self._keepalive:
            return False
        self._wait_no_longer_than(self._keepalive_timeout)
        return True

    async def _answered(self, request: Exchange, answer: Answer) -> web.StreamResponse:
        """Return the answer to a request when it has been sent: with a defect, aiohttp's."""
        self._current_request, self._request_in_progress = request, True
        try:
            try:
                return await answer(request)
            finally:
                self._current_request = None
        except Exception as error:  # noqa: BLE001
            response, _ = await self.finish_response(request, self.handle_error(request, 500, error), None)
            return response
        finally:
            self._request_in_progress = False
            if self._handler_waiter is not None:
                self._handler_waiter.set_result(None)

    def _is_between(self, body: StreamReader) -> bool:
        """Tell whether all that has been read is one request, of which this is the body."""
        return not self._messages and body.is_eof() and self._read == self._first_head + body.total_bytes

    def _new_parser(self) -> HttpRequestParser:
        return HttpRequestParser(
            self,
            self._loop,
            self._read_bufsize,
            max_line_size=self.max_line_size,
            max_field_size=self.max_field_size,
            max_headers=self.max_headers,
            payload_exception=RequestPayloadError,
            auto_decompress=False,
            max_msg_queue_size=self._max_msg_queue_size,
        )

    async def _let_pass(self, body: StreamReader) -> None:
        """Take the rest of a body that nobody wanted, or the client would not come to read the answer."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._lingering_time):
                while not body.is_eof():
                    await body.readany()
        if not body.is_eof():
            self.close()

    def _wait_no_longer_than(self, seconds: float) -> None:
        """Set a limit for the next head; the timer that is set already looks at it when it fires."""
        self._next_keepalive_close_time = until = self._loop.time() + seconds
        if self._keepalive_handle is None:
            self._keepalive_handle = self._loop.call_at(until, self._process_keepalive)

    def _end(self) -> None:
        """Close what has not been closed, politely."""
        self._task_handler = None
        if not self._force_close and self.transport is not None:
            self.transport.close()
