"""What a connection remembers of a head holds for the next request only as far as that says the same."""

import asyncio
import itertools
from contextlib import suppress

import pytest

from tests.plain_client import PlainClient
from tests.scripted import EMPTY, Scripted, Talk, soon
from tests.server.running import configured, running
from tests.server.streams import serves

PATH = "/v1/files"
KEYS = {"clients": {"api_keys": ["sk-1", "sk-2"]}}
KEY = "Authorization: Bearer sk-1"
SENT = {
    "plain": ["POST /v1/files", KEY],
    "again": ["POST /v1/files", KEY],
    "body": ["POST /v1/files", KEY, "Content-Length: 3"],
    "longer": ["POST /v1/files", KEY, "content-length: 5"],
    "chunked": ["POST /v1/files", KEY, "Transfer-Encoding: chunked"],
    "request-id": ["POST /v1/files", KEY, "X-Request-ID: one"],
    "other-id": ["POST /v1/files", KEY, "X-REQUEST-ID: two"],
    "trace": ["POST /v1/files", KEY, "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"],
    "states": ["POST /v1/files", KEY, "tracestate: a=1", "tracestate: b=2", "BAGGAGE: c=3"],
    "named": ["POST /v1/files", KEY, "traceparent: 1", "Connection: keep-alive, Traceparent"],
    "named-length": ["POST /v1/files", KEY, "Connection: Content-Length", "Content-Length: 3"],
    "path": ["POST /v1/files?x", KEY],
    "method": ["PUT /v1/files", KEY],
    "host": ["POST /v1/files", KEY, "X-Forwarded-Host: a"],
    "cookie": ["POST /v1/files", KEY, "Cookie: a"],
    "other-cookie": ["POST /v1/files", KEY, "Cookie: b"],
    "parts": ["POST /v1/files", KEY, "A: b", "C: d"],
    "whole": ["POST /v1/files", KEY, "A: bC: d"],
    "empty": ["POST /v1/files", KEY, "A: ", "C: d"],
    "expect": ["POST /v1/files", KEY, "Expect: tea"],
    "encoding": ["POST /v1/files", KEY, "Accept-Encoding: gzip"],
}


def sent(path: str, method_and_path: str, *fields: str) -> bytes:
    """Return a request for a path; where that is understood it has a body, of JSON."""
    chunked = "Transfer-Encoding: chunked" in fields
    length = sum(int(each.split()[1]) for each in fields if each.lower().startswith("content-length"))
    if path != PATH and not (chunked or length):
        fields, length = (*fields, "Content-Length: 2"), 2
    lines = [f"{method_and_path.replace(PATH, path)} HTTP/1.1", "Host: proxy.example", *fields, "", ""]
    body = b"2\r\n{}\r\n0\r\n\r\n" if chunked else b"{}".ljust(length)[:length]
    return "\r\n".join(lines).encode() + body


@pytest.mark.parametrize("path", [PATH, "/v1/embeddings"], ids=["passed", "understood"])
async def test_second_request_arrives_as_if_it_were_the_first(path):
    """After each other one."""
    taken: list[tuple[bytes, set[str]]] = []

    async def takes(talk: Talk) -> None:
        with suppress(asyncio.IncompleteReadError):
            while True:
                head = (await soon(talk.reader.readuntil(b"\r\n\r\n"))).decode().lower().splitlines()
                chunked = "transfer-encoding: chunked" in head
                length = next((int(line.split()[1]) for line in head if line.startswith("content-length")), 0)
                body = b""
                while chunked and (data := await talk.receive_chunk()):
                    body += data
                body += await soon(talk.reader.readexactly(length))
                taken.append((body, {line for line in head if ": req_" not in line}))
                await talk.send(EMPTY)

    async def arrived(url: str, *requests: list[str]) -> tuple[bytes, set[str]]:
        async with PlainClient(url) as client:
            for request in requests:
                await client.send(sent(path, *request))
                await client.body(await client.head())
        return taken[-1]

    async with Scripted(takes) as upstream, running(upstream, **KEYS) as proxy:
        alone = {name: await arrived(proxy.url, request) for name, request in SENT.items()}
        for first, second in itertools.product(SENT, SENT):
            assert await arrived(proxy.url, SENT[first], SENT[second]) == alone[second], (first, second)

    told = {name: {line.partition(":")[0] for line in lines} for name, (_, lines) in alone.items()}
    assert "traceparent" in told["trace"]
    assert told["states"] >= {"tracestate", "baggage"}
    assert "traceparent" not in told["named"]


@pytest.mark.parametrize("key", ["Bearer sk-9", "Bearer sk-", "Basic sk-1", ""])
async def test_key_is_asked_for_each_time(key):
    async with (
        Scripted(serves(EMPTY)) as upstream,
        running(upstream, **KEYS) as proxy,
        PlainClient(proxy.url) as client,
    ):
        await client.request("GET", PATH, Authorization="Bearer sk-1")
        assert (await client.head()).status == 200
        await client.request("GET", PATH, Authorization=key)
        assert (await client.error())[0].status == 401


async def test_path_is_looked_at_each_time():
    async with (
        Scripted(serves(EMPTY)) as upstream,
        running(upstream) as proxy,
        PlainClient(proxy.url) as client,
    ):
        await client.request("GET", "/v1/a")
        assert (await client.head()).status == 200
        await client.request("GET", "/v1/../../a")
        assert (await client.error())[0].status == 400


async def test_new_configuration_lets_in_anew():
    async with (
        Scripted(serves(EMPTY)) as upstream,
        running(upstream, **KEYS) as proxy,
        PlainClient(proxy.url) as client,
    ):
        await client.request("GET", PATH, Authorization="Bearer sk-1")
        assert (await client.head()).status == 200
        await proxy.reload(configured(upstream.url, clients={"api_keys": ["sk-2"]}))
        await client.request("GET", PATH, Authorization="Bearer sk-1")
        assert (await client.error())[0].status == 401
