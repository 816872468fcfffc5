"""Counters and histograms in plain dictionaries, shown in the form of Prometheus's own.

A request adds to some twenty of them. The library's classes take a lock for each, and walk a histogram's
classes one by one; these leave that out, for one thread alone counts and shows.
"""

import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from functools import partial
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
        labels: their names, two or more.
    """

    def __init__(self, name: str, documentation: str, labels: Sequence[str]):
        self._told = name, documentation
        self._labels = labels
        self._counts: defaultdict[str, dict[Hashable, int]] = defaultdict(dict)
        self._began: dict[tuple[str, Hashable], float] = {}  # in the order in which they are shown

    def add(self, first: str, rest: Hashable) -> None:
        """Count one more under a value of the first label and one of the other; of several, a tuple."""
        try:
            self._counts[first][rest] += 1
        except KeyError:
            self._begin(first, rest, 1)

    def add_all(self, first: str, times: Mapping[str, int]) -> None:
        """Count as often as it says for each value of the other label, under one of the first."""
        counts = self._counts[first]
        for last, more in times.items():
            try:
                counts[last] += more
            except KeyError:
                self._begin(first, last, more)

    def collect(self) -> Iterator[Metric]:
        """Return the counters as they stand."""
        family = CounterMetricFamily(*self._told, labels=self._labels)
        dated = _shows_beginnings()
        for (first, rest), began in self._began.items():
            values = [first, *(map(str, rest) if isinstance(rest, tuple) else [str(rest)])]
            family.add_metric(values, self._counts[first][rest], began if dated else None)
        yield family

    def _begin(self, first: str, rest: Hashable, times: int) -> None:
        self._counts[first][rest] = times
        self._began[first, rest] = time.time()


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
        self._amounts: defaultdict[str, _Amounts] = defaultdict(partial(_Amounts, len(limits) + 1))

    def observe(self, value: str, amount: float) -> None:
        """Count an amount under a value of the label."""
        amounts = self._amounts[value]
        amounts.counts[bisect_left(self._limits, amount)] += 1
        amounts.total += amount

    def add(self, value: str, counts: Sequence[int], total: float) -> None:
        """Count what has been counted elsewhere, class by class, and the sum of it; no classes: nothing."""
        amounts = self._amounts[value]
        if counts:
            amounts.counts = [*map(add, amounts.counts, counts)]
            amounts.total += total

    def collect(self) -> Iterator[Metric]:
        """Return the histograms as they stand."""
        family = HistogramMetricFamily(*self._told, labels=[self._label])
        dated = self._dated and _shows_beginnings()
        limits = [*map(str, map(float, self._limits)), "+Inf"]
        for value, amounts in self._amounts.items():
            classes = [*zip(limits, accumulate(amounts.counts), strict=True)]
            family.add_metric([value], classes, amounts.total)
            if dated:
                family.add_sample(family.name + BEGINNING, {self._label: value}, amounts.began)
        yield family


class _Amounts:
    """What a histogram has counted under one value, class by class, and since when."""

    __slots__ = ("began", "counts", "total")

    def __init__(self, classes: int):
        self.counts = [0] * classes
        self.total = 0.0
        self.began = time.time()


def _shows_beginnings() -> bool:
    """Return whether the library shows when its own counters began, which its users can switch off."""
    (metric,) = Counter("any", "Any.", registry=None).collect()
    return any(sample.name.endswith(BEGINNING) for sample in metric.samples)
