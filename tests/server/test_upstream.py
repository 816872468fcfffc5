"""Asking an upstream: what is asked again, what is told of failures, what is read before them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from proxy.config.schema import Upstream as Settings
from proxy.errors import UpstreamMalformed, UpstreamTimeout, UpstreamTruncated
from proxy.server.upstreams.upstream import Answer, Upstream
from tests.scripted import STREAM_HEAD, Script, Scripted, Talk, chunk, soon
from tests.server.streams import PATH, answers, serves, stays

pytestmark = pytest.mark.usefixtures("road")

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@asynccontextmanager
async def asking(
    server: Scripted, own: dict[str, str] | None = None, **settings: object
) -> AsyncIterator[Upstream]:
    """Make an upstream that asks a server, with header fields of its own."""
    settings |= {"url": server.url, "headers": own or {}}
    upstream = Upstream("local", Settings.model_validate(settings))
    try:
        yield upstream
    finally:
        await upstream.close()


async def read_all(answer: Answer) -> bytes:
    body = b""
    while data := await soon(answer.read()):
        body += data
    return body


async def post(upstream: Upstream, body: bytes = b"{}") -> bytes:
    async with await soon(upstream.ask("POST", PATH, headers={}, body=body)) as answer:
        return await read_all(answer)


async def once_then_closes(talk: Talk) -> None:
    """Answer one request, take another one, and close as if it had come too late."""
    await talk.receive()
    await talk.send(OK)
    await talk.receive()


async def once_then_resets(talk: Talk) -> None:
    await once_then_closes(talk)
    talk.reset()


@pytest.mark.parametrize("first", [once_then_closes, once_then_resets])
async def test_request_that_met_a_kept_connection_as_it_closed_is_sent_again(first):
    async with Scripted(first, answers(OK)) as server, asking(server) as upstream:
        assert [await post(upstream), await post(upstream, b"{2}")] == [b"ok", b"ok"]

    assert [request.body for request in server.talks[1].requests] == [b"{2}"]


async def test_request_is_sent_again_once_at_most():
    async with Scripted(once_then_closes, answers(), answers(OK)) as server, asking(server) as upstream:
        await post(upstream)
        with pytest.raises(UpstreamTruncated):
            await post(upstream)

    assert len(server.talks) == 2


async def test_request_that_a_fresh_connection_dropped_is_not_sent_again():
    async with Scripted(answers(), answers(OK)) as server, asking(server) as upstream:
        with pytest.raises(UpstreamTruncated):
            await post(upstream)

    assert len(server.talks) == 1


async def test_request_that_got_half_an_answer_is_not_sent_again():
    async def half(talk: Talk) -> None:
        await talk.receive()
        await talk.send(OK)
        await talk.receive()
        await talk.send(b"HTTP/1.1 200 OK\r\n")

    async with Scripted(half, answers(OK)) as server, asking(server) as upstream:
        await post(upstream)
        with pytest.raises(UpstreamTruncated):
            await post(upstream)

    assert len(server.talks) == 1


async def test_request_whose_body_was_streamed_is_not_sent_again():
    async def body() -> AsyncIterator[bytes]:
        yield b"{}"

    async with Scripted(once_then_closes, answers(OK)) as server, asking(server) as upstream:
        await post(upstream)
        with pytest.raises(UpstreamTruncated):
            await soon(upstream.ask("POST", PATH, headers={}, body=body()))

    assert len(server.talks) == 1


async def barrier(upstream: Upstream) -> None:
    """Return when all that had happened before on other connections has been noticed."""
    assert await post(upstream) == b"ok"


def sends_more(ending: str) -> Script:
    """Make a script: send a beginning, then, when the test says so, more and a break in one go."""

    async def script(talk: Talk) -> None:
        await talk.receive()
        await talk.send(STREAM_HEAD, chunk(b"first"))
        await soon(talk.go.wait())
        await talk.send(chunk(b"second"), chunk(b"third"), b"zz\r\n" if ending == "bad-chunk" else b"")
        await soon(talk.heard.wait())
        if ending == "reset":
            talk.reset()

    return script


@pytest.mark.parametrize(
    ("ending", "error"),
    [("cut", UpstreamTruncated), ("reset", UpstreamTruncated), ("bad-chunk", UpstreamMalformed)],
)
async def test_what_came_before_a_break_is_read_before_it(ending, error):
    async with (
        Scripted(sends_more(ending), serves(OK)) as server,
        asking(server) as upstream,
        await soon(upstream.ask("POST", PATH, headers={}, body=b"{}")) as answer,
    ):
        assert await soon(answer.read()) == b"first"
        server.talks[0].go.set()
        while not answer.waiting:
            await barrier(upstream)
        server.talks[0].heard.set()
        await soon(server.talks[0].ended.wait())
        await barrier(upstream)

        assert await soon(answer.read()) == b"secondthird"
        for _ in range(2):
            with pytest.raises(error):
                await soon(answer.read())


async def test_giving_up_ends_a_read_that_waits():
    async with (
        Scripted(stays(STREAM_HEAD)) as server,
        asking(server) as upstream,
        await soon(upstream.ask("POST", PATH, headers={}, body=b"{}")) as answer,
    ):
        asyncio.get_running_loop().call_soon(answer.give_up, UpstreamTimeout("enough"))
        for _ in range(2):
            with pytest.raises(UpstreamTimeout, match="enough"):
                await soon(answer.read())

        await soon(server.talks[0].gone.wait())


async def test_connection_is_kept_after_a_whole_answer_and_closed_after_a_part_of_one():
    async def script(talk: Talk) -> None:
        await talk.receive()
        await talk.send(OK)
        await talk.receive()
        await talk.send(STREAM_HEAD, chunk(b"first"))
        await talk.closed()

    async with Scripted(script) as server, asking(server) as upstream:
        await post(upstream)
        async with await soon(upstream.ask("POST", PATH, headers={}, body=b"{}")) as answer:
            assert await soon(answer.read()) == b"first"

        await soon(server.talks[0].gone.wait())
    assert len(server.talks) == 1


async def test_upstream_that_does_not_read_its_request_is_left_at_once():
    async def script(talk: Talk) -> None:
        await talk.receive_head()
        await talk.send(STREAM_HEAD)
        await soon(talk.go.wait())
        with suppress(ConnectionError):
            while True:
                await talk.send(chunk(b"x" * 2**16))
        talk.gone.set()

    progress = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            progress.set()
            yield b"x" * 2**16

    async with Scripted(script) as server, asking(server) as upstream:
        async with await soon(upstream.ask("POST", PATH, headers={}, body=endless())):
            with suppress(TimeoutError):  # until for a while nothing more was taken
                while progress.clear() is None:
                    await asyncio.wait_for(progress.wait(), 0.5)
        server.talks[0].go.set()

        await soon(server.talks[0].gone.wait())


def in_pieces(*pieces: bytes) -> Script:
    """Make a script: answer in pieces, each sent when the test has heard of the one before."""

    async def script(talk: Talk) -> None:
        await talk.receive()
        for piece in pieces:
            await talk.send(piece)
            await soon(talk.go.wait())
            talk.go.clear()

    return script


@pytest.mark.parametrize(
    "head",
    [
        STREAM_HEAD.replace(b"\r\n", b"\n"),
        STREAM_HEAD.replace(b"chunked", b"Chunked").replace(b"event-stream", b"Event-Stream; charset=utf-8"),
        b"HTTP/1.1 100 Continue\r\n\r\n" * 2000 + STREAM_HEAD,
        STREAM_HEAD.replace(b"\r\n\r\n", b"\r\nContent-Encoding: Identity\r\n\r\n"),
    ],
    ids=["line-feeds", "capitals", "many-heads", "identity"],
)
async def test_head_may_come_in_every_form_and_cut_anywhere(head):
    pieces = (head[:20], head[20:] + b"4\r\nfi", b"rs\r\n1\r\nt\r\n0\r\n\r\n")
    for cut in (pieces, (pieces[0] + pieces[1], pieces[2])):
        async with Scripted(in_pieces(*cut)) as server, asking(server) as upstream:
            asked = asyncio.create_task(upstream.ask("POST", PATH, headers={}, body=b"{}"))
            await soon(server.called.wait())
            talk = server.talks[0]
            while not asked.done():
                talk.go.set()
                await asyncio.sleep(0)
            async with await asked as answer:
                talk.go.set()
                assert await read_all(answer) == b"first"
                talk.go.set()


async def test_each_request_on_a_connection_has_all_the_time_for_its_answer(clock):
    async def script(talk: Talk) -> None:
        for _ in range(3):
            await talk.receive()
            talk.heard.set()
            await soon(talk.go.wait())
            await talk.send(OK)
        await talk.receive()
        talk.heard.set()
        await talk.closed()

    async with Scripted(script) as server, asking(server, timeouts={"first_byte": "3s"}) as upstream:
        for _ in range(3):
            asked = asyncio.create_task(post(upstream))
            await soon(server.called.wait())
            await soon(server.talks[0].heard.wait())
            server.talks[0].heard.clear()
            clock.advance(2)
            await asyncio.sleep(0)
            server.talks[0].go.set()
            assert await asked == b"ok"

        asked = asyncio.create_task(post(upstream))
        await soon(server.talks[0].heard.wait())
        clock.advance(4)
        with pytest.raises(UpstreamTimeout, match="nothing within 3 s"):
            await asked
        await soon(server.talks[0].gone.wait())


async def test_who_leaves_as_its_turn_comes_passes_it_on():
    """A connection becomes free in the same moment in which the client leaves that waits for it."""
    async with Scripted(serves(OK)) as server, asking(server, max_connections=1) as upstream:
        await post(upstream)
        connector = upstream._session.connector
        (place,) = connector._conns
        taken = connector.take(place)
        first, second = (asyncio.create_task(post(upstream)) for _ in range(2))
        for _ in range(10):  # turns, in which both come to wait
            await asyncio.sleep(0)
        assert sum(map(len, connector._waiters.values())) == 2
        connector.take_back(place, taken, whole=True)
        first.cancel()

        await soon(second)
