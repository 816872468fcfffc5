"""The connections of clients: what is no HTTP at all is answered in OpenAI's form too, and has its line.

aiohttp parses requests before any handler sees them, and answers what it refuses by itself: in plain text,
with the words of the request in it. And it lets a handler wait for ever for the rest of a body whose chunks
are broken. Only the class of its connections can be taught better.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import HttpVersion11, StreamReader, web
from aiohttp.http_exceptions import BadHttpMessage, LineTooLong
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import _ErrInfo

from proxy.errors import ClientError, StraightwireError, forget_frames
from proxy.server.alarms import Alarm
from proxy.server.clients.admission import Admission
from proxy.server.clients.exchange import Complete, Exchange
from proxy.server.clients.recurring_head import RecurringHead
from proxy.server.short_queue import ShortQueue

#: RFC 6585, section 5; the same is said of a target that is too long, which aiohttp does not tell apart.
_FIELDS_TOO_LARGE: Final = 431
_TOO_MANY: Final = "Too many headers"
#: No response of ours says more of itself; without it, aiohttp tells its version and Python's.
_SERVER: Final = "straightwire"
#: The most that is repeated of what aiohttp has against a request, in characters.
_SHOWN: Final = 100
#: Seconds, for which aiohttp has no other word: ten years.
_FOR_EVER: Final = 3.2e8

#: The longest header field taken from a client, in bytes: cookies and tokens outgrow aiohttp's 8190.
_HEADER_LIMIT: Final = 65536
#: The longest head as a whole; by aiohttp, each of its 128 fields could have the length of the longest.
_HEAD_LIMIT: Final = 4 * _HEADER_LIMIT

Answer = Callable[[Exchange], Awaitable[web.StreamResponse]]
Refuse = Callable[[Exchange, StraightwireError], web.Response]


class ClientServer(web.Server):
    """Takes the connections of clients. To be made while the event loop runs.

    Args:
        answer: answers requests; it is cancelled when the client leaves.
        complete: completes the heads of the responses.
        refuse: makes the response to a request that cannot be handed on.
        connections: their kind.

    Attributes:
        idle: seconds that a connection made from now on may take for a whole head, from its beginning or from
            the answer before; 0: as long as it likes.
        refuse: the same.
    """

    def __init__(
        self, answer: Answer, complete: Complete, refuse: Refuse, connections: type["ClientConnection"]
    ):
        super().__init__(
            answer,  # type: ignore[arg-type]  # what it is given is made by our own factory
            request_factory=self._exchange,
            handler_cancellation=True,  # a client that leaves stops the upstream, even while that is silent
            access_log=None,
            auto_decompress=False,
            max_line_size=_HEADER_LIMIT,
            max_field_size=_HEADER_LIMIT,
        )
        self.idle = 0.0
        self.refuse = refuse
        self._complete = complete
        self._kind = connections

    def __call__(self) -> web.RequestHandler:
        """Make a connection."""
        return self._kind(self, loop=self._loop, keepalive_timeout=self.idle or _FOR_EVER, **self._kwargs)

    def pre_shutdown(self) -> None:
        """End each connection, at once or with the answer that is due, whose request may come to its end."""
        for connection in self._connections:
            if connection._current_request is None or connection._current_request.content.is_eof():
                connection.close()

    def _exchange(self, *arguments: Any) -> Exchange:
        connection: ClientConnection = arguments[2]
        connection.body = arguments[1]
        try:
            return Exchange(*arguments, self._loop, complete=self._complete)
        except ValueError:  # yarl can make nothing of the host of a whole URL; here it is ours anyway
            message, *others = arguments
            message = message._replace(url=message.url.relative())
            return Exchange(message, *others, self._loop, complete=self._complete)


class ClientConnection(web.RequestHandler):
    """A connection, and on it one request after the other.

    Attributes:
        admission: what followed from the head of the last request that was let in.
        alarm: of the answer that is being given, and rests between two.
        body: of the last request that was handed on, let in or not.
        recurring: the head with which the next one begins, too, as far as can be foreseen; None: any other.
    """

    __slots__ = ("_head", "_refuse", "admission", "alarm", "body", "recurring")

    def __init__(self, server: ClientServer, **options: Any):
        super().__init__(server, **options)
        self.admission: Admission | None = None
        self.alarm = Alarm(loop=self._loop)
        self.body: StreamReader = EMPTY_PAYLOAD
        self.recurring: RecurringHead | None = None
        self._messages = ShortQueue()  # type: ignore[assignment]  # does what aiohttp asks of it
        self._refuse = server.refuse
        self._head = 0  # bytes of one that is not yet whole

    def connection_lost(self, exc: BaseException | None) -> None:
        """Note the end."""
        self.alarm.stop()
        super().connection_lost(exc)
        self.body = EMPTY_PAYLOAD  # it holds this connection, as those of what waits do: a cycle
        self._messages.clear()

    def data_received(self, data: bytes) -> None:
        """Take bytes; see to it that a fault in a body's chunks is noticed, and a head without end."""
        if self._head > _HEAD_LIMIT:
            return  # it has been refused
        super().data_received(data)
        if self._awaits_head():
            self._head += len(data)
            if self._head > _HEAD_LIMIT:
                self._refuse_head()
        else:
            self._head = 0
        if self._messages and isinstance(broken := self._messages[-1][0], _ErrInfo):
            forget_frames(broken.exc)  # of aiohttp's, in which it is kept
            self._tell_the_reader(broken)

    def let_go(self, request: Exchange) -> None:
        """Hold nothing any more of a request that is being answered, and whose answer lasts."""
        self.admission = self.recurring = None
        if self.body.is_eof():
            self.body = EMPTY_PAYLOAD
        request.let_go()

    def close(self) -> None:
        """End the connection once what has come is answered. aiohttp leaves one open on which nothing has."""
        idle = self._waiter is not None and not self._waiter.done()
        super().close()
        if idle:
            self.force_close()

    def _awaits_head(self) -> bool:
        """Tell whether the last bytes were of a head, which is not yet whole."""
        if self._messages or self._upgraded or self._payload_parser is not None:
            return False
        return self.body.is_eof()  # also where it has been answered, and the rest is only read past

    def _refuse_head(self) -> None:
        """Have a head refused, as aiohttp does with one that it cannot read."""
        error = LineTooLong("the whole head", _HEAD_LIMIT)
        self._messages.append((_ErrInfo(status=400, exc=error, message=error.message), EMPTY_PAYLOAD))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _tell_the_reader(self, broken: _ErrInfo) -> None:
        """Tell whoever reads the body in which the fault is, and so is the one to answer."""
        queued = len(self._messages) > 1
        body = self._messages[-2][1] if queued else self.body
        if body.is_eof():
            return
        if queued or self._current_request is not None:
            body.set_exception(broken.exc)
        body.feed_eof()  # also where it has been answered, and is read only to get past it
        if not queued:
            self._messages.pop()
            self.close()  # once that is answered

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return the answer to what is no HTTP, or to what was, at a defect of ours."""
        begun = request.writer.output_size > 0
        if isinstance(exc, BadHttpMessage) and isinstance(request, Exchange) and not begun:
            request._version = HttpVersion11  # aiohttp takes whatever it cannot read for HTTP/1.0
            response = self._refuse(request, _refusal(exc))
            response.headers["Server"] = _SERVER
            response.force_close()
            return response
        return super().handle_error(request, status, exc, message)  # a defect of ours


def _refusal(error: BadHttpMessage) -> ClientError:
    first_line = error.message.partition("\n")[0].rstrip(":. ")
    refusal = ClientError(f"The request is not proper HTTP: {first_line[:_SHOWN]}.")
    if isinstance(error, LineTooLong):
        refusal = ClientError("The request's path or its header fields are too long.")
        refusal.status = _FIELDS_TOO_LARGE
    elif error.message.startswith(_TOO_MANY):
        refusal = ClientError("The request has too many header fields.")
        refusal.status = _FIELDS_TOO_LARGE
    return refusal
