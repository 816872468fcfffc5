"""Spans: what a collector is told of requests, and the trace that upstream and client share."""

import builtins
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from proxy.errors import ConfigurationError
from proxy.server.app import Proxy
from tests.plain_client import PlainClient
from tests.scripted import EMPTY, LAST_CHUNK, STREAM_HEAD, Script, Scripted, Talk, chunk, soon
from tests.server.running import configured, running
from tests.server.streams import ONE, PATH, QUESTION, ROLE, WHOLE, answers, serves, stays

STREAM = (STREAM_HEAD, *map(chunk, WHOLE), LAST_CHUNK)
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector(Scripted):
    """Takes spans, as OpenTelemetry's collector does."""

    def __init__(self) -> None:
        super().__init__(serves(EMPTY))

    @property
    def exports(self) -> Iterator[ExportTraceServiceRequest]:
        for request in self.requests:
            assert request.target == "/v1/traces"
            yield ExportTraceServiceRequest.FromString(request.body)

    @property
    def spans(self) -> list[Span]:
        sources = [source for export in self.exports for source in export.resource_spans]
        return [span for source in sources for scope in source.scope_spans for span in scope.spans]


def attributes(holder: Any) -> dict[str, object]:
    def plain(value: AnyValue) -> object:
        if value.HasField("array_value"):
            return [item.string_value for item in value.array_value.values]
        return value.string_value or value.int_value

    return {attribute.key: plain(attribute.value) for attribute in holder.attributes}


