"""The outermost middleware: it opens a record for each request, and shows it around when the request ends."""

import asyncio
from collections.abc import Callable

from aiohttp import web
from aiohttp.typedefs import Handler

from proxy.errors import Stopped, StraightwireError
from proxy.server.failures import error_response
from proxy.server.record import CLIENT_GONE, REQUEST_ID, Record, open_record, record_of
from proxy.server.stopping import was_cut_off


class Recorder:
    """Keeps the records of the requests that run.

    Attributes:
        listeners: each is given the record of every request when it has ended.
        running: the requests that have not ended.
    """

    def __init__(self) -> None:
        self.listeners: tuple[Callable[[Record], None], ...] = ()
        self.running: set[Record] = set()

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Record a request. Its task is cancelled when the client leaves, or by `cut_off`."""
        record = open_record(request)
        self.running.add(record)
        response = None
        try:
            response = await handler(request)
            return response
        except asyncio.CancelledError as error:
            record.outcome = Stopped.outcome if was_cut_off(error) else CLIENT_GONE
            raise
        finally:
            self.running.discard(record)
            self._show(record, response)

    def refuse(self, request: web.BaseRequest, error: StraightwireError) -> web.Response:
        """Record a request that no handler gets, for it is no HTTP; return its response."""
        record = open_record(request)
        record.path = ""
        response = error_response(error)
        record.fail(error)
        self._show(record, response)
        response.headers[REQUEST_ID] = record.request_id
        return response

    def streams(self, upstream: str) -> int:
        """Return how many streams of an upstream run."""
        return sum(record.stream and record.upstream == upstream for record in self.running)

    def _show(self, record: Record, response: web.StreamResponse | None) -> None:
        record.end(response)
        for listener in self.listeners:
            listener(record)


async def mark(request: web.Request, response: web.StreamResponse) -> None:
    """Put the request's id on a response, over the upstream's own; a handler of `on_response_prepare`."""
    record = record_of(request)
    record.response = response
    record.status = response.status
    response.headers[REQUEST_ID] = record.request_id
