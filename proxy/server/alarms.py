"""Limits of time, kept by one timer of the event loop.

Nearly all of them are moved or lifted before they are reached, several in each request. A timer of the loop's
own costs more than half a KiB for as long as it runs, and is made anew with each move. An alarm that moves to
a later time costs nothing: it is entered once, and looked at when that time has come.
"""

import asyncio
import math
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Final
from weakref import WeakKeyDictionary

#: So many entries of no use may be kept before they are sought out.
_FEW: Final = 64


class Alarm:
    """Calls what it was made with at a time that can be moved at will. To be made while the event loop runs.

    Args:
        ring: what is called; the alarm can be set again from there.
    """

    __slots__ = ("_entered", "_entries", "_ring", "_when")

    def __init__(self, ring: Callable[[], None]):
        self._entries = _entries_of(asyncio.get_running_loop())
        self._ring: Callable[[], None] | None = ring
        self._when = math.inf
        self._entered = math.inf  # the earliest time for which there is an entry

    def __lt__(self, other: "Alarm") -> bool:
        """Say which of two alarms for the same moment rings first: whichever."""
        return False

    def set(self, when: float) -> None:
        """Ring at that time of the event loop's clock and at no other; infinity: not at all."""
        self._when = when
        if when < self._entered:
            self._entered = when
            self._entries.add(when, self)

    def stop(self) -> None:
        """Never ring again, and hold nothing any more."""
        self._when, self._ring = math.inf, None

    def counts(self, when: float) -> bool:
        """Tell whether an entry for that time is of use."""
        return when == self._entered and self._ring is not None

    def look(self, when: float, now: float) -> None:
        """Ring, or enter the time to which it has been moved: the one of an entry has come."""
        if when != self._entered:
            return  # the entry is older than another for an earlier time
        self._entered = math.inf
        if self._when > now:
            self.set(self._when)
        elif self._ring is not None:
            self._when = math.inf
            self._ring()


class _Entries:
    """When to look at which alarm, in one event loop."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, Alarm]] = []
        self._room = _FEW
        self._timer: asyncio.TimerHandle | None = None

    def add(self, when: float, alarm: Alarm) -> None:
        """Look at an alarm at that time."""
        if len(self._heap) >= self._room:
            self._heap = [entry for entry in self._heap if entry[1].counts(entry[0])]
            heapify(self._heap)
            self._room = _FEW + 2 * len(self._heap)
        heappush(self._heap, (when, alarm))
        if self._heap[0][1] is alarm:
            self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._heap:
            self._timer = asyncio.get_running_loop().call_at(self._heap[0][0], self._look)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._heap and self._heap[0][0] <= now:
            when, alarm = heappop(self._heap)
            loop.call_soon(
                alarm.look, when, now
            )  # so that one that fails, or is set again, holds up no other
        self._set_timer()


_ENTRIES: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, _Entries]] = WeakKeyDictionary()


def _entries_of(loop: asyncio.AbstractEventLoop) -> _Entries:
    entries = _ENTRIES.get(loop)
    if entries is None:
        entries = _ENTRIES[loop] = _Entries()
    return entries
