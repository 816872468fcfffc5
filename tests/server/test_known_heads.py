"""Answers that begin as one before, on the fast road, which remembers that, and on the plain one."""

import asyncio

import pytest

from proxy.errors import UpstreamMalformed
from proxy.server.upstreams.answer_heads import KnownHeads
from tests.scripted import LAST_CHUNK, STREAM_HEAD, Scripted, Talk, chunk, soon
from tests.server.running import talking
from tests.server.streams import PATH, QUESTION, WHOLE, answers, serves
from tests.server.test_upstream import OK, asking, barrier, post, read_all

pytestmark = pytest.mark.usefixtures("road")

BODY = chunk(b"first") + LAST_CHUNK


def head_with(field: bytes) -> bytes:
    return STREAM_HEAD.replace(b"\r\n\r\n", b"\r\n" + field + b"\r\n\r\n")


async def test_one_that_begins_as_one_before_may_be_cut_anywhere():
    answer = STREAM_HEAD + BODY

    async def script(talk: Talk) -> None:
        for cut in range(len(answer)):
            await talk.receive()
            await talk.send(answer[:cut])
            talk.heard.set()
            await soon(talk.go.wait())
            talk.go.clear()
            await talk.send(answer[cut:])

    async with (
        Scripted(script) as server,
        asking(server) as upstream,
        Scripted(serves(OK)) as other,
        asking(other) as elsewhere,
    ):
        for _ in answer:
            asked = asyncio.create_task(post(upstream))
            await soon(server.called.wait())
            talk = server.talks[0]
            await soon(talk.heard.wait())
            talk.heard.clear()
            await barrier(elsewhere)
            talk.go.set()
            assert await asked == b"first"

        assert len(server.talks) == 1


async def test_head_that_differs_in_one_byte_is_another():
    heads = [head_with(b"X-Count: %d" % count) for count in (*range(10), *range(10), 9)]

    async def script(talk: Talk) -> None:
        for head in heads:
            await talk.receive()
            await talk.send(head, BODY)

    counted = []
    async with Scripted(script) as server, asking(server) as upstream:
        for _ in heads:
            async with await soon(upstream.ask("POST", PATH, headers={}, body=b"{}")) as answer:
                counted.append(int(answer.headers["X-Count"]))
                assert await read_all(answer) == b"first"

        assert len(server.talks) == 1
    assert counted == [*range(10), *range(10), 9]


OF_ONE_ANSWER = {
    "another-time": [b"Date: Tue, 24 Nov 2026 20:00:0%d GMT" % second for second in range(4)],
    "another-id": [b"X-Correlation-ID: %x\r\ndate:  now" % (count + 99) for count in range(4)],
    "another-count": [b"X-RateLimit-Remaining: %d\r\nopenai-processing-ms: 7" % count for count in range(4)],
    "for-a-gateway": [b"X-Accel-Buffering: %b" % word for word in (b"yes", b"no", b"yes", b"perhaps")],
    "twice": [b"Date: %d\r\nDate: %d" % (count, count + 1) for count in range(4)],
    "folded": [b"Date: %d\r\n more" % count for count in range(4)],
    "hidden": [b"Connection: Date\r\nDate: %d" % count for count in range(4)],
    "no-text": [b"Date: \xc3\xa9%d" % count for count in range(4)],
    "empty": [b"Date:", b"Date: 1", b"Date:", b"Date: 2"],
}


@pytest.mark.parametrize("fields", OF_ONE_ANSWER.values(), ids=OF_ONE_ANSWER)
async def test_what_belongs_to_one_answer_stays_with_it(monkeypatch, fields):
    async def script(talk: Talk) -> None:
        for field in fields:
            await talk.receive()
            await talk.send(head_with(b"X-A: 1\r\n%b\r\nX-B: 2" % field), BODY)

    async def heads() -> list[list[tuple[str, str]]]:
        got = []
        async with Scripted(script) as server, asking(server) as upstream:
            for _ in fields:
                async with await soon(upstream.ask("POST", PATH, headers={}, body=b"{}")) as answer:
                    got += [list(answer.head.headers.items()), list(answer.head.of_stream.items())]
                    assert await read_all(answer) == b"first"
        return got

    known = await heads()
    monkeypatch.setattr(KnownHeads, "add", lambda *_: None)

    assert known == await heads()


async def test_client_gets_the_same_head_each_time():
    answer = [head_with(b"Location: /x\r\nDate: today\r\nETag: 1"), *map(chunk, WHOLE), LAST_CHUNK]
    async with talking(serves(*answer)) as (upstream, client):
        heads = []
        for _ in range(3):
            await client.post(PATH, QUESTION)
            heads.append((await client.head()).headers)
            assert await client.chunks() == WHOLE
        assert len(upstream.talks) == 1

    assert len({head.pop("x-request-id") for head in heads}) == 3
    assert heads[0] == heads[1] == heads[2]
    assert heads[0]["date"] == "today"
    assert "etag" not in heads[0]


@pytest.mark.parametrize("between", [QUESTION | {"stream": False}, QUESTION], ids=["folded", "an-error"])
async def test_what_is_written_into_another_answer_does_not_stay_in_the_head(between):
    """An answer that begins alike may leave as a body, or as an error."""
    good = [STREAM_HEAD, *map(chunk, WHOLE), LAST_CHUNK]
    bad = [STREAM_HEAD, chunk(b'data: {"error": {"message": "no"}}\n\n'), LAST_CHUNK]

    async def script(talk: Talk) -> None:
        for answer in (good, good if between["stream"] is False else bad, good):
            await talk.receive()
            await talk.send(*answer)

    async with talking(script) as (_, client):
        heads = []
        for question in (QUESTION, between, QUESTION):
            await client.post(PATH, question)
            heads.append(await client.head())
            if "content-length" in heads[-1].headers:
                await client.body(heads[-1])
            else:
                await client.chunks()

    assert "content-length" in heads[1].headers
    names = [[name for name, _ in head.fields] for head in heads]
    assert names[0] == names[2]


async def test_upstream_is_no_place_to_be_sent_to_the_second_time_either():
    async def script(talk: Talk) -> None:
        head = head_with(b"Location: %s/x" % server.url.encode())
        for _ in range(2):
            await talk.receive()
            await talk.send(head, BODY)

    async with Scripted(script) as server, asking(server) as upstream:
        for _ in range(2):
            async with await soon(upstream.ask("POST", PATH, headers={}, body=b"{}")) as answer:
                assert answer.headers["Location"] == "/x"
                await read_all(answer)


async def test_head_that_is_nothing_to_build_on_is_refused_each_time():
    async with (
        Scripted(answers(head_with(b"X-A: \x01"), BODY)) as server,
        asking(server) as upstream,
    ):
        for _ in range(2):
            with pytest.raises(UpstreamMalformed, match="control characters"):
                await soon(upstream.ask("POST", PATH, headers={}, body=b"{}"))


async def test_connection_that_is_said_to_close_is_left_each_time():
    async with (
        Scripted(serves(head_with(b"Connection: close"), BODY)) as server,
        asking(server) as upstream,
    ):
        for _ in range(3):
            assert await post(upstream) == b"first"

        assert [len(talk.requests) for talk in server.talks] == [1, 1, 1]
