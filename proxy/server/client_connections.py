"""The connections of clients: what is no HTTP at all is answered in OpenAI's form too, and has its line.

aiohttp parses requests before any handler sees them, and answers what it refuses by itself: in plain text,
with the words of the request in it. And it lets a handler wait for ever for the rest of a body whose chunks
are broken. Only the class of its connections can be taught better.
"""

from collections.abc import Callable
from typing import Any, Final

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage, LineTooLong
from aiohttp.web_protocol import _ErrInfo

from proxy.errors import ClientError, StraightwireError

#: RFC 6585, section 5; the same is said of a target that is too long, which aiohttp does not tell apart.
_FIELDS_TOO_LARGE: Final = 431
_TOO_MANY: Final = "Too many headers"
#: No response of ours says more of itself; without it, aiohttp tells its version and Python's.
_SERVER: Final = "straightwire"
#: The most that is repeated of what aiohttp has against a request, in characters.
_SHOWN: Final = 100
#: Seconds, for which aiohttp has no other word: ten years.
_FOR_EVER: Final = 3.2e8

Refuse = Callable[[web.BaseRequest, StraightwireError], web.Response]


class ClientRunner(web.AppRunner):
    """Runs an application, with an answer to what never reaches it.

    Args:
        application: what answers all else.
        refuse: makes the response to a request that cannot be handed on.
        options: of aiohttp's connections.

    Attributes:
        idle: seconds that a connection made from now on may take for a whole head, from its beginning or from
            the answer before; 0: as long as it likes.
    """

    __slots__ = ("idle", "refuse")

    def __init__(self, application: web.Application, refuse: Refuse, **options: Any):
        super().__init__(application, **options)
        self.idle = 0.0
        self.refuse = refuse

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(
            made.request_handler,
            self,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            **made._kwargs,
        )


class _Server(web.Server):
    def __init__(self, handler: Any, runner: ClientRunner, **options: Any):
        super().__init__(handler, **options)
        self.runner = runner

    def __call__(self) -> web.RequestHandler:
        idle = self.runner.idle or _FOR_EVER
        return _Connection(self, loop=self._loop, keepalive_timeout=idle, **self._kwargs)


class _Connection(web.RequestHandler):
    __slots__ = ("_refuse",)

    def __init__(self, server: _Server, **options: Any):
        super().__init__(server, **options)
        self._refuse = server.runner.refuse

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._messages and isinstance(broken := self._messages[-1][0], _ErrInfo):
            self._tell_the_reader(broken)

    def close(self) -> None:
        """End the connection once what has come is answered. aiohttp leaves one open on which nothing has."""
        idle = self._waiter is not None and not self._waiter.done()
        super().close()
        if idle:
            self.force_close()

    def _tell_the_reader(self, broken: _ErrInfo) -> None:
        """Tell whoever reads the body in which the fault is, and so is the one to answer."""
        if len(self._messages) > 1:
            body = self._messages[-2][1]
        elif self._current_request is not None:
            body = self._current_request.content
        else:
            return
        if not body.is_eof():
            body.set_exception(broken.exc)
            body.feed_eof()
            if len(self._messages) == 1:
                self._messages.pop()
                self.close()  # once that is answered

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if not isinstance(exc, BadHttpMessage) or request.writer.output_size > 0:
            # A defect of ours, that no middleware has caught.
            return super().handle_error(request, status, exc, message)
        response = self._refuse(request, _refusal(exc))
        response.headers["Server"] = _SERVER
        response.force_close()
        return response


def _refusal(error: BadHttpMessage) -> ClientError:
    first_line = error.message.partition("\n")[0].rstrip(":. ")
    refusal = ClientError(f"The request is not proper HTTP: {first_line[:_SHOWN]}.")
    if isinstance(error, LineTooLong):
        refusal = ClientError("The request's path or one of its header fields is too long.")
        refusal.status = _FIELDS_TOO_LARGE
    elif error.message.startswith(_TOO_MANY):
        refusal = ClientError("The request has too many header fields.")
        refusal.status = _FIELDS_TOO_LARGE
    return refusal
