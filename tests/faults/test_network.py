"""The network fails: names are not found, nobody listens, packets are lost and nobody is told."""

import socket

import pytest

from proxy.server.upstreams import keepalive
from tests.faults.asking import ASKS, NEXT, Ask
from tests.scripted import LAST_CHUNK, STREAM_HEAD, Scripted, Talk, chunk, never_accepting, soon
from tests.server.streams import PATH, QUESTION, ROLE, serves

UNREACHABLE, TIMEOUT = (502, "upstream_unreachable"), (504, "upstream_timeout")
asks = pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)


async def refusal(proxied, url: str, ask: Ask, **settings) -> tuple[tuple[int, str], str]:
    """Ask something of an upstream that cannot be reached; return status, code and message of the error."""
    async with proxied(url, **settings) as client:
        await ask.ask(client)
        head, error = await client.error()
        await client.request("GET", "/again")
        assert (await client.error())[1] == error
    return (head.status, error["code"]), error["message"]


@asks
async def test_upstream_that_refuses(proxied, ask):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and not listening: refused for certain
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        seen, message = await refusal(proxied, url, ask)

    assert seen == UNREACHABLE
    assert "Connection refused" in message


@asks
async def test_name_that_does_not_resolve(proxied, ask):
    seen, message = await refusal(proxied, "http://nonexistent.invalid:8080", ask)

    assert seen == UNREACHABLE
    assert "nonexistent.invalid:8080" in message


@asks
async def test_upstream_that_does_not_accept(proxied, ask):
    with never_accepting() as url:
        seen, _ = await refusal(proxied, url, ask, upstream_timeouts={"connect": "100ms"})

    assert seen == TIMEOUT


async def test_way_that_a_router_refuses(proxied, cable):
    cable.refuse()
    seen, message = await refusal(proxied, f"http://{cable.address}:8080", ASKS["stream"])

    assert seen == UNREACHABLE
    assert "No route to host" in message


async def test_packets_that_are_lost_before_there_is_a_connection(proxied, cable):
    cable.cut()
    url = f"http://{cable.address}:8080"
    seen, _ = await refusal(proxied, url, ASKS["stream"], upstream_timeouts={"connect": "100ms"})

    assert seen == TIMEOUT


@asks
async def test_packets_that_are_lost_in_the_answer(proxied, cable, ask):
    """The upstream goes on sending, and nothing of it arrives: the connection is half open."""

    async def script(talk: Talk) -> None:
        await talk.receive()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nTransfer-Encoding: chunked\r\n\r\n"
        await talk.send(head % ask.content_type, *map(chunk, ask.begun))
        await soon(talk.go.wait())
        cable.cut()
        await talk.send(chunk(b"lost"), LAST_CHUNK)
        await soon(talk.heard.wait())
        talk.writer.transport.abort()

    async with (
        Scripted(script, serves(NEXT), listening=cable.listen()) as upstream,
        proxied(upstream.url, upstream_timeouts={"idle": "200ms"}) as client,
    ):
        await ask.ask(client)
        await soon(upstream.called.wait())
        await ask.fails(client, TIMEOUT[1], upstream.talks[0].go.set)
        upstream.talks[0].heard.set()


async def test_packets_that_are_lost_before_the_answer(proxied, cable):
    async def script(talk: Talk) -> None:
        await talk.receive()
        cable.cut()
        await talk.send(STREAM_HEAD, chunk(ROLE))
        await soon(talk.go.wait())
        talk.writer.transport.abort()

    async with (
        Scripted(script, listening=cable.listen()) as upstream,
        proxied(upstream.url, upstream_timeouts={"first_byte": "200ms"}) as client,
    ):
        await client.post(PATH, QUESTION)
        head, error = await client.error()
        upstream.talks[0].go.set()

    assert (head.status, error["code"]) == TIMEOUT


@asks
async def test_upstream_that_is_gone_while_it_is_silent(proxied, cable, ask, monkeypatch):
    """It may take ten minutes to its first word, if it is there."""
    monkeypatch.setattr(keepalive, "_PROBES", dict.fromkeys(keepalive._PROBES, 1))

    async def script(talk: Talk) -> None:
        await talk.receive()
        cable.cut()
        await soon(talk.go.wait())
        talk.writer.transport.abort()

    async with (
        Scripted(script, listening=cable.listen()) as upstream,
        proxied(upstream.url) as client,
    ):
        await ask.ask(client)
        head, error = await client.error()
        upstream.talks[0].go.set()

    assert (head.status, error["code"]) == (502, "upstream_truncated")
    assert "Connection timed out" in error["message"]
