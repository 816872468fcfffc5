"""An upstream's answer, read as it comes, whichever road its body takes."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Protocol, Self

from multidict import CIMultiDict

from proxy.config.schema import Timeouts
from proxy.errors import UpstreamError, UpstreamMalformed, UpstreamTimeout, UpstreamTruncated
from proxy.server.alarms import TimeLimit
from proxy.server.upstreams.answer_heads import Head, fault_of
from proxy.server.upstreams.locations import bring_home
from proxy.wire.bodies import reported_error
from proxy.wire.reported import HIDDEN

#: What is read of an upstream's error, in bytes; what matters stands at its beginning.
_ERROR_LIMIT: Final = 65536


class Taker(Protocol):
    """Who takes the body of an answer."""

    def take(self, data: bytes) -> bool:
        """Take what `Answer.read` would return; say whether more can come at once."""

    def take_chunk(self, data: bytes) -> bool:
        """Take a read that begins with a chunk, chunk and all; or say that it has to come by `take`."""


class Reply(Protocol):
    """What an answer comes with, whichever the road: its head, and a way to let go of it."""

    @property
    def head(self) -> Head:
        """As it came."""

    def close(self) -> None:
        """Close the connection, unless it has been given back."""

    async def leave(self) -> None:
        """Give the connection back, if the answer has come whole; close it otherwise."""


@dataclass(frozen=True, slots=True)
class Source:
    """An upstream, as far as its answers have to know it.

    Attributes:
        host: for messages.
        base: the URL that all of its own begin with.
        timeouts: how long an answer may be silent; `read` alone does not mind them.
        secrets: what a report of an error must not repeat; some servers name the key that they refuse.
    """

    host: str
    base: str
    timeouts: Timeouts
    secrets: tuple[bytes, ...]


class Answer(ABC):
    """One answer, its body still to be read. Leaving its `async with` early closes the connection at once.

    Args:
        head: of the answer.
        source: who gave it.

    Attributes:
        head: of the answer.
        arrived: its whole body, where that has come with the head and need not be read; None: it must be.
    """

    __slots__ = ("_failure", "_source", "_taken", "head")

    arrived: bytes | None = None

    def __init__(self, head: Head, source: Source):
        self.head = head
        self._source = source
        self._taken = 0
        self._failure: UpstreamError | None = None

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.head.status

    @property
    def reason(self) -> str | None:
        """The words beside it."""
        return self.head.reason

    @property
    def headers(self) -> Mapping[str, str]:
        """The header fields, as they go on."""
        return self.head.headers

    async def __aenter__(self) -> Self:
        return self

    @abstractmethod
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    @abstractmethod
    async def read(self) -> bytes:
        """Return what has arrived, as soon as anything has; b"" at the proper end of the body.

        Raises:
            UpstreamTruncated: the body ended, but not properly. All that came before has been returned.
            UpstreamMalformed: it cannot be taken apart, or decoded; likewise.
            UpstreamError: whatever `give_up` was given.
        """

    async def read_in_time(self) -> bytes:
        """Return what has arrived, as `read` does, unless it takes longer than configured.

        Raises:
            UpstreamTimeout: it does.
            UpstreamTruncated: as for `read`.
        """
        limit = self._source.timeouts.idle if self._taken else self._source.timeouts.first_byte
        try:
            async with TimeLimit(limit):
                return await self.read()
        except TimeoutError:
            raise UpstreamTimeout(
                f"The upstream {self._source.host} stopped in its answer and sent nothing for {limit:g} s."
            ) from None

    async def forward(self, taker: Taker) -> None:
        """Hand over what arrives, as it arrives, until `taker` wants no more for now.

        Raises:
            UpstreamError: as from `read`.
        """
        while taker.take(await self.read()):
            pass

    async def reported(self) -> UpstreamError:
        """Return the error that this answer is, its status being no 2xx, in whatever form it came.

        What has come of it when it breaks off, or when the upstream has been silent for too long, is enough.
        """
        if self.status < 400:
            return UpstreamMalformed(
                f"The upstream {self._source.host} answered {self.status}, which says nothing here."
            )
        body = bytearray()
        try:
            async with TimeLimit(self._source.timeouts.idle):
                while len(body) < _ERROR_LIMIT and (data := await self.read()):
                    body += data
        except (UpstreamError, TimeoutError):
            pass  # the status, and what came of the reason, say more than that
        for secret in self._source.secrets:
            body = body.replace(secret, HIDDEN.encode())
        error, forms = reported_error(self.status, self.headers.get("Content-Type", ""), bytes(body))
        error.repairs = forms
        error.retry_after = self.headers.get("Retry-After")
        return error

    @property
    @abstractmethod
    def waiting(self) -> bool:
        """Something has arrived that has not been read."""

    @property
    @abstractmethod
    def over(self) -> bool:
        """All of it has been read: what `read` has to tell of its end it tells at once."""

    @abstractmethod
    def conclude(self) -> None:
        """Take the news that all that matters of the body has been read, though perhaps not its end."""

    @abstractmethod
    def give_up(self, failure: UpstreamError) -> None:
        """Close the connection; a `read` that waits, or the next one, raises `failure`."""

    def _broken_chunks(self) -> UpstreamMalformed:
        return UpstreamMalformed(f"The chunks of the answer of the upstream {self._source.host} are broken.")

    def _broken_off(self) -> UpstreamTruncated:
        return UpstreamTruncated(f"The upstream {self._source.host} broke off its answer.")


def examined(reply: Reply, source: Source, *, decode: bool) -> Head:
    """Return the head of an answer as it goes on.

    Args:
        reply: the answer, which is closed where that is not possible.
        source: who gave it.
        decode: its body has to be read here.

    Raises:
        UpstreamMalformed: there is nothing to build on.
    """
    head = reply.head
    if fault := fault_of(head.status, head.reason, head.headers, decode=decode):
        reply.close()
        raise UpstreamMalformed(f"The upstream {source.host} {fault}.")
    headers = CIMultiDict(head.headers)
    bring_home(headers, source.base)
    return Head(head.status, head.reason, headers)
