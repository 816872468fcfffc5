"""A head that has come before on its connection means what the parser says of it, however it is cut."""

import asyncio
import io
import json
import re
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from random import Random

import pytest

from proxy.server.clients import one_task
from proxy.server.clients.recurring_head import ShortBody
from tests.plain_client import PlainClient
from tests.scripted import LAST_CHUNK, STREAM_HEAD, Scripted, Talk, chunk, soon
from tests.server.running import configured, running
from tests.server.streams import PATH, WHOLE

KEYS = {"clients": {"api_keys": ["sk-1", "sk-2"]}, "limits": {"request_body": "128KiB"}}
QUESTION = b'{"model": "m", "stream": true, "messages": []}'
LENGTH = b"Content-Length: %d\r\n"
BLANK = b"\r\n"
USUAL = (
    b"POST %b HTTP/1.1\r\nHost: proxy.test\r\nAuthorization: Bearer sk-1\r\nAccept: */*\r\n" % PATH.encode()
)
#: `%d` is the length of the body.
HEADS = {
    "usual": USUAL + LENGTH,
    "in the middle": USUAL.replace(b"Accept", LENGTH + b"Accept"),
    "lower case": USUAL + LENGTH.lower(),
    "with blanks": USUAL + b"Content-Length: \t %d \r\n",
    "with noughts": USUAL + b"Content-Length: 000%d\r\n",
    "signed": USUAL + b"Content-Length: +%d\r\n",
    "folded": USUAL + LENGTH + b" 1\r\n",
    "twice": USUAL + LENGTH + LENGTH.replace(b"%d", b"1"),
    "other length": USUAL + LENGTH + b"X-Content-Length: 1\r\n",
    "named": USUAL + b"Connection: Content-Length\r\n" + LENGTH,
    "close": USUAL + b"Connection: close\r\n" + LENGTH,
    "old": USUAL.replace(b"1.1", b"1.0") + b"Connection: keep-alive\r\n" + LENGTH,
    "passed": USUAL.replace(PATH.encode(), b"/v1/files") + LENGTH,
    "whole URL": USUAL.replace(b"/v1", b"http://proxy.test/v1") + LENGTH,
    "no host": USUAL.replace(b"/v1", b"http://a..b:x/v1") + LENGTH,
    "out": USUAL.replace(b"/v1", b"/v1/../../v1") + LENGTH,
    "other key": USUAL.replace(b"sk-1", b"sk-2") + LENGTH,
    "wrong key": USUAL.replace(b"sk-1", b"sk-9") + LENGTH,
    "without a key": USUAL.replace(b"Authorization", b"A") + LENGTH,
    "id": USUAL + b"X-Request-ID: one\r\n" + LENGTH,
    "trace": USUAL + b"traceparent: 1\r\n" + LENGTH,
    "expecting": USUAL + b"Expect: tea\r\n" + LENGTH,
    "compressed": USUAL + b"Content-Encoding: gzip\r\n" + LENGTH,
    "upgrade": USUAL + b"Connection: upgrade\r\nUpgrade: websocket\r\n" + LENGTH,
    "after a blank line": BLANK + USUAL + LENGTH,
    "bare ends": (USUAL + LENGTH).replace(b"\r\n", b"\n"),
    "control": USUAL + b"A: \x01\r\n" + LENGTH,
    "no UTF-8": USUAL + b"A: \xff\r\n" + LENGTH,
    "long": USUAL + b"A: %b\r\n" % (b"a" * 5000) + LENGTH,
}
CHUNKED = USUAL + b"Transfer-Encoding: chunked\r\n\r\n"
BODIES = (QUESTION, QUESTION, QUESTION + b" ", QUESTION + b" " * 60, QUESTION + b" " * 1000, b"")
#: So many on each connection, if it lasts.
TURNS = 6
LARGE = (QUESTION + b" " * 2**16, QUESTION + b" " * 2**17)


async def answers(talk: Talk) -> None:
    """Answer every request, a stream to those that ask for one."""
    with suppress(Exception):
        while True:
            received = await talk.receive()
            if received.target == PATH:
                await talk.send(STREAM_HEAD, chunk(b"".join(WHOLE)), LAST_CHUNK)
            else:
                await talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")


