"""What Prometheus is told: counted when a request ends, never for a frame.

Labels hold names of the configuration and words of ours, never what a client chooses.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, Gauge, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from proxy.server.answers.pace import GAP_LIMITS
from proxy.server.operator.counts import Counts, Histogram
from proxy.server.operator.record import Record

#: Upper limits of the classes for what takes as long as a model does, in seconds.
_LIMITS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)


class Metrics:
    """The metrics of one proxy, in a registry of their own.

    Args:
        streams: tells how many streams of an upstream run.
    """

    def __init__(self, streams: Callable[[str], int]):
        self._registry = registry = CollectorRegistry()
        self._requests = Counts(
            "straightwire_requests_total",
            "Requests that have ended, by the status that the client got (499: it had gone before).",
            ["upstream", "endpoint", "code"],
        )
        self._streams = Counts(
            "straightwire_streams_total", "Streams that have ended, by how.", ["upstream", "outcome"]
        )
        self._repairs = Counts(
            "straightwire_repairs_total",
            "Corrections of answers, by the name of the repair.",
            ["upstream", "repair"],
        )
        self._first_event = Histogram(
            "straightwire_time_to_first_event_seconds",
            "From a request to the first event of its stream.",
            "upstream",
            _LIMITS,
        )
        self._gaps = Histogram(
            "straightwire_event_gap_seconds",
            "The silences inside of streams, between reads that brought events.",
            "upstream",
            GAP_LIMITS,
            dated=False,
        )
        self._seconds = Histogram(
            "straightwire_request_seconds",
            "From a request to the end of its answer.",
            "upstream",
            _LIMITS,
        )
        counted = self._requests, self._streams, self._repairs, self._first_event, self._gaps, self._seconds
        for collector in counted:
            registry.register(collector)
        self._up = Gauge(
            "straightwire_upstream_up",
            "1 if the upstream has answered when it was last asked for its health, else 0.",
            ["upstream"],
            registry=registry,
        )
        self._in_flight = _InFlight(streams)
        registry.register(self._in_flight)

    def __call__(self, record: Record) -> None:
        """Count a request that has ended."""
        upstream = record.upstream
        self._requests.add(upstream, (record.endpoint, record.status))
        self._seconds.observe(upstream, record.seconds)
        for repaired, repairs in record.repairs.items():
            self._repairs.add_all(repaired, repairs)
        if not record.stream:
            return
        self._streams.add(upstream, record.outcome)
        pace = record.pace
        if pace is None:
            return
        if pace.first is not None:
            self._first_event.observe(upstream, pace.first - record.began)
        self._gaps.add(upstream, pace.gaps, pace.silent)

    def follow(self, upstreams: Iterable[str]) -> None:
        """Show these upstreams; of others, only what is still counted."""
        for gone in self._in_flight.follow(set(upstreams)):
            self._up.remove(gone)

    def mark(self, upstream: str, *, up: bool) -> None:
        """Note whether an upstream lives."""
        self._up.labels(upstream).set(up)

    def collect(self) -> list[Metric]:
        """Return all that has been counted."""
        return list(self._registry.collect())


class Collected(Protocol):
    """What has metrics to show."""

    def collect(self) -> Iterable[Metric]:
        """Return them."""


def page(metrics: Collected, accept: str) -> tuple[bytes, str]:
    """Return metrics as they are scraped, and the content type of the form that `accept` asks for."""
    encode, content_type = choose_encoder(accept)
    return encode(metrics), content_type


class _InFlight(Collector):
    """The streams that run: those of upstreams that are configured, or were when the stream began."""

    def __init__(self, streams: Callable[[str], int]):
        self._upstreams: set[str] = set()
        self._known: set[str] = set()
        self._streams = streams

    def follow(self, upstreams: set[str]) -> set[str]:
        """Take the names of those that are configured now; return those that are no more."""
        gone, self._upstreams = self._upstreams - upstreams, upstreams
        self._known |= upstreams
        return gone

    def collect(self) -> Iterator[Metric]:
        """Return the gauge as it stands."""
        family = GaugeMetricFamily("straightwire_streams_in_flight", "Streams that run.", labels=["upstream"])
        for name in sorted(self._known):
            streams = self._streams(name)
            if streams or name in self._upstreams:
                family.add_metric([name], streams)
        yield family
