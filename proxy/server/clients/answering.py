"""What happens to every request, in this order."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus

from aiohttp import web

from proxy.errors import StraightwireError
from proxy.server.answers.failures import answer_to, error_response
from proxy.server.answers.passthrough import drop_additions
from proxy.server.answers.stream import OpenedStream
from proxy.server.clients.endpoints import endpoint_of
from proxy.server.clients.exchange import Exchange
from proxy.server.generation import Generation
from proxy.server.operator.record import Record
from proxy.server.operator.tracing import Tracing


class Answering:
    """Answers requests.

    Args:
        tracing: puts them into spans; None: nothing does.

    Attributes:
        listeners: each is given the record of every request when it has ended.
        generation: of the configuration in force, by which the next request is answered.
        draining: whoever gets an answer from now on, gets no other on that connection.
    """

    generation: Generation

    def __init__(self, tracing: Tracing | None):
        self.listeners: tuple[Callable[[Record], None], ...] = ()
        self.draining = False
        self._tracing = tracing

    async def answer(self, request: Exchange) -> web.StreamResponse:
        """Answer a request, with an error where there is no other answer.

        Its task is cancelled when the client leaves, or by `proxy.server.stopping`.
        """
        record = request.record
        generation = request.generation = self.generation
        task = request.answering_task()
        generation.running.begin(task, record)
        response: web.StreamResponse | None = None
        try:
            try:
                if self._tracing is not None:
                    self._tracing.begin(request)
                request.endpoint, request.model = endpoint_of(request)
                # Before the doors: whom they send away came for an endpoint, too.
                record.endpoint = request.endpoint or record.endpoint
                response = generation.doors.let_in(request)
                if response is None:
                    response = await generation.service.answer(request)
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - it is answered, and told
                response = answer_to(request, error)
            finally:
                generation.doors.let_out(request)
                self._show(request, response)
            if not response.prepared:
                await _send(request, response)
            if self.draining:
                response.force_close()  # also one that had begun before
            return response
        finally:
            record.response = None  # which holds the request, which holds the record: a cycle
            generation.running.end(task)

    def complete(self, request: Exchange, response: web.StreamResponse) -> None:
        """Complete the head of a response, whatever it is, right before it leaves."""
        if not isinstance(response, OpenedStream):  # to which aiohttp has added nothing
            drop_additions(request, response)
        request.generation.doors.mark(request, response)
        if self.draining and response.status != HTTPStatus.SWITCHING_PROTOCOLS:
            response.force_close()
            response.headers["Connection"] = "close"

    def refuse(self, request: Exchange, error: StraightwireError) -> web.Response:
        """Return the answer to a request that cannot be handed on, for it is no HTTP."""
        request.generation = self.generation
        request.record.path = ""
        request.record.fail(error)
        response = error_response(error)
        self._show(request, response)
        return response

    def _show(self, request: Exchange, response: web.StreamResponse | None) -> None:
        record = request.record
        record.end(response, request.now())
        for listener in self.listeners:
            listener(record)


async def _send(request: Exchange, response: web.StreamResponse) -> None:
    with suppress(ConnectionError):  # the client has gone; aiohttp finds that out for itself
        await response.prepare(request)
        await response.write_eof()
