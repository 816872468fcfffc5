"""What a connection weighs that only waits for the next event: thousands of them do."""

import asyncio
from collections import deque

import pytest
from aiohttp import web
from aiohttp.client_proto import ResponseHandler

from proxy.server.clients.client_connections import ClientServer
from proxy.server.clients.one_task import kind_of_connection
from proxy.server.short_queue import ShortQueue
from proxy.server.upstreams.direct_connection import DirectConnection
from proxy.server.upstreams.upstream_connection import Connection


@pytest.mark.parametrize("kind", [Connection, DirectConnection])
async def test_connection_adds_nothing_to_the_dictionary_of_aiohttps(kind):
    loop = asyncio.get_running_loop()

    assert vars(kind(loop)).keys() == vars(ResponseHandler(loop)).keys()


async def test_connection_holds_no_queue_that_is_large_while_it_is_empty():
    loop = asyncio.get_running_loop()
    server = ClientServer(
        lambda _: asyncio.sleep(0, web.Response()),
        lambda *_: None,
        lambda *_: web.Response(),
        kind_of_connection(),
    )
    client, upstream = server(), DirectConnection(loop)
    held = [
        getattr(client, name, None)
        for kind in type(client).__mro__
        for name in getattr(kind, "__slots__", ())
    ]

    assert not [each for each in (*held, *vars(upstream).values()) if isinstance(each, deque)]


def test_short_queue_does_what_aiohttp_asks_of_a_deque():
    queue = ShortQueue[int]()
    queue.append(1)
    queue.append(2)

    assert (queue[-1], len(queue), bool(queue)) == (2, 2, True)
    assert [queue.popleft(), queue.popleft()] == [1, 2]
    assert not queue
    with pytest.raises(IndexError):
        queue.popleft()
