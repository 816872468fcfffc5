"""What is known of one request when it ends: one object, which the access log and the metrics read.

Whoever knows something writes it down once, at the end of its own work; nothing here is called for a frame.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

from proxy.errors import (
    ClientError,
    Overloaded,
    Stopped,
    StraightwireError,
    Unauthenticated,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnreachable,
    forget_frames,
)
from proxy.server.answers.pace import Pace
from proxy.wire.rewriter import StreamRewriter

REQUEST_ID: Final = "X-Request-ID"
#: In a client's own request id is nothing that could break a line or a header.
_SANE: Final = re.compile(r"[\w.:/+=@-]{1,128}", re.ASCII)

COMPLETE: Final = "complete"
CLIENT_GONE: Final = "client_gone"
INTERNAL_ERROR: Final = "internal_error"
#: Endings that are nobody's failure but the client's own.
USUAL: Final = frozenset({COMPLETE, CLIENT_GONE, "refused", "unauthenticated"})
#: The most that is shown of what a client chose, in characters.
_SHOWN: Final = 128
#: The status of a request whose client left before it got one; nginx counts them so, too.
CLIENT_CLOSED_REQUEST: Final = 499


@dataclass(slots=True, eq=False)
class Record:
    """One request.

    Attributes:
        request_id: the client's own where it is sane, else a new one.
        method: of the request.
        path: of the request, without the query, which may hold keys.
        began: when its head had come, by the event loop's clock.
        client: the name that the configuration gives to the key of the client's.
        endpoint: which kind of request it is, in a word of ours.
        upstream: the name of the one that answers; empty where none, or all of them, did.
        model: what the client calls it.
        stream: the answer is rewritten event by event.
        status: what the client got.
        outcome: how it ended; empty while it runs.
        reason: why, where that can be told without telling what was asked or answered.
        events_in: events of the upstream's that said something.
        events_out: frames for the client.
        bytes_out: of the answer's body.
        seconds: from `began` to the end.
        pace: when the events of a stream came.
        repairs: how often each one acted, by the upstream's name, then by its own.
        defect: the exception that nobody had thought of.
        response: the one whose head has left; None before.
    """

    request_id: str
    method: str
    path: str
    began: float
    client: str | None = None
    endpoint: str = "other"
    upstream: str = ""
    model: str | None = None
    stream: bool = False
    status: int = CLIENT_CLOSED_REQUEST
    outcome: str = ""
    reason: str | None = None
    events_in: int = 0
    events_out: int = 0
    bytes_out: int = 0
    seconds: float = 0.0
    pace: Pace | None = None
    repairs: dict[str, dict[str, int]] = field(default_factory=dict)
    defect: Exception | None = None
    response: web.StreamResponse | None = None

    @property
    def first_event(self) -> float | None:
        """Seconds from the request to the first event of its answer; None where none came."""
        if self.pace is None or self.pace.first is None:
            return None
        return self.pace.first - self.began

    def count(self, upstream: str, repairs: Mapping[str, int]) -> None:
        """Add what has been repaired in an answer of an upstream's."""
        if not repairs:
            return
        counted = self.repairs.get(upstream)
        if counted is None:
            self.repairs[upstream] = dict(repairs)
            return
        for name, times in repairs.items():
            counted[name] = counted.get(name, 0) + times

    def streamed(self, rewriter: StreamRewriter, pace: Pace, size: int) -> None:
        """Take what became of a stream, of which so many bytes have been sent."""
        report = rewriter.report
        self.count(self.upstream, report.repairs)
        self.events_in, self.events_out = report.events_in, report.events_out
        self.bytes_out += size
        self.pace = pace
        if rewriter.failure is not None:
            self.fail(rewriter.failure)
        elif rewriter.ended:
            self.outcome = COMPLETE

    def fail(self, error: StraightwireError) -> None:
        """Take the error that the request ends with."""
        forget_frames(error)
        self.outcome = _outcome(error)
        if isinstance(error, UpstreamError):
            self.count(self.upstream, error.repairs)
        if isinstance(error, UpstreamUnreachable | UpstreamTimeout):
            self.reason = str(error)  # others may quote the upstream

    def end(self, response: web.StreamResponse | None, now: float) -> None:
        """Take the end of the request, and the response that it got; None: it was broken off."""
        self.seconds = now - self.began
        if response is None:
            return
        self.status = response.status
        self.outcome = self.outcome or COMPLETE
        if response.prepared:
            return  # whoever began it has counted what it sent; and to ask for its class takes longer
        if isinstance(response, web.Response) and isinstance(response.body, bytes):
            self.bytes_out += len(response.body)


def is_sane(request_id: str) -> bool:
    """Tell whether a client's own request id can be taken over."""
    return _SANE.fullmatch(request_id) is not None


def shown(text: str) -> str:
    """Return what a client chose in a form that breaks no line, and is not long."""
    text = text if text.isprintable() else ascii(text)[1:-1]
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def _outcome(error: StraightwireError) -> str:
    match error:
        case UpstreamError() | Stopped():
            return error.outcome
        case Overloaded():
            return "overloaded"
        case Unauthenticated():
            return "unauthenticated"
        case ClientError():
            return "refused"
    return INTERNAL_ERROR