@pytest.fixture
def telemetry(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.delenv("OTEL_SDK_DISABLED", raising=False)
    return monkeypatch


@asynccontextmanager
async def traced(
    telemetry: pytest.MonkeyPatch, *scripts: Script, **settings: object
) -> AsyncIterator[tuple[Collector, Scripted, PlainClient]]:
    """Run all that is needed; the collector has the spans once the proxy has stopped."""
    async with Collector() as collector, Scripted(*scripts) as upstream:
        telemetry.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        async with (
            running(upstream, tracing=True, **settings) as proxy,
            PlainClient(proxy.url) as client,
        ):
            yield collector, upstream, client


async def test_span_of_a_stream(telemetry):
    repeated = ONE.replace(b'"delta":{', b'"delta":{"role":"assistant",')
    data = [ROLE, repeated, *WHOLE[2:]]
    script = serves(STREAM_HEAD, *map(chunk, data), LAST_CHUNK)
    keys = {"api_keys": [{"name": "alice", "key": "sk-secret"}]}
    async with traced(telemetry, script, clients=keys) as (collector, _, client):
        question = QUESTION | {"messages": [{"role": "user", "content": "secret"}]}
        await client.post(f"{PATH}?key=secret", question, Authorization="Bearer sk-secret")
        head = await client.head()
        await client.chunks()

    (span,) = collector.spans
    assert (span.name, span.kind) == ("POST chat", Span.SPAN_KIND_SERVER)
    expected = {
        "http.request.method": "POST",
        "url.path": PATH,
        "http.response.status_code": 200,
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "m",
        "straightwire.request_id": head.headers["x-request-id"],
        "straightwire.client": "alice",
        "straightwire.upstream": "local",
        "straightwire.outcome": "complete",
        "straightwire.events_in": 6,
        "straightwire.events_out": 6,
        "straightwire.repairs": ["repeated-role"],
    }
    assert attributes(span) | expected == attributes(span)
    (first,) = span.events
    assert first.name == "first event"
    assert span.start_time_unix_nano <= first.time_unix_nano <= span.end_time_unix_nano
    assert span.status.code == Status.STATUS_CODE_UNSET
    assert "secret" not in repr(collector.requests)


async def test_first_event_is_within_the_span_though_the_loops_clock_is_ahead(telemetry, clock):
    async def script(talk: Talk) -> None:
        await talk.receive()
        clock.advance(5)
        await talk.send(*STREAM)

    async with traced(telemetry, script) as (collector, _, client):
        await client.post(PATH, QUESTION)
        await client.head()
        await client.chunks()

    (span,) = collector.spans
    (first,) = span.events
    assert span.start_time_unix_nano <= first.time_unix_nano <= span.end_time_unix_nano


async def test_trace_joins_client_and_upstream(telemetry):
    async with traced(telemetry, serves(*STREAM)) as (collector, upstream, client):
        parent = f"00-{TRACE}-{PARENT}-01"
        await client.post(PATH, QUESTION, Traceparent=parent, Tracestate="a=b")
        await client.head()
        await client.chunks()

    (span,) = collector.spans
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
    sent = upstream.requests[0].headers
    assert sent["traceparent"] == f"00-{TRACE}-{span.span_id.hex()}-01"
    assert sent["tracestate"] == "a=b"


async def test_client_that_wants_no_span_gets_none(telemetry):
    async with traced(telemetry, serves(EMPTY)) as (collector, upstream, client):
        await client.request("GET", "/x", Traceparent=f"00-{TRACE}-{PARENT}-00")
        await client.head()

    assert collector.talks == []
    assert upstream.requests[0].headers["traceparent"].startswith(f"00-{TRACE}-")


@pytest.mark.parametrize(
    ("script", "status", "outcome"),
    [
        (answers(STREAM_HEAD), 502, "upstream_truncated"),
        (answers(STREAM_HEAD, chunk(ROLE)), 200, "upstream_truncated"),
    ],
)
async def test_failure_is_an_error(telemetry, script, status, outcome):
    async with traced(telemetry, script) as (collector, _, client):
        await client.post(PATH, QUESTION)
        await client.head()
        await client.leave()

    (span,) = collector.spans
    assert span.status.code == Status.STATUS_CODE_ERROR
    found = attributes(span)
    assert (found["http.response.status_code"], found["error.type"]) == (status, outcome)


async def test_request_that_is_refused_has_a_span_and_is_no_error(telemetry):
    async with traced(telemetry, stays(), clients={"api_keys": ["sk-1"]}) as (collector, _, client):
        await client.request("PROPFIND", "/x")
        await client.error()

    (span,) = collector.spans
    assert span.name == "HTTP other"
    assert span.status.code == Status.STATUS_CODE_UNSET
    assert attributes(span)["straightwire.outcome"] == "unauthenticated"


@pytest.mark.parametrize(
    ("variable", "name"), [({}, "straightwire"), ({"OTEL_SERVICE_NAME": "mine"}, "mine")]
)
async def test_sender_has_a_name(telemetry, variable, name):
    for key, value in variable.items():
        telemetry.setenv(key, value)
    async with traced(telemetry, serves(EMPTY)) as (collector, _, client):
        await client.request("GET", "/x")
        await client.head()

    (source,) = next(iter(collector.exports)).resource_spans
    assert attributes(source.resource)["service.name"] == name


async def test_collector_that_is_silent_holds_nothing_up(telemetry):
    async with Scripted(stays()) as collector, Scripted(serves(*STREAM)) as upstream:
        telemetry.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        telemetry.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
        telemetry.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
        async with running(upstream, tracing=True) as proxy, PlainClient(proxy.url) as client:
            await client.post(PATH, QUESTION)
            await client.head()
            assert await client.chunks() == WHOLE
            await soon(collector.called.wait())


async def test_without_spans_a_trace_passes_as_it_is():
    async with (
        Scripted(serves(EMPTY)) as upstream,
        running(upstream) as proxy,
        PlainClient(proxy.url) as client,
    ):
        await client.request("GET", "/x", Traceparent=f"00-{TRACE}-{PARENT}-01")
        await client.head()

    assert upstream.requests[0].headers["traceparent"] == f"00-{TRACE}-{PARENT}-01"


async def test_packages_that_are_missing_are_named(monkeypatch):
    really = builtins.__import__

    def without(name: str, *others: object) -> object:
        if name.startswith("opentelemetry"):
            raise ImportError(name)
        return really(name, *others)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigurationError, match=r"tracing: .*pip install 'straightwire\[otel\]'"):
        Proxy(configured("http://127.0.0.1:9", tracing=True))
    Proxy(configured("http://127.0.0.1:9"))
