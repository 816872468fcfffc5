"""Whatever happens for as long as it happens: memory, files and tasks stay where they were.

`make soak` runs this for minutes (`SOAK_MINUTES=60 make soak`), every test run for a few seconds.
"""

import asyncio
import os
import random
from contextlib import suppress

import pytest

from tests.load.conftest import watched
from tests.load.crowd import BROKEN, LONG, REFUSED, WHOLE, Client, Crowded, text_of, told

MINUTES = float(os.environ.get("SOAK_MINUTES", "0.1"))
#: What is held is looked at so many times, after everybody has left.
PERIODS = 6
CLIENTS = 40
MIB = 2**20


async def hears_all(client, number):
    await client.send(number, 20)
    assert text_of(await client.events()) == told(number, 20)


async def leaves_in_the_middle(client, number):
    await client.send(number, 200)
    await client.begin()
    raise ConnectionAbortedError


async def leaves_at_once(client, number):
    await client.send(number, 20)
    raise ConnectionAbortedError


async def hears_the_upstream_break_off(client, number):
    await client.send(number, 20, BROKEN)
    events = await client.events()
    assert b'"code":"upstream_truncated"' in events[-1]
    assert b"[DONE]" not in events


async def is_refused(client, number):
    await client.send(number, 1, REFUSED)
    status, body = await client.whole()
    assert (status, body["error"]["message"]) == (500, "no room in the llama")


async def asks_for_a_whole_body(client, number):
    await client.send(number, 50, WHOLE, stream=False)
    status, body = await client.whole()
    assert (status, body["choices"][0]["message"]["content"]) == (200, told(number, 50))


async def asks_nonsense(client, _number):
    client._writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: p\r\nContent-Length: 3\r\n\r\n{[}")
    assert (await client.whole())[0] == 400


BEHAVIOURS = (
    hears_all,
    leaves_in_the_middle,
    leaves_at_once,
    hears_the_upstream_break_off,
    is_refused,
    asks_for_a_whole_body,
    asks_nonsense,
)


async def live(url, numbers, until):
    """Come, do this and that for a while, leave; come again."""
    loop = asyncio.get_running_loop()
    while loop.time() < until:
        async with Client(url) as client:
            with suppress(ConnectionAbortedError):
                for _ in range(5):
                    await random.choice(BEHAVIOURS)(client, next(numbers))


@pytest.mark.parametrize("seed", [7])
async def test_nothing_grows(seed):
    random.seed(seed)
    loop = asyncio.get_running_loop()
    numbers = iter(range(10**9))
    async with asyncio.timeout(MINUTES * 120 + LONG), Crowded() as upstream, watched(upstream.url) as proxy:
        start = await proxy.holds()
        held, seen = [], []
        for _ in range(PERIODS):
            until = loop.time() + MINUTES * 60 / PERIODS
            await asyncio.gather(*(live(proxy.url, numbers, until) for _ in range(CLIENTS)))
            upstream.let_go()
            held.append(await proxy.settled(start))
            seen.append(next(numbers))
            print(f"{seen[-1]} requests, {held[-1]}")  # noqa: T201 - what `make soak` tells
        # What happens to a request, whatever it is, leaves hardly anything in a cycle.
        assert held[-1]["garbage"] - held[1]["garbage"] < (seen[-1] - seen[1]) / 2
        # The first periods fill caches and pools; the later ones find them filled.
        assert held[-1]["objects"] < held[1]["objects"] + 500
        assert held[-1]["blocks"] < held[1]["blocks"] + 2_000
        assert held[-1]["memory"] < held[1]["memory"] + 8 * MIB
    assert next(numbers) > CLIENTS
