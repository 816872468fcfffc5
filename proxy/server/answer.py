"""An upstream's answer, read as it comes, with aiohttp's client underneath.

Three of its habits end here, that a stream cannot live with: it waits for ever on a body whose chunks are
broken, takes a reset for the end of a body without a length, and hides what came before a failure behind it.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Final, Protocol, Self

import aiohttp
from aiohttp.connector import Connection as Lease

from proxy.config.schema import Timeouts
from proxy.errors import UpstreamError, UpstreamMalformed, UpstreamTimeout, UpstreamTruncated
from proxy.server.headers import Headers
from proxy.wire.bodies import reported_error

#: What is read of an upstream's error, in bytes; what matters stands at its beginning.
_ERROR_LIMIT: Final = 65536
_HIDDEN: Final = b"[hidden]"

#: Takes what one read brought; says whether more can come at once.
Take = Callable[[bytes], bool]


class Reply(Protocol):
    """What is needed of an `aiohttp.ClientResponse`."""

    @property
    def status(self) -> int:
        """The HTTP status."""

    @property
    def reason(self) -> str | None:
        """The words beside it."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The header fields as they came."""

    @property
    def content(self) -> aiohttp.StreamReader:
        """The body."""

    @property
    def connection(self) -> Lease | None:
        """Which it comes on; None once it has been given back, or closed."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def close(self) -> None:
        """Close the connection, unless it has been given back."""


class Answer:
    """One answer, its body still to be read. Leaving its `async with` early closes the connection at once.

    Args:
        response: aiohttp's, or the like of it.
        host: the upstream's, for messages.
        headers: of the answer, as they go on.
        timeouts: how long it may be silent; `read` alone does not mind them.

    Attributes:
        status: the HTTP status.
        reason: the words beside it.
        headers: as they came, but that they send nobody to where only we can go.
        secrets: what a report of an error must not repeat; some servers name the key that they refuse.
    """

    def __init__(self, response: Reply, host: str, headers: Headers, timeouts: Timeouts):
        self.status = response.status
        self.reason = response.reason
        self.headers = headers
        self.secrets: Sequence[bytes] = ()
        self._response = response
        self._content = response.content
        self._host = host
        self._timeouts = timeouts
        self._taken = 0
        self._failure: UpstreamError | None = None
        self._closed: asyncio.Future[None] | None = None
        if response.connection is not None and response.connection.protocol is not None:
            self._watch(response.connection.protocol)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._closed is not None:
            self._closed.remove_done_callback(self._connection_closed)
        connection = self._response.connection
        if connection is not None and connection.transport is not None and not self._content.is_eof():
            # Not a polite close: that one would wait until the upstream has read all of the request.
            connection.transport.abort()
        await self._response.__aexit__(kind, error, trace)

    async def read(self) -> bytes:
        """Return what has arrived, as soon as anything has; b"" at the proper end of the body.

        Raises:
            UpstreamTruncated: the body ended, but not properly. All that came before has been returned.
            UpstreamMalformed: it cannot be taken apart, or decoded; likewise.
            UpstreamError: whatever `give_up` was given.
        """
        data = b""
        if self._failure is None:
            try:
                data = await self._content.readany()
                if not data and (ending := self._content.exception()):
                    data = self._fail(ending)
            except (aiohttp.ClientError, OSError) as error:
                data = self._fail(error)
            self._taken += len(data)
        if not data and self._failure is not None:
            raise self._failure
        return data

    async def read_in_time(self) -> bytes:
        """Return what has arrived, as `read` does, unless it takes longer than configured.

        Raises:
            UpstreamTimeout: it does.
            UpstreamTruncated: as for `read`.
        """
        limit = self._timeouts.idle if self._taken else self._timeouts.first_byte
        try:
            async with asyncio.timeout(limit or None):
                return await self.read()
        except TimeoutError:
            raise UpstreamTimeout(
                f"The upstream {self._host} stopped in its answer and sent nothing for {limit:g} s."
            ) from None

    async def forward(self, take: Take) -> None:
        """Hand over what arrives, as it arrives, until `take` wants no more for now.

        Args:
            take: is given what `read` would return; says whether it can be given more at once.

        Raises:
            UpstreamError: as from `read`.
        """
        while take(await self.read()):
            pass

    async def reported(self) -> UpstreamError:
        """Return the error that this answer is, its status being no 2xx, in whatever form it came.

        What has come of it when it breaks off, or when the upstream has been silent for too long, is enough.
        """
        if self.status < 400:
            return UpstreamMalformed(
                f"The upstream {self._host} answered {self.status}, which says nothing here."
            )
        body = bytearray()
        try:
            async with asyncio.timeout(self._timeouts.idle or None):
                while len(body) < _ERROR_LIMIT and (data := await self.read()):
                    body += data
        except (UpstreamError, TimeoutError):
            pass  # the status, and what came of the reason, say more than that
        for secret in self.secrets:
            body = body.replace(secret, _HIDDEN)
        error, forms = reported_error(self.status, self.headers.get("Content-Type", ""), bytes(body))
        error.repairs = forms
        error.retry_after = self.headers.get("Retry-After")
        return error

    @property
    def waiting(self) -> bool:
        """Something has arrived that has not been read."""
        return self._content.total_bytes > self._taken

    def conclude(self) -> None:
        """Take the news that all that matters of the body has been read, though perhaps not its end."""

    def give_up(self, failure: UpstreamError) -> None:
        """Close the connection; a `read` that waits, or the next one, raises `failure`."""
        self._failure = failure
        self._response.close()

    def _watch(self, protocol: aiohttp.client_proto.ResponseHandler) -> None:
        protocol.read_timeout = None  # it was for the first byte; silence inside an answer is not its matter
        protocol.start_timeout()
        self._closed = protocol.closed
        if self._closed is not None:
            self._closed.remove_done_callback(_acknowledge)
            self._closed.add_done_callback(_acknowledge)
            self._closed.add_done_callback(self._connection_closed)

    def _connection_closed(self, closed: "asyncio.Future[None]") -> None:
        """Tell the reader of an end that aiohttp keeps to itself.

        Its parser lets go of a body at a fault in the chunks, whose reader then waits for ever; and it takes
        a reset for the end of a body that ends with the connection.
        """
        if self._content.exception() is not None:
            return
        error = closed.exception()
        headers = self.headers
        until_closed = "Content-Length" not in headers and "Transfer-Encoding" not in headers
        if error is not None and (until_closed or not self._content.is_eof()):
            self._content.set_exception(aiohttp.ClientPayloadError(str(error)))
        elif not self._content.is_eof():
            self._content.set_exception(_BrokenChunks())

    def _fail(self, error: BaseException) -> bytes:
        """Note the failure; return what arrived before it, which aiohttp keeps, but hides behind it."""
        if self._failure is None:
            self._failure = self._inside_the_answer(error)
        self._content.set_exception(None)  # type: ignore[arg-type]
        return self._content.read_nowait()

    def _inside_the_answer(self, error: BaseException) -> UpstreamError:
        if isinstance(error.__cause__, aiohttp.http_exceptions.ContentEncodingError):
            return UpstreamMalformed(f"The answer of the upstream {self._host} cannot be decoded.")
        if isinstance(error, _BrokenChunks):
            return self._broken_chunks()
        return self._broken_off()

    def _broken_chunks(self) -> UpstreamMalformed:
        return UpstreamMalformed(f"The chunks of the answer of the upstream {self._host} are broken.")

    def _broken_off(self) -> UpstreamTruncated:
        return UpstreamTruncated(f"The upstream {self._host} broke off its answer.")


class _BrokenChunks(aiohttp.ClientPayloadError):
    """What aiohttp does not tell the reader of a body."""


def _acknowledge(closed: "asyncio.Future[None]") -> None:
    """Look at the outcome: asyncio complains of exceptions that nobody has seen."""
    closed.exception()
