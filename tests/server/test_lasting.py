"""A stream that lasts holds nothing of how it began, and neither it nor what comes after it suffers."""

import asyncio
import gc
from contextlib import suppress

import pytest
from multidict import CIMultiDict

from proxy.server.answers import silence
from proxy.server.answers.stream import ClientStream
from proxy.server.app import Proxy
from proxy.server.clients.client_connections import ClientConnection
from proxy.server.clients.one_task import kind_of_connection
from proxy.wire.rewriter import StreamRewriter
from tests.plain_client import PlainClient
from tests.scripted import LAST_CHUNK, STREAM_HEAD, Scripted, Talk, chunk, soon
from tests.server.operating import Log
from tests.server.running import running
from tests.server.streams import DONE, ONE, PATH, QUESTION, ROLE, STOP, THREE, TWO, error_of

MARK = "what-only-this-client-says"
#: Seconds after which a stream lasts: so long no test takes by itself, on however busy a machine.
LASTING = 10.0
WHOLE = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"Hi"}]}'


async def lasting(talk: Talk) -> None:
    """Answer with streams whose second half waits for the test."""
    with suppress(asyncio.IncompleteReadError):
        while True:
            await talk.receive()
            await talk.send(STREAM_HEAD, chunk(ROLE), chunk(ONE))
            await soon(talk.go.wait())
            talk.go.clear()
            await talk.send(chunk(TWO), chunk(THREE), chunk(STOP + DONE), LAST_CHUNK)


async def begin(client: PlainClient) -> None:
    """Send a request, and see the first half of its answer."""
    await client.post(PATH, QUESTION, X_Mark=MARK)
    await see_it_begin(client)


async def see_it_begin(client: PlainClient) -> None:
    assert (await client.head()).status == 200
    assert [await client.chunk(), await client.chunk()] == [ROLE, ONE]


async def see_it_end(client: PlainClient, upstream: Scripted) -> None:
    upstream.talks[0].go.set()
    assert b"".join(await client.chunks()) == TWO + THREE + STOP + DONE


def connection(proxy: Proxy) -> ClientConnection:
    """Return the only connection of a client."""
    (found,) = proxy._server.connections
    return found


@pytest.fixture
def let_go(monkeypatch) -> asyncio.Event:
    """Set when a stream has let go of how it began."""
    monkeypatch.setattr(silence, "_LASTING", LASTING)
    heard, let_go = asyncio.Event(), ClientStream.let_go

    def tell(stream: ClientStream) -> None:
        let_go(stream)
        heard.set()

    monkeypatch.setattr(ClientStream, "let_go", tell)
    return heard


async def let_it_last(clock, let_go: asyncio.Event) -> None:
    """Put the clock forward to when a stream lasts."""
    clock.advance(LASTING)
    await soon(let_go.wait())
    let_go.clear()


async def turns() -> None:
    """Give the proxy some turns of the event loop."""
    for _ in range(10):
        await asyncio.sleep(0)


def marked() -> list[object]:
    """Return all header fields in memory that say what only this client says."""
    return [each for each in gc.get_objects() if isinstance(each, CIMultiDict) and MARK in each.values()]


@pytest.mark.usefixtures("road")
async def test_it_ends_well_and_another_may_follow(clock, let_go):
    aiohttp_holds_it = kind_of_connection() is ClientConnection
    log = Log()
    async with (
        Scripted(lasting) as upstream,
        running(upstream, logged=log, log={"format": "json"}) as proxy,
        PlainClient(proxy.url) as client,
    ):
        for _ in range(3):
            await begin(client)
            assert marked()
            await let_it_last(clock, let_go)
            assert bool(marked()) is aiohttp_holds_it
            await see_it_end(client, upstream)

    assert [line["outcome"] for line in log.lines("request")] == ["complete"] * 3
    assert all(line["seconds"] >= LASTING and line["path"] == PATH for line in log.lines("request"))


