"""What is not ours passes unchanged in both directions, as it comes."""

import gzip
from contextlib import suppress

import pytest

from tests.plain_client import PlainClient
from tests.scripted import LAST_CHUNK, Talk, chunk, soon
from tests.server.running import running, talking
from tests.server.streams import answers, serves, stays


def answer(*fields: bytes, body: bytes = b"", status: bytes = b"200 Fine") -> bytes:
    """Make an answer whose body has a length."""
    return b"\r\n".join([b"HTTP/1.1 " + status, *fields, b"Content-Length: %d" % len(body), b"", body])


@pytest.mark.parametrize(
    "target",
    ["/", "/v1/audio/voices", "/a%2Fb/%C3%A9?x=1&y=%20+z", "//double", "/a/../b", "/line%0Afeed", "/x?a?b"],
)
async def test_target_is_not_touched(target):
    async with talking(serves(answer())) as (upstream, client):
        await client.request("GET", target)
        await client.head()

        assert upstream.requests[0].target == target


async def test_target_follows_the_path_of_the_upstreams_url():
    async with talking(serves(answer()), path="/api/v1") as (upstream, client):
        await client.request("GET", "/v1/audio/voices?x=1")
        await client.head()

        assert upstream.requests[0].target == "/api/v1/audio/voices?x=1"


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])
async def test_method_and_status_pass(method):
    async with talking(serves(answer(status=b"418 Short and stout", body=b"tea"))) as (upstream, client):
        await client.request(method, "/pot")
        head = await client.head()

        assert head.status == 418
        assert await client.body(head) == b"tea"
        assert upstream.requests[0].line == f"{method} /pot HTTP/1.1"


