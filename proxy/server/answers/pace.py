"""When the events of a stream came: counted in place, so that a read costs no more than an addition."""

from bisect import bisect_left
from typing import Final

#: Upper limits of the classes in which silences are counted, in seconds.
GAP_LIMITS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Pace:
    """The times of one stream's events, as its reads brought them.

    Attributes:
        first: when the first one came, by the event loop's clock; None before.
        gaps: the silences between reads that brought events, counted by `GAP_LIMITS`, the longer ones last;
            empty while there was none.
    """

    __slots__ = ("_last", "first", "gaps")

    def __init__(self) -> None:
        self.first: float | None = None
        self.gaps: list[int] = []
        self._last = 0.0

    @property
    def silent(self) -> float:
        """The sum of these silences, in seconds."""
        return 0.0 if self.first is None else self._last - self.first

    def note(self, now: float) -> None:
        """Note that a read has brought events."""
        if self.first is None:
            self.first = now
        else:
            if not self.gaps:  # most whole answers come in one read
                self.gaps = [0] * (len(GAP_LIMITS) + 1)
            self.gaps[bisect_left(GAP_LIMITS, now - self._last)] += 1
        self._last = now
