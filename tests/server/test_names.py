"""Requests that pass unread go where their model's route leads, wherever they name it."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.plain_client import PlainClient
from tests.scripted import EMPTY, LAST_CHUNK, Received, Scripted, Talk, chunk, soon
from tests.server.operating import Log
from tests.server.running import running, talking
from tests.server.streams import serves

FORM = {"Content_Type": "multipart/form-data; boundary=x"}
JSON = {"Content_Type": "application/json; charset=utf-8"}
SOUND = 3 * b"\r\n--y\r\n\0"


def upload(model: bytes | None, *, first: bool = True) -> bytes:
    fields = [b'Content-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n' + SOUND]
    if model is not None:
        fields.insert(0 if first else 1, b'Content-Disposition: form-data; name="model"\r\n\r\n' + model)
    return b"".join(b"--x\r\n" + field + b"\r\n" for field in fields) + b"--x--\r\n"


@asynccontextmanager
async def between(
    *, all_others: bool = True, **settings: object
) -> AsyncIterator[tuple[Scripted, Scripted, PlainClient, Log]]:
    """Run a proxy before two upstreams; `whisper-1` is the second one's, under another name."""
    log = Log()
    routes = {"whisper-1": {"upstream": "second", "model": "ggml/größe"}}
    if all_others:
        routes["*"] = {"upstream": "local"}
    async with Scripted(serves(EMPTY)) as first, Scripted(serves(EMPTY)) as second:
        upstreams = {"local": {"url": first.url}, "second": {"url": second.url}}
        async with (
            running(
                first, upstreams=upstreams, models=routes, logged=log, log={"format": "json"}, **settings
            ) as proxy,
            PlainClient(proxy.url) as client,
        ):
            yield first, second, client, log


async def sent(client: PlainClient, upstream: Scripted) -> Received:
    assert (await client.head()).status == 200
    return upstream.requests[-1]


NAMED = {
    "form": ("/v1/audio/transcriptions", upload(b"whisper-1"), upload("ggml/größe".encode()), FORM),
    "form-file-first": (
        "/v1/audio/translations",
        upload(b"whisper-1", first=False),
        upload("ggml/größe".encode(), first=False),
        FORM,
    ),
    "json": (
        "/v1/images/generations",
        b'{"x":{"model":"a"}, "model" : "whisper-1","n":1e0}',
        '{"x":{"model":"a"}, "model" : "ggml/größe","n":1e0}'.encode(),
        JSON,
    ),
}


@pytest.mark.parametrize(("path", "body", "mapped", "fields"), NAMED.values(), ids=NAMED)
async def test_model_in_a_body_is_routed_and_mapped(path, body, mapped, fields):
    async with between() as (first, second, client, log):
        await client.request("POST", path, body, **fields)
        received = await sent(client, second)

        assert received.body == mapped
        assert received.headers["content-length"] == str(len(mapped))
        assert first.talks == []
    assert (log.line["model"], log.line["upstream"]) == ("whisper-1", "second")


async def test_body_without_a_length_is_mapped_as_it_comes():
    body = upload(b"whisper-1")
    async with between() as (_, second, client, _):
        await client.send(
            b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\n\r\n"
        )
        for byte in (body[:60], body[60:75], body[75:]):
            await client.send(chunk(byte))
        await client.send(LAST_CHUNK)
        received = await sent(client, second)

        assert received.body == upload("ggml/größe".encode())
        assert received.headers["transfer-encoding"] == "chunked"


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (upload(b"other"), FORM),
        (upload(None), FORM),
        (b'{"model":"other"}', JSON),
        (b'{"model":["whisper-1"]}', JSON),
        (b'["model", "whisper-1"]', JSON),
        (b"{", JSON),
        (b"", JSON),
        (b'{"model":"whisper-1"}', JSON | {"Content_Encoding": "gzip"}),
        (b'{"model":"whisper-1"}', {"Content_Type": "text/plain"}),
        (upload(b"whisper-1"), {"Content_Type": "multipart/form-data"}),
    ],
)
async def test_body_that_names_no_mapped_model_passes_as_it_is(body, fields):
    async with between() as (first, second, client, _):
        await client.request("POST", "/v1/audio/transcriptions", body, **fields)

        assert (await sent(client, first)).body == body
        assert second.talks == []


