"""A stream from socket to socket: what arrives when, in which form, how it ends, and who hears of that."""

import asyncio
import json

import pytest

from tests.encodings import ENCODERS
from tests.plain_client import PlainClient
from tests.scripted import LAST_CHUNK, STREAM_HEAD, Scripted, Talk, chunk, soon
from tests.server.running import running, talking
from tests.server.streams import (
    DONE,
    PATH,
    QUESTION,
    ROLE,
    STOP,
    WHOLE,
    answers,
    serves,
)

pytestmark = pytest.mark.usefixtures("road")


def head(*fields: bytes, status: bytes = b"200 OK", version: bytes = b"1.1") -> bytes:
    """Make the head of an upstream's answer."""
    lines = [b"HTTP/" + version + b" " + status, b"Content-Type: text/event-stream", *fields]
    return b"\r\n".join([*lines, b"", b""])


# What arrives, and when


async def test_first_frame_arrives_before_the_second_is_sent():
    arrived = asyncio.Event()

    async def script(talk: Talk) -> None:
        await talk.receive()
        await talk.send(STREAM_HEAD, chunk(ROLE))
        await soon(arrived.wait())
        await talk.send(*map(chunk, WHOLE[1:]), LAST_CHUNK)

    async with talking(script) as (_, client):
        await client.post(PATH, QUESTION)
        assert (await client.head()).status == 200
        assert await client.chunk() == ROLE
        arrived.set()

        assert await client.chunks() == WHOLE[1:]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/chat/completions"])
async def test_frames_of_one_read_are_chunks_of_their_own(path):
    async with talking(answers(STREAM_HEAD, chunk(b"".join(WHOLE)), LAST_CHUNK)) as (upstream, client):
        await client.post(path, QUESTION)
        await client.head()

        assert await client.chunks() == WHOLE
        assert upstream.requests[0].target == path


async def test_frame_is_repaired_on_its_way():
    broken = b'event: data\n\ndata: {"choices":[{"delta":{"role":"assistant","content":"1"}}]}\n\n\n'
    async with talking(answers(STREAM_HEAD, chunk(broken), chunk(STOP + DONE), LAST_CHUNK)) as (
        _,
        client,
    ):
        await client.post(PATH, QUESTION)
        await client.head()
        deltas = [json.loads(frame[6:])["choices"][0]["delta"] for frame in (await client.chunks())[:-1]]

    assert deltas == [{"role": "assistant"}, {"content": "1"}, {}]


async def test_head_is_as_the_contract_has_it_and_keeps_what_is_the_upstreams():
    fields = (
        b"Cache-Control: private",
        b"X-Accel-Buffering: yes",
        b"X-Correlation-ID: abc",
        b"Set-Cookie: a=1",
        b"Set-Cookie: b=2",
        b"Connection: close, X-Private",
        b"X-Private: 1",
        b"Keep-Alive: timeout=5",
        b"ETag: W/1",
        b"Transfer-Encoding: chunked",
    )
    async with talking(answers(head(*fields), chunk(b"".join(WHOLE)), LAST_CHUNK)) as (_, client):
        await client.post(PATH, QUESTION)
        got = await client.head()

    assert got.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert got.headers["cache-control"] == "no-cache"
    assert got.headers["x-accel-buffering"] == "no"
    assert got.headers["transfer-encoding"] == "chunked"
    assert got.headers["x-correlation-id"] == "abc"
    assert got.all("set-cookie") == ["a=1", "b=2"]
    assert not {"connection", "x-private", "keep-alive", "etag", "content-length"} & set(got.headers)


async def test_request_reaches_the_upstream_as_the_client_wrote_it():
    body = b'{ "model":"m" , "stream" : true, "messages":[], "note":"\\u00e9 \xc3\xa9" }'
    async with talking(answers(STREAM_HEAD, chunk(b"".join(WHOLE)), LAST_CHUNK)) as (upstream, client):
        await client.post(
            PATH + "?a=%20b&c=%C3%A9+d",
            body,
            Authorization="Bearer key",
            Content_Type="application/json",
            Accept_Encoding="gzip, br",
            Connection="keep-alive, X-Mine",
            X_Mine="1",
            TE="trailers",
            Cookie="c=1",
        )
        await client.head()
        await client.chunks()

    request = upstream.requests[0]
    assert request.line == f"POST {PATH}?a=%20b&c=%C3%A9+d HTTP/1.1"
    assert request.body == body
    assert request.headers["host"] == f"127.0.0.1:{upstream.port}"
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["authorization"] == "Bearer key"
    assert request.headers["content-length"] == str(len(body))
    assert request.headers["cookie"] == "c=1"
    assert not {"connection", "x-mine", "te", "user-agent", "accept"} & set(request.headers)


async def test_model_has_one_name_for_the_client_and_another_for_the_upstream():
    mapped = {"gpt-*": {"upstream": "local", "model": "ggml"}, "*": {"upstream": "local"}}
    answer = b"".join(WHOLE).replace(b'"model":"m"', b'"model":"ggml.bin"')
    async with talking(serves(STREAM_HEAD, chunk(answer), LAST_CHUNK), models=mapped) as (upstream, client):
        models = []
        for name in ("gpt-4", "other"):
            await client.post(PATH, QUESTION | {"model": name})
            await client.head()
            models.append({json.loads(frame[6:])["model"] for frame in (await client.chunks())[:-1]})

        assert [json.loads(request.body)["model"] for request in upstream.requests] == ["ggml", "other"]
        assert models == [{"gpt-4"}, {"ggml.bin"}]


