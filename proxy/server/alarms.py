"""Limits of time, kept by one timer of the event loop.

Nearly all of them are moved or lifted before they are reached, several in each request. A timer of the loop's
own costs more than half a KiB for as long as it runs, and is made anew with each move. An alarm that moves to
a later time costs nothing: it is entered once, and looked at when that time has come.

Time that this process has lost is nobody else's. An event loop that was busy for a while, with a crowd of
requests on a loaded machine, serves its overdue timer before it looks at its sockets, and an answer that came
long ago would be taken for none. So whatever has arrived has its turn before an alarm rings, and where the
timer is late the alarms are put off by as much.
"""

import asyncio
import math
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from time import monotonic
from types import TracebackType
from typing import Final, Self
from weakref import WeakKeyDictionary

#: So many entries of no use may be kept before they are sought out.
_FEW: Final = 64
#: Seconds by which a timer is late on any machine.
_PUNCTUAL: Final = 0.05
#: Seconds for which alarms are put off at most: a loop that is always late must not keep them for ever.
_PUT_OFF: Final = 10.0


class Alarm:
    """Calls somebody at a time that can be moved at will. To be made while the event loop runs.

    One may serve for one thing after the other: to `rest` between them costs nothing, either.

    Args:
        ring: whom; the alarm can be set again from there.
        loop: by whose clock; None: the one that runs.

    Attributes:
        ring: the same; None: nobody.
        loop: the same.
    """

    __slots__ = ("_entered", "_entries", "_when", "loop", "ring")

    def __init__(self, ring: Callable[[], None] | None = None, loop: asyncio.AbstractEventLoop | None = None):
        self.ring = ring
        self.loop = loop or asyncio.get_running_loop()
        self._entries = _entries_of(self.loop)
        self._when = math.inf
        self._entered = math.inf  # the earliest time for which there is an entry

    def __lt__(self, other: "Alarm") -> bool:
        """Say which of two alarms for the same moment rings first: whichever."""
        return False

    def set(self, when: float) -> None:
        """Ring at that time of the event loop's clock and at no other; infinity: not at all."""
        self._when = when
        if when < self._entered:
            if self._entered < math.inf:
                self._entries.lose()
            self._entered = when
            self._entries.add(when, self)

    def rest(self) -> None:
        """Ring for nobody, until somebody else takes the alarm."""
        self._when, self.ring = math.inf, None

    def stop(self) -> None:
        """Never ring again, and hold nothing any more."""
        self.rest()
        if self._entered < math.inf:
            self._entries.lose()
            self._entered = math.inf

    def counts(self, when: float) -> bool:
        """Tell whether an entry for that time is of use."""
        return when == self._entered

    def look(self, when: float, now: float) -> None:
        """Ring, or enter the time to which it has been moved: the one of an entry has come."""
        if when != self._entered:
            return  # the entry is older than another for an earlier time
        self._entered = math.inf
        if self._when > now:
            self.set(self._when)
        elif self.ring is not None:
            self._when = math.inf
            self.ring()


class TimeLimit:
    """`asyncio.timeout` in terms of an alarm: an `async with` that raises TimeoutError when its time is up.

    Args:
        seconds: from when it is entered; 0: for ever.
    """

    __slots__ = ("_alarm", "_seconds", "_timeout")

    def __init__(self, seconds: float):
        self._seconds = seconds
        self._timeout = asyncio.timeout(None)
        self._alarm: Alarm | None = None

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        if self._seconds:
            self._alarm = Alarm(self._expire)
            self._alarm.set(self._alarm.loop.time() + self._seconds)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._alarm is not None:
            self._alarm.stop()
        await self._timeout.__aexit__(kind, error, trace)

    def _expire(self) -> None:
        self._timeout.reschedule(asyncio.get_running_loop().time())


class _Entries:
    """When to look at which alarm, in one event loop."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, Alarm]] = []
        self._useless = 0  # of these, about
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0  # by a clock that no test puts forward
        self._late = 0.0  # what the alarms whose time has come have been put off by
        self._looking = False
        self._put_off_to = 0.0  # by the loop's clock; 0: nothing is put off

    def add(self, when: float, alarm: Alarm) -> None:
        """Look at an alarm at that time."""
        heappush(self._heap, (when, alarm))
        if self._put_off_to:
            if when < self._put_off_to:  # set after the time that was lost
                loop = asyncio.get_running_loop()
                loop.call_later(max(0.0, when - loop.time()), self._look_at, when, alarm)
        elif self._heap[0][1] is alarm and not self._looking:
            self._set_timer()

    def lose(self) -> None:
        """Take the news that an entry is of no use any more; many such are not kept."""
        self._useless += 1
        if self._useless > _FEW and self._useless * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[1].counts(entry[0])]
            heapify(self._heap)
            self._useless = 0

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._heap:
            self._wait(max(0.0, self._heap[0][0] - asyncio.get_running_loop().time()))

    def _wait(self, seconds: float) -> None:
        self._due = monotonic() + seconds
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look_at_sockets)

    def _look_at_sockets(self) -> None:
        """Have the loop look at its sockets first, and do what they bring; for longer if it is late."""
        loop = asyncio.get_running_loop()
        self._looking = True
        late = min(monotonic() - self._due, _PUT_OFF - self._late)
        if late > _PUNCTUAL:
            self._late += late
            self._put_off_to = loop.time() + late
            self._wait(late)
        else:
            self._put_off_to = 0.0
            loop.call_soon(loop.call_soon, self._look)  # between the two it looks

    def _look_at(self, when: float, alarm: Alarm) -> None:
        if alarm.counts(when):
            alarm.look(when, max(when, asyncio.get_running_loop().time()))

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._heap and self._heap[0][0] <= now:
            when, alarm = heappop(self._heap)
            if alarm.counts(when):
                # So that one that fails, or is set again, holds up no other; and after all that has been
                # woken.
                loop.call_soon(alarm.look, when, now)
            else:
                self._useless = max(0, self._useless - 1)
        self._looking, self._late = False, 0.0
        self._set_timer()


_ENTRIES: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, _Entries]] = WeakKeyDictionary()


def _entries_of(loop: asyncio.AbstractEventLoop) -> _Entries:
    entries = _ENTRIES.get(loop)
    if entries is None:
        entries = _ENTRIES[loop] = _Entries()
    return entries