@pytest.mark.parametrize("method", ["GET", "DELETE", "POST"])
async def test_model_in_the_query_is_routed_and_mapped(method):
    async with between() as (_, second, client, _):
        await client.request(method, "/v1/x?a=%20&model=whisper%2d1&b=")

        assert (await sent(client, second)).target == "/v1/x?a=%20&model=ggml/gr%C3%B6%C3%9Fe&b="


async def test_model_in_the_path_is_mapped():
    async with between() as (_, second, client, _):
        await client.post("/v1/engines/whisper-1/embeddings?x=1", {"input": "x"})
        await client.head()

        (received,) = second.requests
        assert received.target == "/v1/engines/ggml%2Fgr%C3%B6%C3%9Fe/embeddings?x=1"
        assert json.loads(received.body) == {"model": "ggml/größe", "input": "x"}


@pytest.mark.parametrize(
    ("body", "fields", "status", "code"),
    [
        (upload(b"whisper-2"), FORM, 404, "model_not_found"),
        (b'{"model":"whisper-2"}', JSON, 404, "model_not_found"),
        (upload(None), FORM, 400, None),
        (b'{"model":"%b"}' % (2000 * b"x"), JSON, 413, "request_too_large"),
    ],
)
async def test_request_that_no_route_takes_is_refused(body, fields, status, code):
    settings = {"all_others": False, "limits": {"request_body": "1KiB"}}
    async with between(**settings) as (first, second, client, log):
        await client.request("POST", "/v1/audio/transcriptions", body, **fields)
        head, error = await client.error()

        assert (head.status, error["code"]) == (status, code)
        assert first.talks == second.talks == []
    assert log.line["outcome"] == "refused"


async def test_form_is_not_held_once_its_model_has_come():
    begun, _, rest = upload(b"whisper-1").partition(SOUND)

    async def script(talk: Talk) -> None:
        received = await talk.receive_head()
        assert int(received.headers["content-length"]) == len(begun + SOUND + rest) + 3
        await soon(talk.reader.readuntil(b"\r\n--x\r\n"))
        talk.heard.set()
        await soon(talk.reader.readuntil(rest))
        await talk.send(EMPTY)

    routes = {"whisper-1": {"upstream": "local", "model": "ggml-whisper"}}
    async with talking(script, models=routes) as (upstream, client):
        await client.request(
            "POST", "/v1/audio/transcriptions", Content_Length=str(len(begun + SOUND + rest)), **FORM
        )
        await client.send(begun)
        await soon(upstream.called.wait())
        await soon(upstream.talks[0].heard.wait())  # while the client is still sending
        await client.send(SOUND + rest)
        assert (await client.head()).status == 200


async def test_form_that_is_too_long_to_hold_goes_where_requests_without_a_model_go():
    async def script(talk: Talk) -> None:
        received = await talk.receive_head()
        left = int(received.headers["content-length"])
        while left:
            left -= len(await soon(talk.reader.read(2**16)))
        await talk.send(EMPTY)

    body = upload(b"whisper-1", first=False).replace(SOUND, SOUND + bytes(2**25 + 2**20))
    async with Scripted(script) as first, Scripted(serves(EMPTY)) as second:
        upstreams = {"local": {"url": first.url}, "second": {"url": second.url}}
        routes = {"whisper-1": {"upstream": "second"}, "*": {"upstream": "local"}}
        async with (
            running(first, upstreams=upstreams, models=routes) as proxy,
            PlainClient(proxy.url) as client,
        ):
            await client.request("POST", "/v1/audio/transcriptions", body, **FORM)
            assert (await client.head()).status == 200
            assert second.talks == []


@pytest.mark.parametrize("fields", [FORM, JSON])
async def test_nothing_is_looked_into_where_the_model_decides_nothing(fields):
    async def script(talk: Talk) -> None:
        await talk.receive_head()
        assert await soon(talk.reader.readexactly(5)) == b"begun"
        await talk.send(EMPTY)

    async with talking(script) as (_, client):
        await client.request("POST", "/v1/x?model=a", Content_Length="9999", **fields)
        await client.send(b"begun")
        assert (await client.head()).status == 200
