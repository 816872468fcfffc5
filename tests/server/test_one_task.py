"""What only the fast road of a client's connection does. All else is tested on both (`road`)."""

import aiohttp
import pytest

from proxy.server.clients import one_task
from proxy.server.clients.client_connections import ClientConnection
from proxy.server.clients.one_task import OneTaskConnection
from tests.plain_client import PlainClient
from tests.scripted import EMPTY, Scripted
from tests.server.running import running, talking, tasks_of_the_proxy
from tests.server.streams import DONE, STOP, begin, held, serves

#: What aiohttp lends, by name; what is gone or of another kind has to be looked at before TRIED may grow.
LENT = {
    *("_buffer_paused", "_close", "_current_request", "_force_close", "_handler_waiter", "_keepalive"),
    *("_keepalive_handle", "_keepalive_timeout", "_lingering_time", "_loop", "_max_msg_queue_size"),
    *("_messages", "_next_keepalive_close_time", "_parser", "_process_keepalive", "_read_bufsize"),
    *("_reading_paused", "_request_factory", "_request_handler", "_request_in_progress", "_task_handler"),
    *("_waiter", "finish_response"),
}


def test_it_is_taken_with_the_aiohttp_that_is_tested_and_with_no_other(monkeypatch):
    assert one_task.kind_of_connection() is OneTaskConnection
    monkeypatch.setattr(aiohttp, "__version__", "3.99.0")
    assert one_task.kind_of_connection() is ClientConnection


@pytest.mark.parametrize("name", sorted(LENT))
def test_what_it_leans_on_is_there(name):
    assert hasattr(aiohttp.web.RequestHandler, name), f"aiohttp {aiohttp.__version__} has no {name} any more"


async def test_stream_has_one_task():
    async with Scripted(held) as upstream, running(upstream) as proxy, PlainClient(proxy.url) as client:
        await begin(client)
        assert len(tasks_of_the_proxy()) == 1
        upstream.talks[0].go.set()
        assert b"".join(await client.chunks()) == STOP + DONE


async def test_requests_that_come_together_are_answered_in_their_order():
    async with talking(serves(EMPTY)) as (upstream, client):
        for count in (1, 40, 1, 2):
            asked = [f"GET /{count}/{number}" for number in range(count)]
            await client.send(b"".join(f"{each} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for each in asked))
            for _ in asked:
                assert (await client.head()).status == 200
            assert [request.line for request in upstream.requests[-count:]] == [
                f"{a} HTTP/1.1" for a in asked
            ]


async def test_client_that_leaves_between_two_requests():
    async with Scripted(serves(EMPTY)) as upstream, running(upstream) as proxy:
        for _ in range(2):
            async with PlainClient(proxy.url) as client:
                await client.request("GET", "/x")
                assert (await client.head()).status == 200
                client.reset()
        async with PlainClient(proxy.url) as client:
            await client.request("GET", "/x")
            assert (await client.head()).status == 200
