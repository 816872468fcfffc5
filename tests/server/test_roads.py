"""The two roads from an upstream, side by side: whatever it sends, however it is cut, they bring the same."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from random import Random

import pytest

from proxy.errors import UpstreamError
from proxy.server.upstreams import direct
from proxy.server.upstreams.upstream import Upstream
from tests.scripted import LAST_CHUNK, STREAM_HEAD, Scripted, Talk, chunk, soon
from tests.server.streams import PATH, serves
from tests.server.test_upstream import OK, asking, barrier

STATUS = b"HTTP/1.1 200 OK\r\n"
EVENTS = b"Content-Type: text/event-stream\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
USUAL_HEADS = (STREAM_HEAD, STREAM_HEAD, STATUS + EVENTS + CHUNKED + b"Date: today\r\n\r\n")
HEADS = (
    *USUAL_HEADS,
    STREAM_HEAD.replace(b"\r\n", b"\n"),
    STREAM_HEAD.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
    STREAM_HEAD.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n"),
    STREAM_HEAD.replace(b"\r\n\r\n", b"\r\nContent-Length: 9\r\n\r\n"),
    STREAM_HEAD.replace(b"\r\n\r\n", b"\r\nX-A: \x01\r\n\r\n"),
    STREAM_HEAD.replace(b"\r\n\r\n", b"\r\n folded\r\n\r\n"),
    STREAM_HEAD.replace(b"200 OK", b"503 Busy"),
    b"HTTP/1.1 100 Continue\r\n\r\n" + STREAM_HEAD,
    b"\r\n" + STREAM_HEAD,
    STATUS + CHUNKED + b"\r\n",
    STATUS + b"Content-Length: 9\r\n\r\n",
    STATUS + EVENTS + b"\r\n",
    b"HTTP/1.0 200 OK\r\n" + EVENTS + b"\r\n",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
    b"HTTP/1.1 99 Low\r\n\r\n",
    b"no HTTP\r\n\r\n",
    STREAM_HEAD[:40],
)
USUAL_BODIES = (
    chunk(b"one") + chunk(b"two\r\n\r\n") + LAST_CHUNK,
    chunk(b"\r\n\r\n") + LAST_CHUNK,
    LAST_CHUNK,
)
BODIES = (
    *USUAL_BODIES,
    b"",
    chunk(b"one"),
    chunk(b"one")[:-1],
    chunk(b"one") + b"0\r\nA: b\r\n\r\n",
    b"3;a=b\r\none\r\n" + LAST_CHUNK,
    b"3\none\n0\n\n",
    b"zz\r\n",
    b"123456789",
    b"123456789 and more",
    *(chunk(b"one") + LAST_CHUNK + more for more in (b"x", b"HTTP/1.1 2", STREAM_HEAD)),
)


@dataclass
class Turn:
    """What an upstream answers one request with."""

    data: bytes
    cuts: list[int]
    stays: bool
    left: bool  # by the reader, in the middle

    @classmethod
    def drawn(cls, random: Random) -> "Turn":
        usual = random.random() < 0.5
        head, body = random.choice(USUAL_HEADS if usual else HEADS), random.choice(BODIES)
        head = head.replace(b"today", b"%d" % random.randrange(4))
        if usual and random.random() < 0.7:
            body = random.choice(USUAL_BODIES)
        data = head + body
        near_the_seam = len(head) + random.randint(-4, 4)
        cuts = {near_the_seam, *(random.randrange(len(data)) for _ in range(random.randrange(3)))}
        stays = usual and body in USUAL_BODIES and random.random() < 0.8
        return cls(data, sorted(cut for cut in cuts if cut < len(data)), stays, random.random() < 0.1)

    @property
    def pieces(self) -> list[bytes]:
        return [self.data[start:end] for start, end in pairwise([0, *self.cuts, len(self.data)])]


async def outcome(upstream: Upstream, turn: Turn) -> object:
    try:
        async with await soon(upstream.ask("POST", PATH, headers={}, body=b"{}", decode=True)) as answer:
            body, head = b"", (answer.status, answer.reason, list(answer.headers.items()))
            try:
                while not turn.left and (data := await soon(answer.read())):
                    body += data
            except UpstreamError as error:
                return head, body, type(error)
            return head, body
    except UpstreamError as error:
        return type(error), str(error).split(" ", 3)[-1]


async def outcomes(turns: list[Turn]) -> tuple[list[object], int]:
    """Play all turns, in order; return what came of each, and how many connections that took."""
    left = list(turns)

    async def script(talk: Talk) -> None:
        stays = True
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while left and stays:
                await talk.receive()
                turn = left.pop(0)
                for piece in turn.pieces:
                    await talk.send(piece)
                    await barrier(elsewhere)  # it has been read by itself
                stays = turn.stays

    async with (
        Scripted(serves(OK)) as other,
        asking(other) as elsewhere,
        Scripted(script) as server,
        asking(server) as upstream,
    ):
        return [await outcome(upstream, turn) for turn in turns], len(server.talks)


@pytest.mark.parametrize("seed", range(40))
async def test_both_roads_bring_the_same(monkeypatch, seed):
    random = Random(seed)
    turns = [Turn.drawn(random) for _ in range(5)]

    fast = await outcomes(turns)
    monkeypatch.setattr(direct, "TRIED", ("0.",))
    plain = await outcomes(turns)

    assert fast == plain
