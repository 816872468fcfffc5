"""One whole answer: read to its end, rewritten, sent in one piece.

It is not streamed, because its repair may need its end; `limits.response_body` bounds it.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from aiohttp import web

from proxy.errors import UpstreamError, UpstreamMalformed
from proxy.server.answers.destination import Destination
from proxy.server.answers.failures import error_response
from proxy.server.answers.passthrough import pass_answer
from proxy.server.answers.progress import Progress
from proxy.server.answers.silence import LAST_WORD
from proxy.server.clients.exchange import Exchange
from proxy.server.clients.headers import asking_uncompressed, passing
from proxy.server.upstreams.answer import Answer
from proxy.wire.bodies import rewrite_body
from proxy.wire.chunk import Origin
from proxy.wire.convert import StreamFolder, sniff
from proxy.wire.requests import Request

#: From this size on a body is rewritten beside the event loop, so that other streams do not wait for it.
_LARGE: Final = 256 * 1024


class WholeRelay:
    """One whole answer, from the upstream's socket to the client's.

    Args:
        request: the client's.
        there: who answers it, and how that is treated.
        wanted: the facts of the request.
        origin: a random token and the time.
    """

    def __init__(self, request: Exchange, there: Destination, wanted: Request, origin: Origin):
        self._request = request
        self._record = request.record
        self._upstream = there.upstream
        self._plan = there.plan
        self._bounds = there.bounds
        self._wanted = wanted
        self._origin = origin

    async def run(self, body: bytes | None) -> web.StreamResponse:
        """Ask the upstream, and answer the client.

        Args:
            body: of the request, as the upstream shall get it; None: it has none.

        Raises:
            UpstreamError: there is no answer at all.
            ConnectionResetError: the client has gone.
        """
        async with await self._ask(self._request.target, body) as answer:
            if answer.status == web.HTTPNoContent.status_code or 300 <= answer.status < 400:
                return await pass_answer(self._request, answer)
            kept = answer.head.without_body
            try:
                if not 200 <= answer.status < 300:
                    raise await answer.reported()
                return _json(await self._read(answer), answer.status, kept)
            except UpstreamError as error:
                self._record.fail(error)
                return error_response(error, kept)

    async def fetch(self, target: str) -> bytes:
        """Ask for something of the proxy's own, and return the body as it would leave.

        Args:
            target: path and query.

        Raises:
            UpstreamError: there is no answer, or it is an error.
        """
        async with await self._ask(target, None) as answer:
            if not 200 <= answer.status < 300:
                raise await answer.reported()
            return await self._read(answer)

    async def _ask(self, target: str, body: bytes | None) -> Answer:
        request = self._request
        return await self._upstream.ask(
            request.method,
            target,
            headers=asking_uncompressed(request),
            body=body,
            decode=True,
            passing=passing(request),
            written=request.admission.written,
        )

    async def _read(self, answer: Answer) -> bytes:
        """Return the body of an answer as it leaves.

        Raises:
            UpstreamError: it is an error, or broke off, or cannot be understood.
        """
        content_type = answer.headers.get("Content-Type", "")
        progress = Progress(answer, self._upstream.host, self._upstream.settings.timeouts)
        first, kind = b"", None
        while kind is None:
            data = await progress.read()
            first += data
            kind = sniff(content_type, first, at_end=not data)
            if kind != "events":
                progress.note_body(data)
        if kind == "events":
            return await self._folded(first, progress)
        body, data = bytearray(), first
        while data:
            body += data
            if 0 < self._bounds.body < len(body):
                raise UpstreamMalformed(f"The upstream's answer is longer than {self._bounds.body} bytes.")
            data = await progress.read()
            progress.note_body(data)
        return await self._rewritten(bytes(body), content_type)

    async def _rewritten(self, body: bytes, content_type: str) -> bytes:
        given = body, self._wanted, self._origin, self._plan, content_type
        rewriting = None
        if len(body) >= _LARGE:
            with suppress(RuntimeError):  # the system gives no thread: others have to wait, then
                rewriting = asyncio.get_running_loop().run_in_executor(None, rewrite_body, *given)
        rewritten, repairs = rewrite_body(*given) if rewriting is None else await rewriting
        self._record.count(self._upstream.name, repairs)
        return rewritten

    async def _folded(self, first: bytes, progress: Progress) -> bytes:
        """Fold a stream, which nobody asked for, into a body."""
        folder = StreamFolder(
            self._wanted,
            self._origin,
            self._plan,
            event_limit=self._bounds.event,
            body_limit=self._bounds.body,
        )
        folder.receive_data(first)
        try:
            async with asyncio.timeout(None) as patience:
                while not folder.ended:
                    if folder.done and patience.when() is None:
                        patience.reschedule(asyncio.get_running_loop().time() + LAST_WORD)
                    data = await progress.read()
                    if not data:
                        break
                    folder.receive_data(data)
                    progress.note(folder.events_in, begun=folder.begun)
        except TimeoutError:
            pass  # no usage came, and no end
        except UpstreamError as error:
            return self._folded_up(folder, folder.receive_failure(error))
        return self._folded_up(folder, folder.receive_eof())

    def _folded_up(self, folder: StreamFolder, body: bytes) -> bytes:
        self._record.count(self._upstream.name, folder.repairs)
        return body


def _json(body: bytes, status: int, headers: Mapping[str, str]) -> web.Response:
    response = web.Response(body=body, status=status, headers=headers)
    response.content_type = "application/json"
    return response