@pytest.mark.parametrize("named", [None, "ggml"])
async def test_request_without_a_model_goes_where_all_go(named):
    everything = {"*": {"upstream": "local", "model": named}}
    question = {key: value for key, value in QUESTION.items() if key != "model"}
    async with talking(serves(STREAM_HEAD, chunk(b"".join(WHOLE)), LAST_CHUNK), models=everything) as (
        upstream,
        client,
    ):
        await client.post(PATH, question)
        await client.head()
        assert await client.chunks() == WHOLE
        assert json.loads(upstream.requests[0].body).get("model") == named


async def test_cookie_of_one_client_is_not_sent_for_the_next():
    answer = (head(b"Set-Cookie: c=1", b"Transfer-Encoding: chunked"), *map(chunk, WHOLE), LAST_CHUNK)
    async with (
        Scripted(serves(*answer)) as upstream,
        running(f"http://localhost:{upstream.port}") as proxy,  # aiohttp keeps no cookies of an IP address
    ):
        for _ in range(2):
            async with PlainClient(proxy.url) as client:
                await client.post(PATH, QUESTION)
                assert (await client.head()).headers["set-cookie"] == "c=1"
                await client.chunks()

    assert ["cookie" in request.headers for request in upstream.requests] == [False, False]


async def test_client_on_http_1_0_gets_frames_until_the_connection_closes():
    async with talking(answers(STREAM_HEAD, chunk(b"".join(WHOLE)), LAST_CHUNK)) as (_, client):
        body = json.dumps(QUESTION).encode()
        await client.send(
            b"POST %b HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: %d\r\n\r\n%b"
            % (PATH.encode(), len(body), body)
        )
        got = await client.head()

        assert "transfer-encoding" not in got.headers
        assert await client.closed() == b"".join(WHOLE)


@pytest.mark.parametrize(
    "answer",
    [
        (head(b"Connection: close"), *WHOLE),
        (head(version=b"1.0"), *WHOLE),
        (head(b"Content-Length: %d" % len(b"".join(WHOLE))), *WHOLE),
        (
            head(b"Transfer-Encoding: chunked"),
            b"%x;ext=1\r\n%b\r\n0\r\nX-Trailer: 1\r\n\r\n" % (len(b"".join(WHOLE)), b"".join(WHOLE)),
        ),
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", STREAM_HEAD, *map(chunk, WHOLE), LAST_CHUNK),
    ],
    ids=["until-closed", "http-1.0", "content-length", "chunk-extension-and-trailer", "early-hints"],
)
async def test_upstream_may_frame_its_body_in_every_way(answer):
    async with talking(answers(*answer)) as (_, client):
        await client.post(PATH, QUESTION)
        await client.head()

        assert await client.chunks() == WHOLE


@pytest.mark.parametrize("encoding", [*ENCODERS, "GZIP"])
async def test_upstream_that_compresses_all_the_same_is_decoded_event_by_event(encoding):
    pieces = ENCODERS[encoding.lower()](WHOLE)
    arrived = asyncio.Event()

    async def script(talk: Talk) -> None:
        await talk.receive()
        fields = b"Content-Encoding: " + encoding.encode(), b"Transfer-Encoding: chunked"
        await talk.send(head(*fields) + chunk(pieces[0]))
        await soon(arrived.wait())
        await talk.send(*map(chunk, pieces[1:]), LAST_CHUNK)

    async with talking(script) as (_, client):
        await client.post(PATH, QUESTION)
        got = await client.head()
        first = await client.chunk()
        arrived.set()

        assert "content-encoding" not in got.headers
        assert [first, *await client.chunks()] == WHOLE


# JSON in the place of a stream, in another encoding


ANSWER = '{"choices":[{"message":{"role":"assistant","content":"Größe: 日本"},"finish_reason":"stop"}]}'


@pytest.mark.parametrize("cut", ["whole", "byte by byte"])
@pytest.mark.parametrize(
    ("named", "meant"),
    [
        ("utf-16", "utf-16"),
        ("UTF-16LE", "utf-16-le"),
        ("gb18030", "gb18030"),
        ("ISO-8859-1", "utf-8"),
        ("x-nobody-knows", "utf-8"),
    ],
)
async def test_json_in_another_encoding_becomes_a_stream(named, meant, cut):
    body = ANSWER.encode(meant)
    told = f"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset={named}\r\n".encode()
    sent = [told + b"Content-Length: %d\r\n\r\n" % len(body) + body]
    if cut == "byte by byte":
        sent = [told + b"Transfer-Encoding: chunked\r\n\r\n"]
        sent += [chunk(bytes([byte])) for byte in body] + [LAST_CHUNK]

    async def script(talk: Talk) -> None:
        await talk.receive()
        for data in sent:
            await talk.send(data)
            await asyncio.sleep(0)

    async with talking(script) as (_, client):
        await client.post(PATH, QUESTION)
        assert (await client.head()).status == 200
        *frames, done = b"".join(await client.chunks()).split(b"\n\n")[:-1]

    deltas = [json.loads(frame[6:])["choices"][0]["delta"] for frame in frames]
    assert "".join(delta.get("content", "") for delta in deltas) == "Größe: 日本"
    assert done + b"\n\n" == DONE


async def test_json_in_latin_1_becomes_a_stream():
    body = ANSWER.replace("日本", "m²").encode("latin-1")
    told = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=ISO-8859-1\r\nContent-Length: %d\r\n\r\n"
    )
    async with talking(answers(told % len(body), body)) as (_, client):
        await client.post(PATH, QUESTION)
        assert (await client.head()).status == 200
        assert "Größe: m²".encode() in b"".join(await client.chunks())
