"""What is no proper HTTP gets OpenAI's error all the same, a line in the log, and the connection's end."""

import json

import pytest
from aiohttp import web

from tests.plain_client import PlainClient
from tests.scripted import EMPTY, Scripted, Talk, chunk, soon
from tests.server.operating import logging
from tests.server.running import running, talking
from tests.server.streams import PATH, serves, stays

CHUNKED = b"POST %b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


async def all_has_been_parsed(url: str) -> None:
    """Ask something on another connection: what came before has been read when the answer is there."""
    async with PlainClient(url) as client:
        await client.request("OPTIONS", "*")
        await client.error()


IMPROPER = {
    "no-http": (b"secret\r\n\r\n", 400, "proper HTTP"),
    "tls": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "HTTPS"),
    "version": (b"GET /secret HTTP/3.7\r\nHost: x\r\n\r\n", 400, "proper HTTP"),
    "length": (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: secret\r\n\r\n", 400, "Content-Length"),
    "field": (b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization : secret\r\n\r\n", 400, "header"),
    "long-field": (b"GET / HTTP/1.1\r\nHost: x\r\nCookie: " + 70_000 * b"s" + b"\r\n\r\n", 431, "too long"),
    "long-path": (b"GET /" + 70_000 * b"s" + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431, "too long"),
    "many-fields": (b"GET / HTTP/1.1\r\nHost: x\r\n" + 500 * b"A: secret\r\n" + b"\r\n", 431, "too many"),
    "chunk": (CHUNKED % PATH.encode() + b"secret\r\n", 400, "chunk"),
}


@pytest.mark.parametrize(("sent", "status", "words"), IMPROPER.values(), ids=IMPROPER)
async def test_request_that_cannot_be_parsed(sent, status, words):
    async with logging(stays()) as (log, _, client):
        await client.send(sent)
        head, error = await client.error()
        rest = await client.closed()

    assert (head.version, head.headers["connection"]) == ("HTTP/1.1", "close")
    assert (head.status, error["type"]) == (status, "invalid_request_error")
    assert words in error["message"]
    assert rest == b""
    assert (log.line["status"], log.line["outcome"], log.line["level"]) == (status, "refused", "info")
    assert log.line["request_id"] == head.headers["x-request-id"]
    assert "secret" not in json.dumps(error)
    assert "secret" not in log.getvalue()
    assert "ython" not in head.headers["server"]


async def test_what_follows_a_proper_request_is_judged_by_itself():
    async with logging(serves(EMPTY)) as (log, _, client):
        await client.request("GET", "/x")
        assert (await client.head()).status == 200
        await client.send(b"secret\r\n\r\n")
        assert (await client.error())[0].status == 400
        assert await client.closed() == b""

    assert [line["status"] for line in log.lines("request")] == [200, 400]


@pytest.mark.parametrize("path", [PATH, "/v1/embeddings", "/v1/files"])
async def test_body_whose_chunks_break_is_refused_by_whoever_reads_it(path):
    async with logging(serves()) as (log, proxy, client):
        await client.send(CHUNKED % path.encode() + chunk(b"{}"))
        await all_has_been_parsed(proxy.url)
        await client.send(b"secret\r\n")
        head, error = await client.error()
        assert await client.closed() == b""

    assert (head.status, error["type"]) == (400, "invalid_request_error")
    (line,) = [line for line in log.lines("request") if line["path"] == path]
    assert (line["status"], line["outcome"]) == (400, "refused")
    assert "secret" not in log.getvalue()


@pytest.mark.parametrize("come", [b"", chunk(b"{}")], ids=["first", "second"])
async def test_body_of_a_later_request_whose_chunks_break(come):
    async def script(talk: Talk) -> None:
        await talk.receive()
        await soon(talk.go.wait())
        await talk.send(EMPTY)

    async with Scripted(script) as upstream, running(upstream) as proxy, PlainClient(proxy.url) as client:
        await client.request("GET", "/x")
        await soon(upstream.called.wait())
        await client.send(CHUNKED % PATH.encode() + come)
        await all_has_been_parsed(proxy.url)
        await client.send(b"zz\r\n")
        await all_has_been_parsed(proxy.url)
        upstream.talks[0].go.set()

        assert (await client.head()).status == 200
        head, error = await client.error()
        assert head.status == 400
        assert "chunks are broken" in error["message"]
        await client.closed()


@pytest.mark.usefixtures("road")
async def test_body_that_nobody_wanted_is_not_waited_for_once_its_chunks_break(monkeypatch):
    patience = web.RequestHandler.__init__.__kwdefaults__ | {"lingering_time": 3600.0}
    monkeypatch.setattr(web.RequestHandler.__init__, "__kwdefaults__", patience)
    async with logging(serves(), clients={"api_keys": ["sk-1"]}) as (log, proxy, client):
        await client.send(CHUNKED % PATH.encode() + chunk(b"{}"))
        assert (await client.error())[0].status == 401
        await all_has_been_parsed(proxy.url)
        await client.send(b"secret\r\n")
        assert await client.closed() == b""

    assert [line["status"] for line in log.lines("request") if line["path"] == PATH] == [401]
    assert log.lines("library") == []


async def test_body_is_not_asked_for_before_it_is_wanted():
    """Expect: 100-continue; RFC 9110, section 10.1.1."""
    settings = {"clients": {"api_keys": ["sk-1"]}, "limits": {"request_body": 100}}
    async with Scripted(serves(EMPTY)) as upstream, running(upstream, **settings) as proxy:
        async with PlainClient(proxy.url) as client:
            fields = {"Expect": "100-continue", "Content_Length": "4"}
            await client.request("POST", PATH, **fields)
            assert (await client.error())[0].status == 401
        async with PlainClient(proxy.url) as client:
            fields = {"Expect": "100-continue", "Content_Length": "101", "Authorization": "Bearer sk-1"}
            await client.request("POST", PATH, **fields)
            assert (await client.error())[0].status == 413
        assert upstream.talks == []


@pytest.mark.parametrize("path", [PATH, "/v1/files"])
async def test_body_that_waits_to_be_asked_for_is_asked_for(path):
    async with talking(serves(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")) as (upstream, client):
        await client.request("POST", path, Expect="100-Continue", Content_Length="13")
        assert (await client.head()).status == 100
        await client.send(b'{"model":"m"}')
        assert (await client.head()).status == 404

        assert upstream.requests[0].body == b'{"model":"m"}'
        assert "expect" not in upstream.requests[0].headers


async def test_other_expectations_are_nobodys():
    async with talking(serves(EMPTY)) as (upstream, client):
        await client.request("POST", "/v1/files", b"{}", Expect="tea")
        assert (await client.head()).status == 200

        assert upstream.requests[0].body == b"{}"


async def test_client_that_leaves_while_it_should_send():
    async def script(talk: Talk) -> None:
        await talk.receive_head()
        await talk.closed()

    async with talking(script) as (upstream, client):
        await client.request("POST", "/v1/files", Expect="100-continue", Content_Length="4")
        assert (await client.head()).status == 100
        await soon(upstream.called.wait())
        await client.leave()

        await soon(upstream.talks[0].gone.wait())


@pytest.mark.usefixtures("road")
async def test_whole_url_with_a_host_that_is_none_is_answered():
    async with talking(serves(EMPTY)) as (upstream, client):
        await client.request("GET", "http://xn--/a?b=c")
        assert (await client.head()).status == 200
        assert upstream.requests[0].target == "/a?b=c"