@pytest.mark.usefixtures("road")
async def test_it_breaks_off_as_any_other(clock, let_go):
    async def script(talk: Talk) -> None:
        await talk.receive()
        await talk.send(STREAM_HEAD, chunk(ROLE), chunk(ONE))
        await soon(talk.go.wait())

    async with Scripted(script) as upstream, running(upstream) as proxy, PlainClient(proxy.url) as client:
        await begin(client)
        await let_it_last(clock, let_go)
        upstream.talks[0].go.set()
        (frame,) = await client.chunks()

    assert error_of(frame)["code"] == "upstream_truncated"


@pytest.mark.parametrize("lasts", [False, True], ids=["young", "lasting"])
async def test_what_came_before_a_defect_of_ours_arrives(clock, let_go, monkeypatch, lasts):
    async def script(talk: Talk) -> None:
        await talk.receive()
        await talk.send(STREAM_HEAD, chunk(ROLE), chunk(ONE))
        await soon(talk.go.wait())
        await talk.send(chunk(TWO))
        await talk.closed()

    def fails(*_: object) -> None:
        raise KeyError("a defect")

    async with Scripted(script) as upstream, running(upstream) as proxy, PlainClient(proxy.url) as client:
        await begin(client)
        if lasts:
            await let_it_last(clock, let_go)
        monkeypatch.setattr(StreamRewriter, "receive_data", fails)
        monkeypatch.setattr(StreamRewriter, "shortcut", fails)
        upstream.talks[0].go.set()
        assert await client.closed() == b""  # the end, and no reset, which would destroy what is on its way


@pytest.mark.parametrize(
    ("head", "bodies", "lets_go"),
    [
        ([f"Content-Length: {len(WHOLE)}"], [WHOLE], True),
        ([f"Content-Length: {len(WHOLE)}"], [b"", WHOLE], True),
        ([f"Content-Length: {len(WHOLE)}"], [WHOLE[:9], WHOLE[9:]], True),
        (["Transfer-Encoding: chunked"], [b"%x\r\n%b\r\n0\r\n\r\n" % (len(WHOLE), WHOLE)], False),
    ],
    ids=["at once", "head alone", "in pieces", "chunked"],
)
async def test_request_may_come_in_any_way(clock, let_go, head, bodies, lets_go):
    async with Scripted(lasting) as upstream, running(upstream) as proxy, PlainClient(proxy.url) as client:
        for _ in range(3):
            fields = "".join(f"{field}\r\n" for field in ("Host: x", "Content-Type: application/json", *head))
            await client.send(f"POST {PATH} HTTP/1.1\r\n{fields}\r\n".encode() + bodies[0])
            for body in bodies[1:]:
                await turns()  # so that it is a read of its own
                await client.send(body)
            await see_it_begin(client)
            await let_it_last(clock, let_go)
            assert (connection(proxy)._parser is None) is lets_go
            await see_it_end(client, upstream)
        assert [request.body for request in upstream.requests] == [WHOLE] * 3


@pytest.mark.parametrize("cut", [1, 20, 60, -1, None])
@pytest.mark.parametrize("early", [True, False])
async def test_next_request_may_come_before_the_end(clock, let_go, cut, early):
    """In part or whole, before or after all else has been let go."""
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(WHOLE)}\r\n\r\n"
    following = head.encode() + WHOLE
    async with Scripted(lasting) as upstream, running(upstream) as proxy, PlainClient(proxy.url) as client:
        if early:
            await client.send(following + following[:cut])
            await see_it_begin(client)
            await let_it_last(clock, let_go)
        else:
            await client.send(following)
            await see_it_begin(client)
            await let_it_last(clock, let_go)
            await client.send(following[:cut])
        await see_it_end(client, upstream)
        if cut is not None:
            await client.send(following[cut:])
        await see_it_begin(client)
        await let_it_last(clock, let_go)
        await see_it_end(client, upstream)

    assert [request.body for request in upstream.requests] == [WHOLE] * 2
