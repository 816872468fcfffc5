"""A stream that answers a request for a body, folded into that body.

The other direction needs no module: `StreamRewriter` takes a whole JSON body for
the one chunk that says everything.
"""

import re
from dataclasses import replace
from typing import Final, Literal, NoReturn

from proxy.errors import Stopped, UpstreamError, UpstreamMalformed
from proxy.wire import codec, framing
from proxy.wire.body_machine import BodyMachine, write
from proxy.wire.chunk import Origin, StreamState
from proxy.wire.folding import Folding
from proxy.wire.plan import Plan
from proxy.wire.requests import Request
from proxy.wire.rewriter import DEFAULT_EVENT_LIMIT, DONE_FRAME, StreamRewriter
from proxy.wire.sse import BOM

DEFAULT_BODY_LIMIT: Final = 64 * 1024 * 1024
#: What only a stream whose request asked for usage can lack: nobody asked for this one.
UNASKED: Final = frozenset({"missing-usage-null", "early-usage"})
_PREFIX: Final = len(b"data: ")
#: How many of an answer's bytes are looked at.
SNIFFED: Final = 64 * 1024
_FIELDS: Final = (b"data:", b"event:", b"id:", b"retry:", b"error:", b":")
_CHUNK: Final = re.compile(rb'"object"\s*:\s*"chat\.completion\.chunk"|"delta"\s*:')
_LINES: Final = ("ndjson", "jsonl", "json-seq", "json-lines")


class StreamFolder:
    """Folds one stream into a body.

    Args:
        request: the facts of the request, which asked for no stream.
        origin: a random token and the time.
        plan: the repairs that are on.
        event_limit: the greatest size of one upstream event in bytes; 0 means none.
        body_limit: the greatest size of the whole answer in bytes; 0 means none.

    Attributes:
        ended: the upstream has said that the stream is over; nothing more need be read.
        done: it has said so, but usage may still follow. Some servers send nothing more, not even the end.
        repairs: how often each repair acted, complete once the body was returned.

    Raises:
        UpstreamMalformed: answers of this endpoint cannot be streamed.
    """

    def __init__(
        self,
        request: Request,
        origin: Origin,
        plan: Plan,
        *,
        event_limit: int = DEFAULT_EVENT_LIMIT,
        body_limit: int = DEFAULT_BODY_LIMIT,
    ) -> None:
        self.ended = self.done = False
        self.repairs: dict[str, int] = {}
        if request.endpoint not in plan.steps:
            raise UpstreamMalformed("The upstream answered with a stream, where there is none to be had.")
        self._origin = origin
        self._plan = plan
        self._request = request
        self._limit = body_limit
        self._size = 0
        # Usage is asked for, since a body always reports it.
        asked = replace(request, stream=True, include_usage=True)
        self._rewriter = StreamRewriter(asked, origin, plan, event_limit=event_limit)
        self._folding = Folding(request.endpoint)

    @property
    def events_in(self) -> int:
        """How many events have come; pings and comments are none."""
        return self._rewriter.events_in

    @property
    def begun(self) -> bool:
        """The model has begun to speak."""
        return self._rewriter.begun

    def receive_data(self, data: bytes) -> None:
        """Take what one read brought, cut anywhere.

        Raises:
            UpstreamError: the stream is an error, or longer than the limit.
        """
        self._size += len(data)
        if self._limit and self._size > self._limit:
            self._fail(UpstreamMalformed(f"The upstream's answer is longer than {self._limit} bytes."))
        self._fold(self._rewriter.receive_data(data))

    def receive_eof(self) -> bytes:
        """Take the proper end of the upstream's body (or `ended`), and return the body that leaves.

        Raises:
            UpstreamError: the stream was not finished.
        """
        self._fold(self._rewriter.receive_eof())
        return self._body()

    def receive_failure(self, error: UpstreamError) -> bytes:
        """Take the news that the upstream's body broke off; return the body if all of it had come.

        Raises:
            UpstreamError: the stream was not finished.
        """
        self._fold(self._rewriter.receive_failure(error))
        return self._body()

    def _fold(self, frames: list[bytes]) -> None:
        if self._rewriter.failure is not None:
            self._fail(self._rewriter.failure)
        for frame in frames:
            if frame != DONE_FRAME:
                self._folding.add(codec.strict_loads(frame[_PREFIX:]))
        self.ended, self.done = self._rewriter.ended, self._rewriter.done

    def _body(self) -> bytes:
        self._count()
        stream = StreamState(self._request, self._origin, is_body=True, repairs=self.repairs)
        body = self._folding.body()
        try:
            BodyMachine(stream, self._plan).repair(body)
        except UpstreamError as error:
            self._fail(error)
        return write(body)

    def _count(self) -> None:
        counts = {"stream-for-body": 1} | self._rewriter.report.repairs
        for name in UNASKED:
            counts.pop(name, None)
        if "incomplete-usage" not in counts:  # there was usage, if not in a chunk of its own
            counts.pop("missing-usage", None)
        elif "missing-usage" in counts:
            del counts["incomplete-usage"]
        self.repairs = counts

    def _fail(self, error: UpstreamError | Stopped) -> NoReturn:
        if not self.repairs:
            self._count()
        if isinstance(error, UpstreamError):
            error.repairs = self.repairs
        raise error


def sniff(content_type: str, first: bytes, *, at_end: bool = False) -> Literal["events", "body"] | None:
    """Tell a stream from a body, by its first bytes rather than by its Content-Type, which may lie.

    Args:
        content_type: the answer's Content-Type; "" where it has none.
        first: the first bytes of the answer.
        at_end: there are no more.

    Returns:
        What `StreamFolder` takes, or what `rewrite_body` takes; None while more bytes are needed.
    """
    text = first[:SNIFFED].removeprefix(BOM).lstrip()
    undecided: Literal["body"] | None = None if len(first) < SNIFFED and not at_end else "body"
    if not text or BOM.startswith(first):
        return undecided
    if any(kind in content_type.lower() for kind in _LINES) or text.startswith(_FIELDS):
        return "events"
    if text[:1] not in b"{[":
        if any(field.startswith(text) for field in _FIELDS):
            return undecided
        return "events" if "event-stream" in content_type.lower() else "body"
    line, newline, rest = text.partition(b"\n")
    if not newline:
        return undecided
    if framing.is_object(line) and (_CHUNK.search(line) or rest.lstrip()[:1] == b"{"):
        return "events"
    return undecided if framing.is_object(line) and not rest.strip() else "body"
