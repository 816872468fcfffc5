"""When the events of a stream came: counted in place, so that a read costs no more than an addition."""

from bisect import bisect_left
from typing import Final

#: Upper limits of the classes in which silences are counted, in seconds.
GAP_LIMITS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Pace:
    """The times of one stream's events, as its reads brought them.

    Attributes:
        first: when the first one came, by the event loop's clock; None before.
        gaps: the silences between reads that brought events, counted by `GAP_LIMITS`, the longer ones last.
        silent: the sum of these silences, in seconds.
    """

    __slots__ = ("_last", "first", "gaps", "silent")

    def __init__(self) -> None:
        self.first: float | None = None
        self.gaps = [0] * (len(GAP_LIMITS) + 1)
        self.silent = 0.0
        self._last = 0.0

    def note(self, now: float) -> None:
        """Note that a read has brought events."""
        if self.first is None:
            self.first = now
        else:
            gap = now - self._last
            self.gaps[bisect_left(GAP_LIMITS, gap)] += 1
            self.silent += gap
        self._last = now