def with_body(head: bytes, body: bytes) -> bytes:
    end = b"\n" if b"\r" not in head else BLANK
    return head % len(body) + end + body


@dataclass
class Turn:
    """What a client sends before it wants an answer to each request in it."""

    data: bytes
    cuts: list[int]
    requests: int = 1

    @classmethod
    def drawn(cls, random: Random) -> "Turn":
        name = random.choice([*["usual"] * 5, "other key", "passed", random.choice(list(HEADS))])
        body = random.choice(BODIES if random.random() < 0.9 else LARGE)
        data = with_body(HEADS[name], body)
        requests = 1
        if random.random() < 0.05 and body:
            data = CHUNKED + chunk(body) + LAST_CHUNK
        elif random.random() < 0.2:
            data, requests = data + with_body(HEADS["usual"], random.choice(BODIES)), 2
        seam = data.find(b"\r\n\r\n") + 4
        anywhere = [random.randrange(1, len(data)) for _ in range(random.randrange(3))]
        near = seam + random.randint(-8, 8)
        cuts = random.choice([[], [], [], [seam], [max(seam, near)], [near, *anywhere]])
        return cls(data, sorted({cut for cut in cuts if 0 < cut < len(data)}), requests)

    @property
    def pieces(self) -> list[bytes]:
        return [self.data[start:end] for start, end in pairwise([0, *self.cuts, len(self.data)])]


class Conversation:
    """A client, and beside it another by whose answers it is seen that all has been read."""

    def __init__(self, client: PlainClient, beside: PlainClient) -> None:
        self.client = client
        self._beside = beside

    async def say(self, turn: Turn) -> list[object]:
        """Send a turn, each piece as a read of its own; return the answers, None at the connection's end."""
        answered = asyncio.create_task(self._answers(turn.requests))
        for piece in turn.pieces:
            with suppress(ConnectionError, RuntimeError):  # uvloop's word for a connection that is closed
                await self.client.send(piece)
            await self._beside.request("OPTIONS", "*")
            await self._beside.error()
        return await answered

    async def _answers(self, count: int) -> list[object]:
        return [await self._answer() for _ in range(count)]

    async def _answer(self) -> object:
        try:
            head = await self.client.head()
            chunked = "chunked" in head.headers.get("transfer-encoding", "")
            body = await (self.client.chunks() if chunked else self.client.body(head))
        except (EOFError, ConnectionError, KeyError):
            return None
        fields = {name: value for name, value in head.fields if name not in ("date", "x-request-id")}
        ours = head.headers["x-request-id"].startswith("req_") or head.headers["x-request-id"]
        return head.status, fields, ours, re.sub(rb"req_\w+", b"req", b"".join(body) if chunked else body)


async def outcomes(turns: list[Turn]) -> tuple[list[object], list[object], list[object]]:
    """Say all turns, in order; return what the client got, what the upstream, and what the log told."""
    log = io.StringIO()
    got: list[object] = []
    settings = KEYS | {"log": {"format": "json"}}
    async with (
        Scripted(answers) as upstream,
        running(upstream, logged=log, **settings) as proxy,
        PlainClient(proxy.url) as beside,
    ):
        left = list(turns)
        while left:
            async with PlainClient(proxy.url) as client:
                conversation = Conversation(client, beside)
                for turn in [left.pop(0) for _ in range(min(len(left), TURNS))]:
                    got += await conversation.say(turn)
                    if got[-1] is None:
                        break
                got.append("closed")
        lines = [json.loads(line) for line in log.getvalue().splitlines()]
    told = [
        {key: value for key, value in line.items() if not re.search("time|seconds|id$|url", key)}
        for line in lines
        if line["event"] == "request" and line["path"] != "*"
    ]
    asked = [(each.line, _masked(each.headers, upstream.port), each.body) for each in upstream.requests]
    return got, sorted(asked, key=str), told


def _masked(headers: dict[str, str], port: int) -> dict[str, str]:
    """Return fields without what is another each time."""
    return {name: re.sub(rf"req_\w+|:{port}\b", "", value) for name, value in headers.items()}


