"""Our counters and histograms beside the library's own: the pages must be the same, to the byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, disable_created_metrics, enable_created_metrics
from prometheus_client import Histogram as LibrarysHistogram

from proxy.server.operator.counts import Counts, Histogram
from proxy.server.operator.metrics import page

LIMITS = (0.01, 0.5, 1, 600.0)
NAMES = st.sampled_from(["", "local", "ü", 'with"quote', "a\nb"])
AMOUNTS = st.one_of(st.sampled_from(LIMITS), st.floats(0, 1e6), st.just(0.0))
OPEN_METRICS = "application/openmetrics-text; version=1.0.0"


@pytest.fixture(autouse=True)
def at_one_moment(monkeypatch):
    monkeypatch.setattr("time.time", lambda: 1_790_000_000.25)


def shown(*collectors) -> list[bytes]:
    """Return the page in each of its forms."""
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    return [page(registry, accept)[0] for accept in ("", OPEN_METRICS)]


@given(st.lists(st.tuples(NAMES, NAMES)))
def test_counter(streams):
    told = "streams_total", "Streams.", ["upstream", "outcome"]
    ours, librarys = Counts(*told), Counter(*told, registry=None)
    for values in streams:
        ours.add(*values)
        librarys.labels(*values).inc()

    assert shown(ours) == shown(librarys)


@given(st.lists(st.tuples(NAMES, st.sampled_from(["chat", "other"]), st.sampled_from([200, 499]))))
def test_counter_with_more_labels(requests):
    told = "requests_total", "Requests.", ["upstream", "endpoint", "code"]
    ours, librarys = Counts(*told), Counter(*told, registry=None)
    for upstream, *rest in requests:
        ours.add(upstream, tuple(rest))
        librarys.labels(upstream, *rest).inc()

    assert shown(ours) == shown(librarys)


@given(st.lists(st.tuples(NAMES, st.dictionaries(NAMES, st.integers(0, 9)))))
def test_counter_of_many_at_once(answers):
    told = "repairs_total", "Repairs.", ["upstream", "repair"]
    ours, librarys = Counts(*told), Counter(*told, registry=None)
    for upstream, repairs in answers:
        ours.add_all(upstream, repairs)
        for name, times in repairs.items():
            librarys.labels(upstream, name).inc(times)

    assert shown(ours) == shown(librarys)


@given(st.lists(st.tuples(NAMES, AMOUNTS)))
def test_histogram(requests):
    told = "request_seconds", "They take."
    ours = Histogram(*told, "upstream", LIMITS)
    librarys = LibrarysHistogram(*told, ["upstream"], registry=None, buckets=LIMITS)
    for upstream, seconds in requests:
        ours.observe(upstream, seconds)
        librarys.labels(upstream).observe(seconds)

    assert shown(ours) == shown(librarys)


def test_histogram_takes_what_was_counted_elsewhere():
    ours, twin = (Histogram("gap_seconds", "Gaps.", "upstream", LIMITS) for _ in range(2))
    for seconds in (0.25, 0.5, 1000.0, 0.25):
        twin.observe("local", seconds)
    ours.add("local", [0, 2, 0, 0, 0], 0.75)
    ours.add("local", [0, 1, 0, 0, 1], 1000.25)
    ours.add("local", [], 0.0)

    assert shown(ours) == shown(twin)


def test_histogram_shows_where_nothing_was_counted():
    ours = Histogram("gap_seconds", "Gaps.", "upstream", LIMITS)
    librarys = LibrarysHistogram("gap_seconds", "Gaps.", ["upstream"], registry=None, buckets=LIMITS)
    ours.add("local", [], 0.0)
    librarys.labels("local")

    assert shown(ours) == shown(librarys)


def test_beginnings_are_shown_where_the_library_shows_its_own():
    counter, histogram = Counts("a_total", "A.", ["b", "c"]), Histogram("c", "C.", "d", LIMITS)
    undated = Histogram("e", "E.", "f", LIMITS, dated=False)
    counter.add("b", "c")
    histogram.observe("d", 1)
    undated.observe("f", 1)
    collectors = counter, histogram, undated

    assert [name in shown(*collectors)[0] for name in (b"a_created", b"c_created", b"e_created")] == [
        True,
        True,
        False,
    ]
    disable_created_metrics()
    try:
        assert b"_created" not in b"".join(shown(*collectors))
    finally:
        enable_created_metrics()
