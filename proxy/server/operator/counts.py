"""Counters and histograms in plain dictionaries, shown in the form of Prometheus's own.

A request adds to some twenty of them. The library's classes take a lock for each, and walk a histogram's
classes one by one; these leave that out, for one thread alone counts and shows.
"""

import time
from bisect import bisect_left
from collections.abc import Hashable, Iterator, Mapping, Sequence
from itertools import accumulate
from operator import add
from typing import Final

from prometheus_client import Counter, Metric
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

#: The end of the name of the sample that tells when counting began.
BEGINNING: Final = "_created"


class Counts(Collector):
    """A counter for each combination of the values of its labels.

    Args:
        name: of the metric; it ends in `_total`.
        documentation: what it counts.
        labels: their names.
    """

    def __init__(self, name: str, documentation: str, labels: Sequence[str]):
        self._told = name, documentation
        self._labels = labels
        self._counts: dict[tuple[Hashable, ...], int] = {}
        self._began: dict[tuple[Hashable, ...], float] = {}

    def add(self, *values: Hashable) -> None:
        """Count one more under these values of the labels."""
        try:
            self._counts[values] += 1
        except KeyError:
            self._begin(values, 1)

    def add_all(self, first: Hashable, times: Mapping[str, int]) -> None:
        """Count as often as it says for each value of the last of two labels, under one of the first."""
        counts = self._counts
        for last, more in times.items():
            values = first, last
            if values in counts:
                counts[values] += more
            else:
                self._begin(values, more)

    def collect(self) -> Iterator[Metric]:
        """Return the counters as they stand."""
        family = CounterMetricFamily(*self._told, labels=self._labels)
        dated = _shows_beginnings()
        for values, count in self._counts.items():
            family.add_metric([*map(str, values)], count, self._began[values] if dated else None)
        yield family

    def _begin(self, values: tuple[Hashable, ...], times: int) -> None:
        self._counts[values] = times
        self._began[values] = time.time()


class Histogram(Collector):
    """A histogram for each value of its one label.

    Args:
        name: of the metric.
        documentation: what it measures.
        label: its name.
        limits: the upper limits of its classes; one without a limit comes after them.
        dated: show when it began, as the library does.
    """

    def __init__(
        self, name: str, documentation: str, label: str, limits: Sequence[float], *, dated: bool = True
    ):
        self._told = name, documentation
        self._label = label
        self._limits = limits
        self._dated = dated
        self._counts: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}
        self._began: dict[str, float] = {}

    def observe(self, value: str, amount: float) -> None:
        """Count an amount under a value of the label."""
        if value not in self._counts:
            self._begin(value)
        self._counts[value][bisect_left(self._limits, amount)] += 1
        self._sums[value] += amount

    def add(self, value: str, counts: Sequence[int], total: float) -> None:
        """Count what has been counted elsewhere, class by class, and the sum of it."""
        if value not in self._counts:
            self._begin(value)
        self._counts[value] = [*map(add, self._counts[value], counts)]
        self._sums[value] += total

    def collect(self) -> Iterator[Metric]:
        """Return the histograms as they stand."""
        family = HistogramMetricFamily(*self._told, labels=[self._label])
        dated = self._dated and _shows_beginnings()
        limits = [*map(str, map(float, self._limits)), "+Inf"]
        for value, counts in self._counts.items():
            family.add_metric([value], [*zip(limits, accumulate(counts), strict=True)], self._sums[value])
            if dated:
                family.add_sample(family.name + BEGINNING, {self._label: value}, self._began[value])
        yield family

    def _begin(self, value: str) -> None:
        self._counts[value] = [0] * (len(self._limits) + 1)
        self._sums[value] = 0.0
        self._began[value] = time.time()


def _shows_beginnings() -> bool:
    """Return whether the library shows when its own counters began, which its users can switch off."""
    (metric,) = Counter("any", "Any.", registry=None).collect()
    return any(sample.name.endswith(BEGINNING) for sample in metric.samples)
