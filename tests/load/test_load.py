"""Many at once lose nothing, mix nothing, and leave nothing behind."""

import asyncio
from contextlib import AsyncExitStack
from itertools import combinations
from statistics import median

from tests.load.conftest import watched
from tests.load.crowd import LONG, Client, Crowded, text_of, told

STREAMS = 2_000
#: After the greatest crowd there come so many of half its size.
MORE_CROWDS = 10
WORDS = 12
#: Connections that are opened at a time: a backlog is finite.
AT_A_TIME = 100
REQUESTS = 10_000
CONNECTIONS = 50
MIB = 2**20


async def hear(client, number):
    """Ask for a stream, and return its text."""
    await client.send(number, WORDS)
    return text_of(await client.events())


async def crowd_of(streams, upstream, url):
    """Have so many streams open at the same time, to the end of each."""
    upstream.gather(streams)
    async with AsyncExitStack() as stack:
        clients = []
        for _ in range(0, streams, AT_A_TIME):
            connecting = (stack.enter_async_context(Client(url)) for _ in range(AT_A_TIME))
            clients += await asyncio.gather(*connecting)
        texts = await asyncio.gather(*(hear(client, number) for number, client in enumerate(clients)))
    assert texts == [told(number, WORDS) for number in range(streams)]
    upstream.let_go()


async def test_two_thousand_streams_at_once_are_told_apart_and_crowds_leave_nothing():
    async with asyncio.timeout(LONG), Crowded() as upstream, watched(upstream.url) as proxy:
        start = await proxy.holds()
        await crowd_of(STREAMS, upstream, proxy.url)
        greatest = await proxy.settled(start)

        # Python keeps the memory of the greatest crowd for the next, which needs no more of it.
        held = []
        for _ in range(MORE_CROWDS):
            await crowd_of(STREAMS // 2, upstream, proxy.url)
            held.append(await proxy.settled(start))
        assert growth("blocks", held) < STREAMS / 20
        assert growth("objects", held) < STREAMS / 100
        assert growth("memory", held) < MIB / 2
        assert max(one["memory"] for one in held) < greatest["memory"] + 8 * MIB


def growth(what, held):
    """Return by how much it grows from one look to the next, whatever a single look has caught in passing."""
    looks = [(place, one[what]) for place, one in enumerate(held)]
    return median(
        (later - sooner) / (end - start) for (start, sooner), (end, later) in combinations(looks, 2)
    )


async def ask_in_a_row(url, numbers):
    """Ask for one word again and again on one connection."""
    async with Client(url) as client:
        for number in numbers:
            await client.send(number, 1)
            assert text_of(await client.events()) == told(number, 1)


async def test_ten_thousand_requests_on_kept_connections_leave_nothing():
    async with asyncio.timeout(LONG), Crowded() as upstream, watched(upstream.url) as proxy:
        start = await proxy.holds()
        held = []
        for half in range(2):
            numbers = range(half * REQUESTS // 2, (half + 1) * REQUESTS // 2)
            rows = [numbers[place::CONNECTIONS] for place in range(CONNECTIONS)]
            await asyncio.gather(*(ask_in_a_row(proxy.url, row) for row in rows))
            upstream.let_go()
            held.append(await proxy.settled(start))
        first, second = held
        assert second["objects"] < first["objects"] + 500
        assert second["memory"] < first["memory"] + 2 * MIB