@pytest.mark.parametrize("seed", range(20))
async def test_it_changes_nothing(monkeypatch, seed):
    random = Random(seed)
    turns = [Turn.drawn(random) for _ in range(4 * TURNS)]

    fast = await outcomes(turns)
    monkeypatch.setattr(one_task, "TRIED", ("0.",))
    assert await outcomes(turns) == fast


@pytest.mark.parametrize("first", HEADS)
async def test_each_other_head_after_one(monkeypatch, first):
    turns = [Turn(with_body(HEADS[name], QUESTION), []) for second in HEADS for name in (first, second)]

    fast = await outcomes(turns)
    monkeypatch.setattr(one_task, "TRIED", ("0.",))
    assert await outcomes(turns) == fast


@pytest.fixture
def whole_bodies(monkeypatch) -> list[bytes]:
    """The bodies that have come with a head that came before."""
    bodies: list[bytes] = []

    class Noted(ShortBody):
        def __init__(self, loop: asyncio.AbstractEventLoop, data: bytes, missing: int):
            super().__init__(loop, data, missing)
            if not missing:
                bodies.append(data)

    monkeypatch.setattr(one_task, "ShortBody", Noted)
    return bodies


async def test_it_is_not_parsed_again(whole_bodies):
    await outcomes([Turn(with_body(HEADS["usual"], body), []) for body in BODIES])

    assert whole_bodies == [body for body in BODIES[1:] if body]


async def test_head_in_pieces_is_parsed_and_the_next_need_not_be(whole_bodies):
    data = with_body(HEADS["usual"], QUESTION)
    end = len(data) - len(QUESTION)
    for cuts in (
        [1],
        [end - 4],
        [end - 3],
        [end - 2],
        [end - 1],
        [end - 3, end - 2, end - 1],
        [end - 1, end + 1],
    ):
        whole_bodies.clear()
        await outcomes([Turn(data, []), Turn(data, cuts), Turn(data, [])])
        assert whole_bodies == [QUESTION], cuts


async def waits(talk: Talk) -> None:
    """Answer every request with a stream, once the test says so."""
    with suppress(asyncio.IncompleteReadError):
        while True:
            await talk.receive()
            await talk.send(STREAM_HEAD)
            talk.heard.set()
            await soon(talk.go.wait())
            talk.go.clear()
            await talk.send(chunk(b"".join(WHOLE)), LAST_CHUNK)


@pytest.mark.parametrize("come", [3, len(QUESTION), len(QUESTION) + 3, len(QUESTION) + 4])
async def test_part_of_the_next_head_that_comes_during_an_answer_is_not_taken_for_one(come):
    whole = with_body(HEADS["usual"], QUESTION)
    early, late = whole[:come], whole[come:]
    async with (
        Scripted(waits) as upstream,
        running(upstream, **KEYS) as proxy,
        PlainClient(proxy.url) as beside,
        PlainClient(proxy.url) as client,
    ):
        for sent, while_it_is_answered in [(whole, b""), (whole, early), (late, b"")]:
            await client.send(sent)
            await soon(upstream.called.wait())
            (talk,) = upstream.talks
            await soon(talk.heard.wait())
            talk.heard.clear()
            await Conversation(client, beside).say(Turn(while_it_is_answered, [], 0))
            talk.go.set()
            assert (await client.head()).status == 200
            assert b"".join(await client.chunks()) == b"".join(WHOLE)

        await client.send(late)  # would be one more, if that were a head
        assert (await client.error())[0].status == 400
        assert await client.closed() == b""

    assert [request.body for request in upstream.requests] == [QUESTION] * 3


async def test_new_configuration_looks_at_it_anew():
    turn = Turn(with_body(HEADS["usual"], QUESTION), [])
    async with (
        Scripted(answers) as upstream,
        running(upstream, **KEYS) as proxy,
        PlainClient(proxy.url) as beside,
        PlainClient(proxy.url) as client,
    ):
        conversation = Conversation(client, beside)
        statuses = [answer[0] for _ in range(3) for answer in await conversation.say(turn)]
        await proxy.reload(configured(upstream.url, clients={"api_keys": ["sk-2"]}))
        statuses += [answer[0] for _ in range(2) for answer in await conversation.say(turn)]

    assert statuses == [200, 200, 200, 401, 401]
