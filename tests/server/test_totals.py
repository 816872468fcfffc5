"""The sums of what several processes count."""

import itertools

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.parser import text_string_to_metric_families

from proxy.server.operator.metrics import page
from proxy.server.processes.totals import Totals


class Counts:
    """What one process counts."""

    def __init__(self, requests: int, running: int, *seconds: float) -> None:
        self.registry = CollectorRegistry()
        counter = Counter("requests", "Requests.", ["code"], registry=self.registry)
        counter.labels("200").inc(requests)
        Gauge("running", "That run.", registry=self.registry).set(running)
        histogram = Histogram("seconds", "They take.", buckets=(1.0, 2.0), registry=self.registry)
        for value in seconds:
            histogram.observe(value)

    def collect(self):
        return list(self.registry.collect())


def samples(totals: Totals) -> dict[str, float]:
    families = text_string_to_metric_families(page(totals, "")[0].decode())
    return {
        sample.name + sample.labels.get("code", "") + sample.labels.get("le", ""): sample.value
        for family in families
        for sample in family.samples
    }


def test_all_kinds_are_summed():
    totals = Totals(Counts(1, 0))
    totals.take(11, Counts(2, 5, 0.5, 1.5).collect())
    totals.take(12, Counts(3, 7, 3.0).collect())
    found = samples(totals)

    assert (found["requests_total200"], found["running"]) == (6, 12)
    assert [found[f"seconds_bucket{limit}"] for limit in ("1.0", "2.0", "+Inf")] == [1, 2, 3]
    assert (found["seconds_count"], found["seconds_sum"]) == (3, 5.0)


def test_later_report_takes_the_place_of_an_earlier_one():
    totals = Totals(Counts(0, 0))
    for requests in (2, 5):
        totals.take(11, Counts(requests, requests).collect())

    assert samples(totals)["requests_total200"] == 5


def test_what_has_ended_keeps_its_counts_and_runs_no_more():
    totals = Totals(Counts(0, 0))
    for pid in (11, 12):
        totals.take(pid, Counts(2, 5, 0.5).collect())
        totals.end(pid)
    totals.take(13, Counts(1, 1).collect())
    found = samples(totals)

    assert (found["requests_total200"], found["running"], found["seconds_count"]) == (5, 1, 2)


def test_sum_has_counted_since_the_first_of_its_parts_has(monkeypatch):
    moments = itertools.count(1_000)
    monkeypatch.setattr("time.time", lambda: float(next(moments)))
    parts = [Counts(1, 0), Counts(1, 0), Counts(1, 0)]
    created = [
        sample.value
        for part in parts
        for metric in part.collect()
        for sample in metric.samples
        if sample.name == "requests_created"
    ]
    totals = Totals(parts[1])
    totals.take(11, parts[0].collect())
    totals.take(12, parts[2].collect())

    assert samples(totals)["requests_created200"] == pytest.approx(min(created))
