"""Alarms: at the time that was set last, and at no other; but later where the event loop is late itself."""

import asyncio
import gc
import math
import socket
import time
import weakref

import pytest

from proxy.server import alarms
from proxy.server.alarms import Alarm, TimeLimit
from tests.scripted import soon


class Bell:
    """What is rung; it knows how often."""

    def __init__(self) -> None:
        self.rung = 0
        self.heard = asyncio.Event()

    def ring(self) -> None:
        self.rung += 1
        self.heard.set()


async def later(clock, seconds: float) -> None:
    """Put the clock forward, and let what is due be done."""
    clock.advance(seconds)
    for _ in range(5):
        await asyncio.sleep(0)


async def test_it_rings_by_the_loops_clock():
    bells = [Bell() for _ in range(3)]
    now = asyncio.get_running_loop().time()
    for bell in bells:
        Alarm(bell.ring).set(now + 0.01)  # all for the same moment
    Alarm(bells[0].ring).set(now + 600)
    for bell in bells:
        await soon(bell.heard.wait())

    assert [bell.rung for bell in bells] == [1, 1, 1]


@pytest.mark.parametrize("moves", [[10, 20], [20, 10], [10, 30, 5, 20], [math.inf, 10], [10, math.inf, 7]])
async def test_it_rings_once_at_the_time_that_was_set_last(clock, moves):
    bell = Bell()
    alarm = Alarm(bell.ring)
    began = clock.time()
    for seconds in moves:
        alarm.set(began + seconds)
    await later(clock, moves[-1] - 1)
    assert bell.rung == 0
    await later(clock, 2)
    assert bell.rung == 1
    await later(clock, 100)
    assert bell.rung == 1


async def test_one_that_is_lifted_or_stopped_does_not_ring(clock):
    lifted, stopped = Bell(), Bell()
    alarms = Alarm(lifted.ring), Alarm(stopped.ring)
    for alarm in alarms:
        alarm.set(clock.time() + 10)
    alarms[0].set(math.inf)
    alarms[1].stop()
    await later(clock, 20)

    assert (lifted.rung, stopped.rung) == (0, 0)


async def test_it_can_be_set_again_when_it_rings(clock):
    times: list[int] = []
    late = asyncio.Event()

    def ring() -> None:
        times.append(round(clock.time() - began))
        alarm.set(began + 30 if len(times) == 1 else began)
        if len(times) == 4:
            alarm.stop()
            late.set()

    alarm = Alarm(ring)
    began = clock.time()
    alarm.set(began + 10)
    await later(clock, 10)
    await later(clock, 15)
    await later(clock, 5)
    await soon(late.wait())  # what is late already holds up nobody else
    await later(clock, 100)

    assert times == [10, 30, 30, 30]


async def test_one_that_fails_keeps_no_other_from_ringing(clock):
    told, bell = [], Bell()

    def fail() -> None:
        raise ZeroDivisionError

    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context["exception"]))
    Alarm(fail).set(clock.time() + 10)
    Alarm(bell.ring).set(clock.time() + 11)
    await later(clock, 20)

    assert bell.rung == 1
    assert [type(error) for error in told] == [ZeroDivisionError]


async def test_stopped_alarms_hold_nothing_and_are_not_gathered(clock):
    class Watched(Alarm):
        __slots__ = ("__weakref__",)

    bell = Bell()
    gone, alive = weakref.ref(bell), weakref.WeakSet[Alarm]()
    for _ in range(1000):
        alarm = Watched(bell.ring)
        alive.add(alarm)
        alarm.set(clock.time() + 600)
        alarm.stop()
    del alarm, bell
    gc.collect()

    assert gone() is None
    assert len(alive) < 200


async def test_crowd_of_alarms_leaves_nothing_behind(clock):
    """Each was moved to an earlier time, which entered it twice."""

    class Watched(Alarm):
        __slots__ = ("__weakref__",)

    bell, alive = Bell(), weakref.WeakSet[Alarm]()
    crowd = [Watched(bell.ring) for _ in range(1000)]
    alive.update(crowd)
    for seconds in (600, 60):
        for alarm in crowd:
            alarm.set(clock.time() + seconds)
    last = Alarm(bell.ring)
    last.set(clock.time() + 30)
    for alarm in crowd:
        alarm.stop()
    del crowd, alarm
    gc.collect()
    assert len(alive) < 200
    await later(clock, 700)

    assert bell.rung == 1
    assert not alive


# Limits for what is awaited, also while the loop stands still, which it does for real here

#: Seconds: a limit, and a standstill that is longer.
LIMIT, STANDSTILL = 0.2, 0.5


async def test_time_that_is_up():
    with pytest.raises(TimeoutError):
        async with TimeLimit(0.05):
            await asyncio.Event().wait()


async def test_no_limit_is_no_limit(clock):
    async with TimeLimit(0):
        await later(clock, 1e6)


async def test_who_is_cancelled_is_not_late():
    async def wait() -> None:
        async with TimeLimit(LIMIT):
            await asyncio.Event().wait()

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await soon(waiting)


async def test_what_has_arrived_while_the_loop_stood_still_is_taken():
    ours, theirs = socket.socketpair()
    with theirs:
        reader, writer = await asyncio.open_connection(sock=ours)
        theirs.send(b"x")
        async with TimeLimit(LIMIT):
            time.sleep(STANDSTILL)  # noqa: ASYNC251 - nothing else happens meanwhile: that is the fault
            assert await reader.read(1) == b"x"
        writer.close()


async def test_what_takes_several_steps_has_the_time_that_was_lost():
    """Each step wants a turn of the loop, as those of a connection do."""
    async with TimeLimit(LIMIT):
        asyncio.get_running_loop().call_soon(time.sleep, STANDSTILL)
        for _ in range(5):
            await asyncio.sleep(LIMIT / 10)


async def test_loop_that_is_always_late_puts_nothing_off_for_ever(monkeypatch):
    monkeypatch.setattr(alarms, "_PUT_OFF", 2 * LIMIT)
    loop, turns = asyncio.get_running_loop(), 0

    def stand_still() -> None:
        nonlocal turns
        turns += 1
        time.sleep(LIMIT / 2)
        if turns < 50:
            loop.call_soon(stand_still)

    loop.call_soon(stand_still)
    with pytest.raises(TimeoutError):
        async with TimeLimit(LIMIT):
            await asyncio.Event().wait()
    assert turns < 50


async def test_what_begins_after_the_time_that_was_lost_is_not_put_off():
    loop, old, new = asyncio.get_running_loop(), Bell(), Bell()
    late = Alarm(old.ring)
    late.set(loop.time() + LIMIT / 10)
    await asyncio.sleep(0)
    time.sleep(STANDSTILL)  # noqa: ASYNC251 - nothing else happens meanwhile: that is the fault
    while not _put_off(loop):  # noqa: ASYNC110 - it takes a turn or two
        await asyncio.sleep(0)
    punctual = Alarm(new.ring)
    punctual.set(loop.time() + LIMIT / 10)

    await soon(new.heard.wait())
    assert old.rung == 0
    await soon(old.heard.wait())
    assert (old.rung, new.rung) == (1, 1)


def _put_off(loop: asyncio.AbstractEventLoop) -> bool:
    return alarms._entries_of(loop)._put_off_to > 0
