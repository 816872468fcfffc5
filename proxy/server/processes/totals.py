"""The metrics of several processes as one: counters, gauges and histograms, each summed over all of them."""

from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import Metric
from prometheus_client.samples import Sample

from proxy.server.operator.counts import BEGINNING
from proxy.server.operator.metrics import Collected


class Totals:
    """What a supervisor and its workers have counted, those that have ended included.

    Args:
        own: what the supervisor itself counts.
    """

    def __init__(self, own: Collected):
        self._own = own
        self._latest: dict[int, Sequence[Metric]] = {}
        #: Of workers that have ended. Their counts stay: a counter that falls would look like a restart.
        self._ended: Sequence[Metric] = ()

    def take(self, pid: int, metrics: Sequence[Metric]) -> None:
        """Take the counts of a worker, in the place of earlier ones."""
        self._latest[pid] = metrics

    def end(self, pid: int) -> None:
        """Keep of a worker that has ended what it has counted, but not what it was doing."""
        counted = [metric for metric in self._latest.pop(pid, ()) if metric.type != "gauge"]
        self._ended = list(_sums([self._ended, counted]))

    def collect(self) -> Iterator[Metric]:
        """Return the sums."""
        return _sums([self._own.collect(), self._ended, *self._latest.values()])


def _sums(reports: Iterable[Iterable[Metric]]) -> Iterator[Metric]:
    metrics: dict[str, Metric] = {}
    samples: dict[str, dict[tuple[str, frozenset[tuple[str, str]]], Sample]] = {}
    for metric in (metric for report in reports for metric in report):
        metrics.setdefault(metric.name, metric)
        found = samples.setdefault(metric.name, {})
        for sample in metric.samples:
            key = sample.name, frozenset(sample.labels.items())
            found[key] = _sum(found[key], sample) if key in found else sample
    for name, metric in metrics.items():
        total = Metric(name, metric.documentation, metric.type, metric.unit)
        total.samples = list(samples[name].values())
        yield total


def _sum(one: Sample, other: Sample) -> Sample:
    if one.name.endswith(BEGINNING):  # the earliest time is that of the sum
        return min(one, other, key=lambda sample: sample.value)
    return one._replace(value=one.value + other.value)
