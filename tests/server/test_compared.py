"""What passes through is what the upstream says when it is asked directly: the same head, the same bytes."""

import gzip
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest
from aiohttp import web

from tests.plain_client import Head, PlainClient
from tests.scripted import LAST_CHUNK, chunk, soon
from tests.server.running import running

FORM = b"Content-Type: multipart/form-data; boundary=x"
ODD = (b"X-A: 1", b"x-a: 2", b"X-Empty:", b"X-Utf8: \xc3\xa9", b"Cookie: a=1; b=2")
LONG_AGO = b"Thu, 01 Jan 1970 00:00:00 GMT"
FILE = bytes(range(256)) * 400
#: What belongs to one connection or one request, and so differs.
OWN = {"connection", "date", "keep-alive", "x-request-id"}
#: What a proxy tells an upstream, or a connection needs.
TOLD = {
    "via",
    "connection",
    "host",
    "x-request-id",
    "forwarded",
    *(f"x-forwarded-{a}" for a in ("for", "host", "proto")),
}
EVENTS = (
    b"\xef\xbb\xbf: hello\n\nevent: ping\r\nid: 1\r\ndata: {}\r\n\r\n"
    b"retry: 5\rdata: a\rdata: b\r\rdata: [DONE]"
)


@dataclass
class Asked:
    """A request: its line, its fields, its body, and how that is framed."""

    method: str
    target: str
    fields: tuple[bytes, ...] = ()
    body: bytes | None = None
    chunked: bool = False

    @property
    def bytes(self) -> bytes:
        lines = [f"{self.method} {self.target} HTTP/1.1".encode(), b"Host: proxy.test", *self.fields]
        if self.body is None:
            return b"\r\n".join([*lines, b"", b""])
        if not self.chunked:
            return b"\r\n".join([*lines, b"Content-Length: %d" % len(self.body), b"", self.body])
        pieces = [chunk(self.body[at : at + 5000]) for at in range(0, len(self.body), 5000)]
        return b"\r\n".join([*lines, b"Transfer-Encoding: chunked", b"", b"".join([*pieces, LAST_CHUNK])])


async def echo(request: web.Request) -> web.StreamResponse:
    """Say in the head what was asked, and give the body back."""
    body = await request.read()
    fields = [(name.lower(), value) for name, value in request.headers.items()]
    # No body, and one of no bytes, are the same to HTTP.
    kept = [field for field in fields if field[0] not in TOLD and field != ("content-length", "0")]
    told = json.dumps([request.method, request.raw_path, sorted(kept), len(body)])
    headers = {"X-Asked": told, "X-Body": hashlib.sha256(body).hexdigest()}
    for name in ("Content-Type", "Content-Encoding"):
        if name in request.headers:
            headers[name] = request.headers[name]
    return web.Response(status=int(request.query.get("status", "200")), body=body, headers=headers)


async def piecewise(request: web.Request) -> web.StreamResponse:
    """Send a body without a length, in pieces of many sizes."""
    response = web.StreamResponse(headers={"Content-Type": request.query["type"], "Set-Cookie": "a=1"})
    response.headers.add("Set-Cookie", "b=2")
    await response.prepare(request)
    body = EVENTS if "event" in request.query["type"] else FILE
    for at in range(0, len(body), size := int(request.query["size"])):
        await response.write(body[at : at + size])
    return response


@asynccontextmanager
async def real_server(folder: Path) -> AsyncIterator[str]:
    application = web.Application(client_max_size=2**26)
    application.router.add_route("*", "/echo{rest:.*}", echo)
    application.router.add_get("/pieces", piecewise)
    application.router.add_static("/files", folder)
    runner = web.AppRunner(application, shutdown_timeout=1, auto_decompress=False)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def answer(url: str, asked: Asked) -> tuple[Head, bytes]:
    async with PlainClient(url) as client:
        await client.send(asked.bytes)
        head = await client.head()
        if asked.method == "HEAD" or head.status in (204, 304):
            body = b""
        elif head.headers.get("transfer-encoding") == "chunked":
            body = b"".join(await client.chunks())
        else:
            body = await client.body(head)
        # The connection is still in step: the next request gets its own answer.
        await client.request("GET", "/echo?next")
        assert (await soon(client.head())).status == 200
        return head, body


