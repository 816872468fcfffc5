"""What goes wrong before anything has left for the client is a real status, with OpenAI's error in it."""

import asyncio
import json
import socket
from contextlib import suppress

import pytest

from tests.plain_client import PlainClient
from tests.scripted import LAST_CHUNK, STREAM_HEAD, Scripted, Talk, chunk, never_accepting, soon
from tests.server.running import running, talking
from tests.server.streams import DONE, ONE, PATH, QUESTION, ROLE, answers, stays

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def error_answer(status: bytes, *fields: bytes, body: bytes) -> bytes:
    """Make an upstream's answer whose status is an error."""
    lines = [b"HTTP/1.1 " + status, *fields, b"Content-Length: %d" % len(body)]
    return b"\r\n".join([*lines, b"", body])


async def reset(talk: Talk) -> None:
    await talk.receive()
    talk.reset()


async def wait(talk: Talk) -> None:
    await talk.receive()
    await talk.closed()


WITHOUT_ANSWER = {
    "closed": (answers(), 502, "upstream_truncated", "closed the connection before"),
    "reset": (reset, 502, "upstream_truncated", "Connection reset by peer"),
    "half-a-head": (
        answers(b"HTTP/1.1 200 OK\r\nX-"),
        502,
        "upstream_truncated",
        "closed the connection before",
    ),
    "no-http": (answers(b"hello\r\n\r\n"), 502, "upstream_malformed", "proper HTTP"),
    "silent": (wait, 504, "upstream_timeout", "0.05 s"),
    "broken-off-at-once": (answers(STREAM_HEAD), 502, "upstream_truncated", "broke off"),
    "encoded-in-spite": (
        stays(b"HTTP/1.1 200 OK\r\nContent-Encoding: compress\r\nContent-Length: 2\r\n\r\nx"),
        502,
        "upstream_malformed",
        "'compress'",
    ),
    "badly-encoded": (
        stays(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 9\r\n\r\nplay"),
        502,
        "upstream_malformed",
        "cannot be decoded",
    ),
}


@pytest.mark.parametrize(("script", "status", "code", "words"), WITHOUT_ANSWER.values(), ids=WITHOUT_ANSWER)
async def test_answer_that_does_not_come(script, status, code, words):
    async with talking(script, answers(PLAIN), upstream_timeouts={"first_byte": "50ms"}) as (
        upstream,
        client,
    ):
        await client.post(PATH, QUESTION)
        head, error = await client.error()

        assert head.status == status
        assert (error["type"], error["code"], error["param"]) == ("server_error", code, None)
        assert f"127.0.0.1:{upstream.port}" in error["message"]
        assert words in error["message"]

        await client.request("GET", "/next")
        assert await client.body(await client.head()) == b"ok"


async def test_answer_with_nothing_in_it():
    async with talking(answers(STREAM_HEAD, LAST_CHUNK)) as (_, client):
        await client.post(PATH, QUESTION)
        head, error = await client.error()

    assert head.status == 502
    assert error["code"] == "upstream_truncated"


async def test_upstream_that_refuses_the_connection():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and not listening: refused for certain
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        async with running(url) as proxy, PlainClient(proxy.url) as client:
            await client.post(PATH, QUESTION)
            head, error = await client.error()

    assert head.status == 502
    assert error["code"] == "upstream_unreachable"
    assert (
        error["message"]
        == f"The upstream {url.removeprefix('http://')} cannot be reached: Connection refused."
    )


async def test_upstream_without_an_address():
    async with running("http://nonexistent.invalid") as proxy, PlainClient(proxy.url) as client:
        await client.post(PATH, QUESTION)
        head, error = await client.error()

    assert head.status == 502
    assert error["code"] == "upstream_unreachable"
    assert "nonexistent.invalid" in error["message"]


async def test_connection_that_takes_too_long():
    with never_accepting() as url:
        async with (
            running(url, upstream_timeouts={"connect": "50ms"}) as proxy,
            PlainClient(proxy.url) as client,
        ):
            await client.post(PATH, QUESTION)
            head, error = await client.error()

    assert head.status == 504
    assert error["code"] == "upstream_timeout"
    assert "0.05 s" in error["message"]


async def test_request_waits_for_its_turn_where_all_connections_are_taken(clock):
    async def script(talk: Talk) -> None:
        await talk.receive()
        await soon(talk.go.wait())
        await talk.send(PLAIN)
        await talk.receive()
        await talk.send(PLAIN)

    settings = {"upstream_max_connections": 1, "upstream_timeouts": {"connect": "1s"}}
    async with (
        Scripted(script) as upstream,
        running(upstream, **settings) as proxy,
        PlainClient(proxy.url) as first,
        PlainClient(proxy.url) as second,
    ):
        await first.request("GET", "/first")
        await soon(upstream.called.wait())
        await second.request("GET", "/second")
        await asyncio.sleep(0)
        clock.advance(5)  # longer than a connection may take
        await asyncio.sleep(0)
        upstream.talks[0].go.set()
        for client in (first, second):
            assert await client.body(await client.head()) == b"ok"

    assert [request.target for request in upstream.requests] == ["/first", "/second"]


@pytest.mark.parametrize("stream", [True, False])
async def test_request_whose_turn_does_not_come(stream):
    settings = {"upstream_max_connections": 1, "upstream_timeouts": {"first_byte": "500ms"}}

    async def script(talk: Talk) -> None:
        await talk.receive()
        await talk.send(STREAM_HEAD, chunk(ROLE), chunk(ONE))
        await talk.closed()

    async with (
        Scripted(script) as upstream,
        running(upstream, **settings) as proxy,
        PlainClient(proxy.url) as first,
        PlainClient(proxy.url) as second,
    ):
        await first.post(PATH, QUESTION)
        await first.head()
        assert [await first.chunk() for _ in range(2)] == [ROLE, ONE]
        await second.post(PATH, QUESTION | {"stream": stream})
        head, error = await second.error()

        assert (head.status, error["code"]) == (503, "overloaded")
        assert head.headers["retry-after"] == "1"
        assert "All 1 connections" in error["message"]
        await first.leave()


# The upstream answers with an error


async def test_status_and_retry_after_of_the_upstream_are_kept():
    body = b'{"error":{"code":429,"message":"slow down","type":""}}'
    answer = error_answer(b"429 Too Many", b"Retry-After: 7", b"X-Limit: 3", b"ETag: 1", body=body)
    async with talking(answers(answer)) as (_, client):
        await client.post(PATH, QUESTION)
        head, error = await client.error()

    assert head.status == 429
    assert head.headers["retry-after"] == "7"
    assert head.headers["x-limit"] == "3"
    assert "etag" not in head.headers
    assert error == {"message": "slow down", "type": "rate_limit_error", "param": None, "code": "429"}


async def test_error_that_breaks_off_is_told_as_far_as_it_came():
    answer = b"HTTP/1.1 500 Error\r\nContent-Length: 99\r\n\r\nout of memory"
    async with talking(answers(answer)) as (_, client):
        await client.post(PATH, QUESTION)
        head, error = await client.error()

    assert (head.status, error["message"]) == (500, "out of memory")


async def test_endless_error_is_not_read_to_its_end():
    async def endless(talk: Talk) -> None:
        await talk.receive()
        await talk.send(b"HTTP/1.1 500 Error\r\nTransfer-Encoding: chunked\r\n\r\n")
        with suppress(ConnectionError):
            while True:
                await talk.send(chunk(b"<html><title>Oops</title>" + b" " * 10_000))

    async with talking(endless) as (_, client):
        await client.post(PATH, QUESTION)
        head, error = await client.error()

    assert head.status == 500
    assert "Oops" in error["message"]


async def test_error_in_the_first_event_is_a_status():
    first = b'data: {"error":{"code":404,"message":"no such model","type":"x"}}\n\n'
    async with talking(answers(STREAM_HEAD, chunk(first), chunk(DONE), LAST_CHUNK)) as (_, client):
        await client.post(PATH, QUESTION)
        head, error = await client.error()

    assert head.status == 404
    assert error["message"] == "no such model"


async def test_error_after_a_frame_of_the_same_read_is_an_event():
    error = b'data: {"error":{"code":500,"message":"gone","type":"x"}}\n\n'
    async with talking(answers(STREAM_HEAD, chunk(ROLE + error), LAST_CHUNK)) as (_, client):
        await client.post(PATH, QUESTION)
        head = await client.head()
        frames = await client.chunks()

    assert head.status == 200
    assert frames[0] == ROLE
    assert json.loads(frames[1][6:])["error"]["message"] == "gone"
    assert len(frames) == 2


async def test_redirect_is_not_followed():
    answer = b"HTTP/1.1 307 Elsewhere\r\nLocation: /other\r\nContent-Length: 4\r\n\r\ngone"
    async with talking(answers(answer)) as (upstream, client):
        await client.post(PATH, QUESTION)
        head = await client.head()

        assert (head.status, head.headers["location"]) == (307, "/other")
        assert await client.body(head) == b"gone"
        assert len(upstream.requests) == 1


# The request cannot be served


@pytest.mark.parametrize(
    ("body", "words"),
    [(b"{", "not valid JSON"), (b"", "not valid JSON"), (b"[]", "JSON object"), (b"\xff", "JSON")],
)
async def test_request_that_is_no_json_object(body, words):
    async with talking(wait) as (upstream, client):
        await client.post(PATH, body)
        head, error = await client.error()

        assert head.status == 400
        assert error["type"] == "invalid_request_error"
        assert words in error["message"]
        assert upstream.talks == []


async def test_request_that_is_too_large_is_refused_as_soon_as_that_is_known():
    async with talking(wait, limits={"request_body": "1KiB"}) as (upstream, client):
        await client.send(
            b"POST %b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" % PATH.encode()
        )
        await client.send(chunk(b" " * 1025))
        head, error = await client.error()

        assert head.status == 413
        assert error["code"] == "request_too_large"
        assert upstream.talks == []


async def test_request_as_large_as_allowed_passes():
    body = json.dumps(QUESTION).encode().ljust(1024)
    async with talking(answers(PLAIN), limits={"request_body": "1KiB"}) as (upstream, client):
        await client.post(PATH, body)
        await client.head()

    assert upstream.requests[0].body == body


async def test_unknown_model():
    settings = {"models": {"gpt-4": {"upstream": "local"}}}
    async with talking(wait, **settings) as (upstream, client):
        await client.post(PATH, QUESTION | {"model": "gpt-5"})
        head, error = await client.error()

        assert head.status == 404
        assert (error["code"], error["param"]) == ("model_not_found", "model")
        assert upstream.talks == []
