"""OpenTelemetry: a span for each request, where the configuration wants them.

Everything else about them (where they go, how many are kept) is told by OpenTelemetry's own variables,
OTEL_EXPORTER_OTLP_ENDPOINT first of all. The packages are an extra, and only loaded here.
"""

import asyncio
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, Final

from aiohttp import hdrs

from proxy import __version__
from proxy.errors import ConfigurationError
from proxy.server.clients.exchange import Exchange
from proxy.server.operator.record import USUAL, Record, shown

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

_SERVICE: Final = "straightwire"
#: What OpenTelemetry calls a service that nobody has named.
_UNNAMED: Final = "unknown_service"
#: Seconds for the last spans to be sent at the end.
_LAST_WORDS: Final = 2.0
#: The words of OpenTelemetry's conventions for generative models; other endpoints have none.
_OPERATIONS: Final = {"chat": "chat", "completions": "text_completion", "embeddings": "embeddings"}


class Tracing:
    """Makes the spans, and sends them in the background.

    Raises:
        ConfigurationError: the packages of the extra are not there.
    """

    def __init__(self) -> None:
        self._provider = _provider()
        self._tracer = self._provider.get_tracer(_SERVICE, __version__)
        self._spans: dict[Record, tuple[Span, int]] = {}  # with the time at which it began

    def begin(self, request: Exchange) -> None:
        """Begin a request's span; it stands in the trace that the request comes from, if it names one."""
        from opentelemetry import propagate
        from opentelemetry.trace import SpanKind, set_span_in_context

        since = asyncio.get_running_loop().time() - request.record.began
        began = time.time_ns() - int(since * 1e9)
        context = propagate.extract(request.headers)
        span = self._tracer.start_span("request", context, SpanKind.SERVER, start_time=began)
        carrier: dict[str, str] = {}
        propagate.inject(carrier, set_span_in_context(span, context))
        request.propagated = carrier
        self._spans[request.record] = span, began

    def end(self, record: Record) -> None:
        """End the span of a request that has ended; one that was no HTTP has none."""
        if (begun := self._spans.pop(record, None)) is not None:
            span, began = begun
            if span.is_recording():
                _describe(span, record, began)
            span.end()

    async def close(self) -> None:
        """Send what is left, if that can be done soon."""
        closed = asyncio.Event()
        loop = asyncio.get_running_loop()

        def close() -> None:
            self._provider.shutdown()
            with suppress(RuntimeError):  # the loop has not waited so long
                loop.call_soon_threadsafe(closed.set)

        # A thread of its own: the end of the process waits for those of the loop, however long that takes.
        threading.Thread(target=close, daemon=True).start()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS):
                await closed.wait()


def require() -> None:
    """Raise ConfigurationError where the packages of the extra are not there."""
    try:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter
        import opentelemetry.sdk.trace.export  # noqa: F401 - to see whether it is there
    except ImportError as error:
        raise ConfigurationError(
            "tracing: needs packages that are not installed; pip install 'straightwire[otel]', or write false"
        ) from error


def _provider() -> "TracerProvider":
    require()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def _resource() -> "Resource":
    """Return who sends the spans: what the variables say, and our name where they say none."""
    from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource

    told = Resource.create({SERVICE_VERSION: __version__})
    if str(told.attributes.get(SERVICE_NAME, _UNNAMED)).startswith(_UNNAMED):
        told = told.merge(Resource({SERVICE_NAME: _SERVICE}))
    return told


def _describe(span: "Span", record: Record, began: int) -> None:
    """Say in a span what the log says of the request: never a prompt, an answer or a key."""
    from opentelemetry.trace import Status, StatusCode

    method = record.method if record.method in hdrs.METH_ALL else "HTTP"
    span.update_name(f"{method} {record.endpoint}")
    span.set_attributes({key: value for key, value in _attributes(record).items() if value is not None})
    if record.first_event is not None:
        # The event loop's clock counts milliseconds, and a short answer takes less: nothing comes after now.
        came = min(began + int(record.first_event * 1e9), time.time_ns())
        span.add_event("first event", timestamp=came)
    if record.outcome not in USUAL:
        span.set_attribute("error.type", record.outcome)
        span.set_status(Status(StatusCode.ERROR, record.reason))


def _attributes(record: Record) -> Mapping[str, str | int | list[str] | None]:
    """Return the attributes, under the names of OpenTelemetry's conventions where they have one."""
    return {
        "http.request.method": shown(record.method),
        "url.path": shown(record.path),
        "http.response.status_code": record.status,
        "gen_ai.operation.name": _OPERATIONS.get(record.endpoint),
        "gen_ai.request.model": None if record.model is None else shown(record.model),
        "straightwire.request_id": record.request_id,
        "straightwire.client": record.client,
        "straightwire.upstream": record.upstream or None,
        "straightwire.outcome": record.outcome,
        "straightwire.bytes": record.bytes_out,
        "straightwire.events_in": record.events_in if record.stream else None,
        "straightwire.events_out": record.events_out if record.stream else None,
        "straightwire.repairs": sorted({*chain.from_iterable(record.repairs.values())}) or None,
    }