def without_own(head: Head) -> tuple[int, list[tuple[str, str]]]:
    return head.status, sorted(field for field in head.fields if field[0] not in OWN)


BODIES = {
    "none": None,
    "empty": b"",
    "one-byte": b"\0",
    "text": "größer\r\n\r\n0\r\n\r\n".encode(),
    "json": b'{"model": "m", "x": 1e2}',
    "70KB": bytes(range(256)) * 280,
    "3MB": hashlib.sha512(b"x").digest() * 49152,
}
TARGET = "/echo/a%2Fb?x=%20y"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND")

BODIES_OF_ALL_METHODS = {
    f"{method}-{name}-{'chunks' if chunked else 'length'}": Asked(method, TARGET, (), body, chunked)
    for method, (name, body), chunked in product(METHODS, BODIES.items(), (False, True))
    if not (body is None and chunked)
}
FIELDS = {
    "head": Asked("HEAD", "/echo"),
    "head-of-a-file": Asked("HEAD", "/files/file.bin"),
    "gzip-both-ways": Asked(
        "POST",
        "/echo",
        (b"Content-Encoding: gzip", b"Content-Type: text/plain", b"Accept-Encoding: gzip"),
        gzip.compress(FILE, mtime=0),
    ),
    "what-is-no-gzip": Asked("POST", "/echo", (b"Content-Encoding: gzip",), b"plain"),
    "form": Asked("POST", "/echo", (FORM,), b"--x\r\n\r\na\r\n--x--"),
    "odd-fields": Asked("GET", "/echo", ODD),
    "no-accept": Asked("GET", "/echo", (b"Accept: text/x;q=0.1", b"User-Agent: odd/1")),
    "file": Asked("GET", "/files/file.bin"),
    "file-not-there": Asked("GET", "/files/nothing"),
    "range": Asked("GET", "/files/file.bin", (b"Range: bytes=10-19",)),
    "range-from": Asked("GET", "/files/file.bin", (b"Range: bytes=102390-",)),
    "range-last": Asked("GET", "/files/file.bin", (b"Range: bytes=-5",)),
    "range-beyond": Asked("GET", "/files/file.bin", (b"Range: bytes=999999-",)),
    "range-if": Asked("GET", "/files/file.bin", (b"Range: bytes=0-4", b'If-Range: "other"')),
    "range-head": Asked("HEAD", "/files/file.bin", (b"Range: bytes=0-4",)),
    "modified": Asked("GET", "/files/file.bin", (b"If-Modified-Since: " + LONG_AGO,)),
    "not-modified": Asked("GET", "/files/file.bin", (b"If-Modified-Since: Thu, 01 Jan 2099 00:00:00 GMT",)),
    "none-match": Asked("GET", "/files/file.bin", (b"If-None-Match: *",)),
    "unmodified-since": Asked("GET", "/files/file.bin", (b"If-Unmodified-Since: " + LONG_AGO,)),
    "match": Asked("GET", "/files/file.bin", (b'If-Match: "other"',)),
}
STATUSES = {
    f"status-{status}": Asked("GET", f"/echo?status={status}")
    for status in (201, 202, 204, 205, 206, 207, 304, 400, 401, 404, 409, 418, 429, 500, 503, 599)
}
PIECES = {
    f"pieces-{size}-{kind}": Asked("GET", f"/pieces?size={size}&type={kind}/x")
    for size, kind in product((1, 100, 65536), ("event", "audio"))
    if (size, kind) != (1, "audio")
}
TABLE = {"bodies": BODIES_OF_ALL_METHODS, "fields": FIELDS, "statuses": STATUSES, "pieces": PIECES}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    (folder / "file.bin").write_bytes(FILE)
    return folder


@pytest.mark.parametrize("kind", TABLE)
async def test_answer_is_the_upstreams_own(kind: str, folder: Path) -> None:
    async with real_server(folder) as upstream, running(upstream) as proxy:
        for name, asked in TABLE[kind].items():
            head, body = await answer(upstream, asked)
            ours, passed = await answer(proxy.url, asked)

            assert without_own(ours) == without_own(head), name
            assert passed == body, name
            # It says what it was asked; that it says the same shows that the request has passed unchanged.
            assert ("x-asked" in head.headers) == asked.target.startswith("/echo"), name