async def test_head_has_the_length_of_what_it_does_not_carry():
    async with talking(serves(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")) as (_, client):
        for _ in range(2):
            await client.request("HEAD", "/file")
            assert (await client.head()).headers["content-length"] == "1000"


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
async def test_status_without_a_body_passes(status):
    async with talking(serves(b"HTTP/1.1 " + status + b"\r\nETag: x\r\n\r\n")) as (_, client):
        for _ in range(2):
            await client.request("GET", "/file", If_None_Match="x")
            head = await client.head()

            assert head.status == int(status[:3])
            assert head.headers["etag"] == "x"
            assert "content-length" not in head.headers
            assert "transfer-encoding" not in head.headers


async def test_encoded_body_is_not_decoded():
    body = gzip.compress(b"text " * 1000)
    async with talking(serves(answer(b"Content-Encoding: gzip", body=body))) as (upstream, client):
        await client.request("GET", "/file", Accept_Encoding="gzip;q=0.5")
        head = await client.head()

        assert head.headers["content-encoding"] == "gzip"
        assert await client.body(head) == body
        assert upstream.requests[0].headers["accept-encoding"] == "gzip;q=0.5"


#: What tells an upstream for whom it works; tests/server/test_forwarding.py looks into it.
FORWARDED = {"via", "forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-request-id"}


async def test_nothing_but_the_client_is_added_to_a_request():
    async with talking(serves(answer())) as (upstream, client):
        await client.request("GET", "/")
        await client.head()

        assert set(upstream.requests[0].headers) == {"host"} | FORWARDED


@pytest.mark.parametrize("fields", [(), (b"Server: Lamp/1", b"Content-Type: text/x", b"Date: then")])
async def test_nothing_but_a_date_and_an_id_is_added_to_an_answer(fields):
    async with talking(serves(answer(*fields, body=b"x"))) as (_, client):
        await client.request("GET", "/")
        head = await client.head()

    expected = [tuple(field.decode().split(": ")) for field in (*fields, b"Content-Length: 1")]
    got = [field for field in head.fields if field[0] != "x-request-id" and (field[0] != "date" or fields)]
    assert got == [(name.lower(), value) for name, value in expected]


async def test_field_in_latin_1_is_not_lost():
    """Both libraries at hand write UTF-8 only; a name that came in Latin-1 goes on in that."""
    name = 'attachment; filename="größe.wav"'
    fields = b"Content-Disposition: " + name.encode("latin-1")
    async with talking(serves(answer(fields))) as (upstream, client):
        await client.send(b"GET /file HTTP/1.1\r\nHost: x\r\nX-Name: " + name.encode("latin-1") + b"\r\n\r\n")
        head = await client.head()

    for seen in (head.headers["content-disposition"], upstream.requests[0].headers["x-name"]):
        assert seen.encode("latin-1").decode() == name


async def test_fields_of_the_connection_stay_behind():
    fields = (
        b"Connection: keep-alive, X-Hop",
        b"X-Hop: 1",
        b"Keep-Alive: timeout=5",
        b"Trailer: X",
        b"X-End: 1",
    )
    async with talking(serves(answer(*fields))) as (upstream, client):
        await client.request("GET", "/", Connection="x-own", X_Own="1", Proxy_Authorization="x", X_End="1")
        head = await client.head()

        assert head.headers["x-end"] == "1"
        assert not {"connection", "x-hop", "keep-alive", "trailer"} & set(head.headers)
        assert set(upstream.requests[0].headers) == {"host", "x-end"} | FORWARDED


async def test_both_directions_are_streamed_at_once():
    async def script(talk: Talk) -> None:
        received = await talk.receive_head()
        assert received.headers["transfer-encoding"] == "chunked"
        await talk.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        while (data := await talk.receive_chunk()) != b"":
            await talk.send(chunk(b"event: echo\nid: 1\ndata: " + data + b"\r\n\r\n"))
        await talk.send(LAST_CHUNK)

    async with talking(script) as (_, client):
        await client.send(b"POST /v1/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        head = await client.head()
        for word in (b"a", b"b"):
            await client.send(chunk(word))
            assert await client.chunk() == b"event: echo\nid: 1\ndata: " + word + b"\r\n\r\n"
        await client.send(LAST_CHUNK)

        assert await client.chunk() == b""
        assert head.headers["content-type"] == "text/event-stream"


async def test_client_that_waits_to_be_told_to_continue():
    async with talking(serves(answer(body=b"got it"))) as (upstream, client):
        await client.send(
            b"PUT /file HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
        )
        assert (await client.head()).status == 100
        await client.send(b"body")
        head = await client.head()

        assert await client.body(head) == b"got it"
        assert upstream.requests[0].body == b"body"


OLD = b"GET /file HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"


async def test_client_on_http_1_0_sees_the_end_of_an_answer_without_a_length():
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with talking(serves(head, chunk(b"whole"), LAST_CHUNK)) as (_, client):
        await client.send(OLD)
        await client.head()
        assert await client.closed() == b"whole"


async def test_client_on_http_1_0_keeps_its_connection_after_an_answer_with_a_length():
    async with talking(serves(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole")) as (_, client):
        for _ in range(2):
            await client.send(OLD)
            assert await client.body(await client.head()) == b"whole"


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 100", b"Transfer-Encoding: chunked"], ids=["length", "chunks"]
)
async def test_answer_that_breaks_off_does_not_pass_for_a_whole_one(framing):
    begun = chunk(b"begun") if b"chunked" in framing else b"begun"
    async with talking(answers(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n" + begun)) as (_, client):
        await client.request("GET", "/file")
        await client.head()

        assert await client.closed() in (begun, b"")


async def test_body_that_only_the_closing_ends_is_reset_where_the_upstream_was():
    async def script(talk: Talk) -> None:
        await talk.receive()
        await talk.send(b"HTTP/1.0 200 OK\r\n\r\nbegun")
        await soon(talk.go.wait())
        talk.reset()

    async with talking(script) as (upstream, client):
        await client.send(b"GET /file HTTP/1.0\r\n\r\n")
        await client.head()
        assert await soon(client.reader.readexactly(5)) == b"begun"
        upstream.talks[0].go.set()

        with pytest.raises(ConnectionResetError):
            await client.closed()


async def test_client_that_leaves_a_download():
    async with talking(stays(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbegun")) as (upstream, client):
        await client.request("GET", "/file")
        await client.head()
        await client.leave()

        await soon(upstream.talks[0].gone.wait())


async def test_client_that_leaves_an_upload():
    async def script(talk: Talk) -> None:
        await talk.receive_head()
        assert await soon(talk.reader.readexactly(5)) == b"begun"
        talk.go.set()
        await talk.closed()

    async with talking(script) as (upstream, client):
        await client.send(b"PUT /file HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nbegun")
        await soon(upstream.called.wait())
        await soon(upstream.talks[0].go.wait())
        await client.leave()

        await soon(upstream.talks[0].gone.wait())


async def test_upstream_that_answers_before_it_has_read_the_upload():
    early = answer(b"Connection: close", status=b"413 Too much", body=b"enough")

    async def script(talk: Talk) -> None:
        await talk.receive_head()
        await talk.send(early)
        with suppress(ConnectionError):
            await soon(talk.reader.read())

    async with talking(script) as (_, client):
        await client.send(b"PUT /file HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\nbegun")
        head = await client.head()

        assert head.status == 413
        assert await client.body(head) == b"enough"


async def test_error_of_ours_has_openais_form():
    async with running("http://127.0.0.1:9") as proxy, PlainClient(proxy.url) as client:
        await client.request("GET", "/anything")
        head, error = await client.error()

    assert head.status == 502
    assert error["code"] == "upstream_unreachable"
