"""Many at once lose nothing, mix nothing, and leave nothing behind."""

import asyncio
from contextlib import AsyncExitStack

from tests.load.conftest import watched
from tests.load.crowd import LONG, Client, Crowded, text_of, told

STREAMS = 2_000
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


async def round_of_streams(url, stack):
    """Have all streams open at the same time, to the end of each."""
    clients = []
    for _ in range(0, STREAMS, AT_A_TIME):
        clients += await asyncio.gather(*(stack.enter_async_context(Client(url)) for _ in range(AT_A_TIME)))
    return await asyncio.gather(*(hear(client, number) for number, client in enumerate(clients)))


async def test_two_thousand_streams_at_once_are_told_apart():
    async with asyncio.timeout(LONG), Crowded(together=STREAMS) as upstream, watched(upstream.url) as proxy:
        start = await proxy.holds()
        held = []
        for _ in range(2):
            async with AsyncExitStack() as stack:
                texts = await round_of_streams(proxy.url, stack)
            assert texts == [told(number, WORDS) for number in range(STREAMS)]
            upstream.let_go()
            held.append(await proxy.settled(start))
        first, second = held
        # What a first crowd leaves is room for the next one, not a leak: it is taken once.
        assert second["objects"] < first["objects"] + 1_000
        assert second["memory"] < first["memory"] + 8 * MIB


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
