"""Whole bodies: the catalogue of streams, where it fits, and what only a body can have wrong.

A body in which nothing is wrong leaves with its own bytes.
"""

from typing import Any

from proxy.errors import UpstreamError, UpstreamMalformed, UpstreamReported
from proxy.wire import codec, framing, reported, vectors
from proxy.wire.body_machine import LISTS, BodyMachine, unwritable, write
from proxy.wire.charset import to_utf8
from proxy.wire.chunk import Origin, StreamState
from proxy.wire.plan import Plan
from proxy.wire.requests import Endpoint, Request
from proxy.wire.sse import BOM


def rewrite_body(
    body: bytes, request: Request, origin: Origin, plan: Plan, content_type: str = ""
) -> tuple[bytes, dict[str, int]]:
    """Rewrite the whole body of an answer whose status is 2xx.

    Args:
        body: as it came.
        request: the facts of the request that it answers.
        origin: a random token and the time.
        plan: the repairs that are on.
        content_type: the answer's Content-Type, which may name the text's encoding.

    Returns:
        The body that leaves (the very bytes that came where nothing is wrong), and how often
        each repair acted.

    Raises:
        UpstreamError: it is an error, or no such body. Its `repairs` has the counts.
    """
    stream = StreamState(request, origin, is_body=True)
    try:
        text = to_utf8(body, content_type)
        if text is not body:
            stream.count("foreign-charset")
        return _rewritten(text, stream, plan), stream.repairs
    except UpstreamError as error:
        error.repairs = stream.repairs
        reported.hide(error, plan.secrets)
        raise


def reported_error(status: int, content_type: str, body: bytes) -> tuple[UpstreamReported, dict[str, int]]:
    """Shape the body of an answer whose status is 400 or above, whatever its form.

    Args:
        status: the upstream's status, which stays.
        content_type: its Content-Type, which may name the text's encoding; "" where there is none.
        body: the body, as much of it as is worth reporting.

    Returns:
        The error, and how often each deviation was met.
    """
    body = to_utf8(body, content_type).removeprefix(BOM)
    forms = []
    if body.lstrip().startswith((b"data:", b"event:", b"error:")):
        decoder = framing.TolerantDecoder()
        events = [*decoder.feed(body), *decoder.finish()]
        forms.append("error-event")
        body = next((event.data for event in events if event.data.strip()), b"")
    error, met = reported.from_body(body, status)
    counts: dict[str, int] = {}
    for form in (*forms, *met):
        counts[form] = counts.get(form, 0) + 1
    return error, counts


def _rewritten(body: bytes, stream: StreamState, plan: Plan) -> bytes:
    own = body.removeprefix(BOM)
    if len(own) < len(body):
        stream.count("byte-order-mark")
    value, changed = _read(own, stream)
    if isinstance(value, list) and stream.request.endpoint in LISTS:
        stream.count("bare-list")
        value, changed = {"data": value}, True
    if not isinstance(value, dict):
        raise UpstreamMalformed("The upstream sent a body that is no JSON object.")
    changed |= BodyMachine(stream, plan).repair(value)
    return write(value) if changed else own


def _read(body: bytes, stream: StreamState) -> tuple[Any, bool]:
    """Parse a body; the second value says that it must be written anew.

    Raises:
        UpstreamError: it cannot be parsed, or should not, or is an error.
    """
    if codec.expands(body):
        raise UpstreamMalformed("The upstream sent a body of more values than can be read.")
    parse = vectors.read if stream.request.endpoint is Endpoint.EMBEDDINGS else codec.loads
    try:
        value, rough = parse(body)
    except codec.NotJSON:
        value, rough = codec.loads(_without_done(body, stream))
        body = b""
    if rough:
        stream.count("rough-json")
        value = _scrubbed(value)
    if isinstance(value, list) and value and isinstance(value[0], dict) and reported.is_error(value[0]):
        raise stream.counted(*reported.from_value(value))
    if isinstance(value, dict) and reported.is_error(value):
        if value.get("choices"):
            stream.count("error-in-chunk")
        raise stream.counted(*reported.from_value(value))
    return value, rough or not body


def _without_done(body: bytes, stream: StreamState) -> bytes:
    """Return the one JSON object of a body that is followed by a stream's end.

    Raises:
        UpstreamError: the body is something else.
    """
    pieces = framing.split(body) if body.lstrip()[:1] == b"{" else []
    if pieces and framing.is_object(pieces[0]) and pieces[1:] == [framing.DONE]:
        stream.count("bare-done")
        return pieces[0]
    text = body.decode("utf-8", "replace").strip()
    if not text:
        raise UpstreamMalformed("The upstream answered with an empty body.")
    if (quote := reported.broken_json(text)) is not None:
        raise UpstreamMalformed(f"The upstream answered with a body that is not valid JSON: {quote}")
    raise stream.counted(*reported.from_text(text))


def _scrubbed(value: Any) -> Any:
    try:
        return codec.scrub(value)
    except codec.NotJSON as error:
        raise unwritable(error) from None
