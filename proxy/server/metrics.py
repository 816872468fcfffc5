"""What Prometheus is told: counted when a request ends, never for a frame.

Labels hold names of the configuration and words of ours, never what a client chooses.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import accumulate
from typing import Final, Protocol, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from proxy.server.pace import GAP_LIMITS, Pace
from proxy.server.record import Record

#: Upper limits of the classes for what takes as long as a model does, in seconds.
_LIMITS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)

_Labelled = TypeVar("_Labelled", Counter, Histogram)


class Metrics:
    """The metrics of one proxy, in a registry of their own.

    Args:
        streams: tells how many streams of an upstream run.
    """

    def __init__(self, streams: Callable[[str], int]):
        self._registry = registry = CollectorRegistry()
        self._requests = _kept(
            Counter(
                "straightwire_requests_total",
                "Requests that have ended, by the status that the client got (499: it had gone before).",
                ["upstream", "endpoint", "code"],
                registry=registry,
            )
        )
        self._streams = _kept(
            Counter(
                "straightwire_streams_total",
                "Streams that have ended, by how.",
                ["upstream", "outcome"],
                registry=registry,
            )
        )
        self._repairs = _kept(
            Counter(
                "straightwire_repairs_total",
                "Corrections of answers, by the name of the repair.",
                ["upstream", "repair"],
                registry=registry,
            )
        )
        self._first_event = _kept(
            Histogram(
                "straightwire_time_to_first_event_seconds",
                "From a request to the first event of its stream.",
                ["upstream"],
                buckets=_LIMITS,
                registry=registry,
            )
        )
        self._gaps = _Gaps()
        registry.register(self._gaps)
        self._seconds = _kept(
            Histogram(
                "straightwire_request_seconds",
                "From a request to the end of its answer.",
                ["upstream"],
                buckets=_LIMITS,
                registry=registry,
            )
        )
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
        self._requests(upstream, record.endpoint, str(record.status)).inc()
        self._seconds(upstream).observe(record.seconds)
        for (repaired, name), times in record.repairs.items():
            self._repairs(repaired, name).inc(times)
        if not record.stream:
            return
        self._streams(upstream, record.outcome).inc()
        if record.first_event is not None:
            self._first_event(upstream).observe(record.first_event)
        if record.pace is not None:
            self._gaps.add(upstream, record.pace)

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


def _kept(metric: _Labelled) -> Callable[..., _Labelled]:
    """Return what finds a metric's child with certain labels; the library takes its time, each time."""
    return cache(metric.labels)


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


class _Gaps(Collector):
    """A histogram that takes a stream's counts at once; the library's own takes them one by one."""

    def __init__(self) -> None:
        self._counts: dict[str, list[int]] = {}
        self._silent: dict[str, float] = {}

    def add(self, upstream: str, pace: Pace) -> None:
        """Add what was counted in a stream."""
        counts = self._counts.get(upstream, [0] * len(pace.gaps))
        self._counts[upstream] = [old + new for old, new in zip(counts, pace.gaps, strict=True)]
        self._silent[upstream] = self._silent.get(upstream, 0.0) + pace.silent

    def collect(self) -> Iterator[Metric]:
        """Return the histogram as it stands."""
        family = HistogramMetricFamily(
            "straightwire_event_gap_seconds",
            "The silences inside of streams, between reads that brought events.",
            labels=["upstream"],
        )
        limits = [*map(str, GAP_LIMITS), "+Inf"]
        for upstream, counts in self._counts.items():
            buckets = list(zip(limits, accumulate(counts), strict=True))
            family.add_metric([upstream], buckets, self._silent[upstream])
        yield family
