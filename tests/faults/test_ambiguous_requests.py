"""Requests that could be read in two ways: the upstream gets such as can be read in one, or none.

What reaches the upstream is looked at byte by byte, by a reader that takes nothing but what RFC 9112 has a
sender write.
"""

import re

import pytest

from tests.faults.asking import NEXT
from tests.scripted import LAST_CHUNK, Talk, chunk, soon

HEAD = re.compile(
    rb"(?P<line>(?:GET|POST|PROPFIND) /[!-~]* HTTP/1\.1)\r\n"
    rb"(?P<fields>(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+: (?:[!-~\x80-\xff][\t -~\x80-\xff]*)?\r\n)*)\r\n"
)
SMUGGLED = b"GET /admin HTTP/1.1\r\nHost: x\r\n\r\n"


def post(*fields: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join([b"POST /v1/files HTTP/1.1", b"Host: x", *fields, b"", body])


CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"
REFUSED = {
    "length-and-chunks": post(b"Content-Length: 4", b"Transfer-Encoding: chunked", body=CHUNKS + SMUGGLED),
    "chunks-and-length": post(b"Transfer-Encoding: chunked", b"Content-Length: 4", body=CHUNKS + SMUGGLED),
    "two-lengths": post(b"Content-Length: 0", b"Content-Length: 32", body=SMUGGLED),
    "the-same-length-twice": post(b"Content-Length: 32", b"Content-Length: 32", body=SMUGGLED),
    "list-of-lengths": post(b"Content-Length: 0, 32", body=SMUGGLED),
    "length-with-a-sign": post(b"Content-Length: +32", body=SMUGGLED),
    "negative-length": post(b"Content-Length: -1", body=SMUGGLED),
    "hexadecimal-length": post(b"Content-Length: 0x20", body=SMUGGLED),
    "length-with-underscore": post(b"Content-Length: 3_2", body=SMUGGLED),
    "length-in-other-digits": post("Content-Length: ٣٢".encode(), body=SMUGGLED),
    "empty-length": post(b"Content-Length: ", body=SMUGGLED),
    "huge-length": post(b"Content-Length: " + b"9" * 40, body=SMUGGLED),
    "space-before-colon": post(b"Content-Length : 32", body=SMUGGLED),
    "space-in-name": post(b"Content Length: 32", body=SMUGGLED),
    "tab-in-name": post(b"Content-Length\t: 32", body=SMUGGLED),
    "chunked-twice": post(
        b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=CHUNKS + SMUGGLED
    ),
    "chunked-and-identity": post(b"Transfer-Encoding: chunked, identity", body=CHUNKS + SMUGGLED),
    "identity": post(b"Transfer-Encoding: identity", b"Content-Length: 0", body=SMUGGLED),
    "xchunked": post(b"Transfer-Encoding: xchunked", b"Content-Length: 0", body=SMUGGLED),
    "xchunked-alone": post(b"Transfer-Encoding: xchunked", body=CHUNKS + SMUGGLED),
    "chunked-with-parameter": post(b"Transfer-Encoding: chunked;a=b", body=CHUNKS + SMUGGLED),
    "chunked-in-quotes": post(b'Transfer-Encoding: "chunked"', body=CHUNKS + SMUGGLED),
    "chunked-with-vertical-tab": post(b"Transfer-Encoding: \x0bchunked", body=CHUNKS + SMUGGLED),
    "chunked-in-a-folded-line": post(b"Transfer-Encoding:\r\n chunked", body=CHUNKS + SMUGGLED),
    "folded-line": post(b"X: a\r\n b", b"Content-Length: 0"),
    "folded-first-line": b"GET / HTTP/1.1\r\n X: y\r\nHost: x\r\n\r\n",
    "bare-line-feeds": b"POST /v1/files HTTP/1.1\nHost: x\nContent-Length: 0\n\n",
    "bare-line-feed-in-field": post(b"X: a\nContent-Length: 32", body=SMUGGLED),
    "bare-carriage-return-in-field": post(b"X: a\rContent-Length: 32", body=SMUGGLED),
    "bare-carriage-return-at-end": b"GET / HTTP/1.1\rHost: x\r\r",
    "zero-in-field": post(b"X: a\0b", b"Content-Length: 0"),
    "zero-in-path": b"GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n",
    "control-in-path": b"GET /\x01 HTTP/1.1\r\nHost: x\r\n\r\n",
    "space-in-path": b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
    "tab-for-space": b"GET\t/\tHTTP/1.1\r\nHost: x\r\n\r\n",
    "version-twice": b"GET / HTTP/1.1 HTTP/1.1\r\nHost: x\r\n\r\n",
    "version-2.0": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "version-1.9": b"GET / HTTP/1.9\r\nHost: x\r\n\r\n",
    "no-host": b"GET / HTTP/1.1\r\n\r\n",
    "two-hosts": b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "empty-name": post(b": x", b"Content-Length: 0"),
    "line-without-colon": post(b"nonsense", b"Content-Length: 0"),
    "method-with-line": b"GET\r\n / HTTP/1.1\r\nHost: x\r\n\r\n",
    "lower-case-method": b"get / HTTP/1.1\r\nHost: x\r\n\r\n",
    "method-of-ones-own": b"FROBNICATE / HTTP/1.1\r\nHost: x\r\n\r\n",
    "chunk-size-with-prefix": post(
        b"Transfer-Encoding: chunked", body=b"0x5\r\nhello\r\n0\r\n\r\n" + SMUGGLED
    ),
    "chunk-size-with-sign": post(b"Transfer-Encoding: chunked", body=b"+5\r\nhello\r\n0\r\n\r\n" + SMUGGLED),
    "chunk-size-with-space": post(b"Transfer-Encoding: chunked", body=b"5 \r\nhello\r\n0\r\n\r\n"),
    "chunk-size-too-large": post(b"Transfer-Encoding: chunked", body=b"f" * 17 + b"\r\nhello\r\n0\r\n\r\n"),
    "chunk-size-with-underscore": post(b"Transfer-Encoding: chunked", body=b"0_5\r\nhello\r\n0\r\n\r\n"),
    "chunk-ends-in-line-feed": post(b"Transfer-Encoding: chunked", body=b"5\nhello\n0\n\n" + SMUGGLED),
    "chunk-longer-than-its-size": post(b"Transfer-Encoding: chunked", body=b"2\r\nhello\r\n0\r\n\r\n"),
    "chunk-extension-with-line-feed": post(
        b"Transfer-Encoding: chunked", body=b"5;a\nb\r\nhello\r\n0\r\n\r\n"
    ),
    "trailers": post(
        b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\nContent-Length: 32\r\nX: y\r\n\r\n"
    ),
    "version-1.0-with-chunks": b"POST /v1/files HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"
    + CHUNKS
    + SMUGGLED,
    "authority-form": b"GET other.example:80 HTTP/1.1\r\nHost: x\r\n\r\n",
    "authority-form-with-user": b"GET user@other.example:80 HTTP/1.1\r\nHost: x\r\n\r\n",
    "query-alone": b"GET ?x HTTP/1.1\r\nHost: x\r\n\r\n",
    "bytes-in-path": b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    "backslash-for-slash": b"GET \\admin HTTP/1.1\r\nHost: x\r\n\r\n",
}
#: Refused by a status, for each of which the connection goes on: what follows is another request.
NOT_SERVED = {
    "options-with-a-star": (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    "connect": (b"CONNECT other.example:443 HTTP/1.1\r\nHost: x\r\n\r\n", 405),
    "connect-to-a-path": (b"CONNECT /v1/models HTTP/1.1\r\nHost: x\r\n\r\n", 405),
    "trace": (b"TRACE / HTTP/1.1\r\nHost: x\r\n\r\n", 405),
    "absolute-form-without-a-path": (b"GET http://other.example HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    "host-with-path": (b"GET / HTTP/1.1\r\nHost: x/admin\r\n\r\n", 400),
}
HELLO = ("POST /base/v1/files", b"hello")
#: What can be read in one way only, and how the upstream has to read it: method, path and body of each.
PASSED = {
    "underscore-in-name": (
        post(b"Content_Length: 32", b"Content-Length: 0", body=SMUGGLED),
        [("POST /base/v1/files", b""), ("GET /base/admin", b"")],
    ),
    "identity-and-chunked": (
        post(b"Transfer-Encoding: identity, chunked", body=CHUNKS + SMUGGLED),
        [("POST /base/v1/files", b"hello"), ("GET /base/admin", b"")],
    ),
    "chunked-after-tab": (post(b"Transfer-Encoding:\tchunked", body=CHUNKS), [HELLO]),
    "chunked-in-capitals": (post(b"Transfer-Encoding: CHUNKED", body=CHUNKS), [HELLO]),
    "chunk-extension": (post(b"Transfer-Encoding: chunked", body=b"5;a=b\r\nhello\r\n0\r\n\r\n"), [HELLO]),
    "two-spaces": (b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n", [("GET /base/", b"")]),
    "connection-names-the-length": (
        post(b"Connection: Content-Length", b"Content-Length: 5", body=b"hello"),
        [HELLO],
    ),
    "connection-names-the-chunks": (
        post(b"Connection: Transfer-Encoding", b"Transfer-Encoding: chunked", body=CHUNKS),
        [HELLO],
    ),
    "connection-names-the-host": (
        post(b"Connection: Host, X-Forwarded-For, X-Request-ID", b"Content-Length: 0"),
        [("POST /base/v1/files", b"")],
    ),
    "upgrade-to-http-2": (
        post(
            b"Connection: Upgrade, HTTP2-Settings",
            b"Upgrade: h2c",
            b"HTTP2-Settings: AAMAAABk",
            b"Content-Length: 0",
        ),
        [("POST /base/v1/files", b"")],
    ),
    "upgrade-of-a-request-with-a-body": (
        post(b"Connection: Upgrade", b"Upgrade: websocket", b"Content-Length: 32", body=SMUGGLED),
        [("POST /base/v1/files", SMUGGLED)],
    ),
    "get-with-a-body": (
        b"GET /v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: 32\r\n\r\n" + SMUGGLED,
        [("GET /base/v1/files", SMUGGLED)],
    ),
    "absolute-form": (b"GET http://other.example/x HTTP/1.1\r\nHost: x\r\n\r\n", [("GET /base/x", b"")]),
    "absolute-form-of-another-scheme": (
        b"GET ftp://other.example/x HTTP/1.1\r\nHost: x\r\n\r\n",
        [("GET /base/x", b"")],
    ),
    "method-of-another-protocol": (
        b"PROPFIND /x HTTP/1.1\r\nHost: x\r\nDepth: 1\r\n\r\n",
        [("PROPFIND /base/x", b"")],
    ),
    "fragment": (b"GET /a#/b/../admin HTTP/1.1\r\nHost: x\r\n\r\n", [("GET /base/a", b"")]),
    "blank-lines-first": (b"\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", [("GET /base/", b"")]),
    "another-after-it": (
        b"GET /one HTTP/1.1\r\nHost: x\r\n\r\nGET /two HTTP/1.1\r\nHost: x\r\n\r\n",
        [("GET /base/one", b""), ("GET /base/two", b"")],
    ),
}


class Strict:
    """An upstream that plays `record`: it takes requests apart, and asserts that there is one way to."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, bytes]] = []
        self.fields: list[list[bytes]] = []

    async def record(self, talk: Talk) -> None:
        data = b""
        while more := await soon(talk.reader.read(2**16)):
            data += more
            while (end := data.find(b"\r\n\r\n")) >= 0:
                head = HEAD.fullmatch(data[: end + 4])
                assert head, f"the upstream got {data!r}"
                fields = head["fields"].split(b"\r\n")[:-1]
                body, data = await self._body(talk, fields, data[end + 4 :])
                self.taken.append((head["line"].decode().removesuffix(" HTTP/1.1"), body))
                self.fields.append(fields)
                await talk.send(NEXT)
        assert data == b"", f"the upstream got {data!r}"

    async def _body(self, talk: Talk, fields: list[bytes], rest: bytes) -> tuple[bytes, bytes]:
        framing = [field for field in fields if field.lower().startswith((b"content-length:", b"transfer-"))]
        assert len(framing) <= 1
        if not framing:
            return b"", rest
        if framing == [b"Transfer-Encoding: chunked"]:
            while not rest.endswith(LAST_CHUNK):
                rest += await soon(talk.reader.read(2**16))
            return b"".join(unchunked(rest)), b""
        length = int(framing[0].removeprefix(b"Content-Length: "))
        while len(rest) < length:
            rest += await soon(talk.reader.read(2**16))
        return rest[:length], rest[length:]


def unchunked(data: bytes) -> list[bytes]:
    """Take chunks apart, which have to be written as we would write them."""
    size = int(data.partition(b"\r\n")[0], 16)
    if not size:
        assert data == LAST_CHUNK
        return []
    begin = data.index(b"\r\n") + 2
    taken = data[begin : begin + size]
    assert data.startswith(chunk(taken))
    return [taken, *unchunked(data.removeprefix(chunk(taken)))]


@pytest.fixture
def road() -> None:
    """Take any: they differ in answers alone."""


@pytest.mark.parametrize("request_", REFUSED.values(), ids=REFUSED)
async def test_ambiguous_request_is_refused(talking, request_):
    """And all that came with it: the connection is closed."""
    async with talking(Strict().record) as (upstream, client):
        await client.send(request_)
        assert (await client.error())[0].status == 400
        assert await client.closed() == b""

        assert upstream.talks == []


@pytest.mark.parametrize(("request_", "status"), NOT_SERVED.values(), ids=NOT_SERVED)
async def test_request_that_is_not_served(talking, request_, status):
    strict = Strict()
    async with talking(strict.record, path="/base") as (_, client):
        await client.send(request_)
        head, _ = await client.error()
        assert head.status == status
        assert ("allow" in head.headers) is (status == 405)
        await client.request("GET", "/next")
        assert await client.body(await client.head()) == b"next"

        assert strict.taken == [("GET /base/next", b"")]


@pytest.mark.parametrize(("request_", "requests"), PASSED.values(), ids=PASSED)
async def test_request_is_passed_so_that_it_can_be_read_in_one_way(talking, request_, requests):
    strict = Strict()
    async with talking(strict.record, path="/base") as (upstream, client):
        await client.send(request_)
        for _ in requests:
            assert await client.body(await client.head()) == b"next"

        assert strict.taken == requests
        for fields in strict.fields:
            names = [field.partition(b":")[0].title() for field in fields]
            assert names.count(b"Host") == 1
            assert f"Host: 127.0.0.1:{upstream.port}".encode() in fields
            assert not {b"Connection", b"Upgrade", b"Http2-Settings", b"Te", b"Keep-Alive"} & set(names)


@pytest.mark.parametrize("line", [b"GET /\r\nHost: x\r\n\r\n", b"GET / HTTP/0.9\r\nHost: x\r\n\r\n"])
async def test_version_without_heads_is_not_served(talking, line):
    async with talking(Strict().record) as (upstream, client):
        await client.send(line)
        assert b"says nothing of HTTP" in await client.closed()

        assert upstream.talks == []
