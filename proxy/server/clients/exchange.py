"""A client's request, from its head to the end of its answer: one object for all that is known of it."""

import asyncio
import os
from collections.abc import Callable, Mapping
from itertools import chain, repeat
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from aiohttp.http import HttpVersion11, RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from proxy.server.alarms import Alarm
from proxy.server.operator.record import REQUEST_ID, Record, is_sane
from proxy.wire.requests import Endpoint

if TYPE_CHECKING:
    from proxy.server.clients.admission import Admission
    from proxy.server.clients.recurring_head import RecurringHead
    from proxy.server.generation import Generation

#: Random bytes that a request id is made of; the token of the answer gets as many.
_DRAWN: Final = 16
#: How many of these are drawn at once.
_AT_ONCE: Final = 64

#: What is left of a head that nobody holds any more.
_GONE: Final = RawRequestMessage(
    *("", "/", HttpVersion11, CIMultiDictProxy(CIMultiDict()), (), False, None, False, False, URL("/"))
)

#: Completes the head of a response, right before it leaves; the request id has been put on it.
Complete = Callable[["Exchange", web.StreamResponse], None]


def _draw(times: int) -> list[str]:
    """Return random letters and digits, as many times as that."""
    drawn, length = os.urandom(times * _DRAWN).hex(), 2 * _DRAWN
    return [drawn[start : start + length] for start in range(0, len(drawn), length)]


#: Each is for one request alone. They are drawn before they are needed: to draw is a system call.
_drawn: Final = chain.from_iterable(map(_draw, repeat(_AT_ONCE)))


class Exchange(web.BaseRequest):
    """The request, as aiohttp hands it over, and what becomes of it.

    Args:
        arguments: aiohttp's own.
        complete: is given the response whose head is about to leave.

    Attributes:
        record: what the log and the metrics will tell.
        token: random letters and digits, for what is made up in the answer.
        generation: the configuration that it is answered by, to its end.
        endpoint: what it asks for; None: nothing that is ours to understand.
        model: the model that its path names, if it does.
        target: path and query towards the upstream, encoded as the client has sent them.
        patience: how long the client may be silent in the middle of its body, in seconds; 0: for ever.
        admission: what follows from its head.
        recurring: its head, where the connection remembers that.
        length: of its body towards the upstream, in bytes, where that is not what the client says.
        propagated: those that put the upstream into the same trace.
        inside: it holds one of the places that `limits.streams` counts.
    """

    generation: "Generation"
    endpoint: Endpoint | None = None
    model: str | None = None
    patience: float = 0.0
    admission: "Admission"
    recurring: "RecurringHead | None" = None
    length: str | None = None
    propagated: Mapping[str, str] = MappingProxyType({})
    inside: bool = False

    def __init__(self, *arguments: Any, complete: Complete):
        super().__init__(*arguments)
        self._complete = complete
        self.token = next(_drawn)
        given = self._headers.get(REQUEST_ID)
        self.record = Record(
            given if given and is_sane(given) else f"req_{next(_drawn)}",
            self._method,
            self._message.path.partition("?")[0],
            self._loop.time(),
        )
        self.target = self._message.path
        if not self.target.startswith("/"):  # a whole URL stood there; the host in it is ours
            target = self.rel_url.raw_path_qs
            self.target = target if target.startswith("/") else f"/{target}"

    def recall(self, head: "RecurringHead") -> None:
        """Take what the connection remembers of a head, if it is this one's."""
        if head.message is self._message:
            self.recurring = head

    def answering_task(self) -> "asyncio.Task[Any]":
        """Return the task that answers it, which is the current one."""
        # Not left to asyncio to find the loop: that costs a system call each time, up to Python 3.11.
        task = asyncio.current_task(self._loop)
        if task is None:
            raise RuntimeError("aiohttp serves requests in tasks")
        return task

    @property
    def alarm(self) -> Alarm:
        """One that serves for this answer, as it did for those before on the same connection."""
        return self._protocol.alarm  # type: ignore[attr-defined,no-any-return]  # it is a `ClientConnection`

    def now(self) -> float:
        """Return the time by the event loop's clock, in seconds."""
        return self._loop.time()

    def let_go(self) -> None:
        """Hold nothing any more of what the client has sent, if that has come whole: the answer lasts."""
        if not self._payload.is_eof():
            return
        self._message, self._headers, self._payload = _GONE, _GONE.headers, EMPTY_PAYLOAD
        self._cache.clear()
        self.recurring = None
        del self.admission

    async def _prepare_hook(self, response: web.StreamResponse) -> None:
        """Complete the head of a response that aiohttp is about to write."""
        response.headers[REQUEST_ID] = self.record.request_id  # over the upstream's own
        self.begin(response)

    def begin(self, response: web.StreamResponse) -> None:
        """Complete the head of the response, but for the request id. It leaves right after."""
        record = self.record
        record.response = response
        record.status = response.status
        self._complete(self, response)
