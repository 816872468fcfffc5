"""Requests past aiohttp's session: to the byte what it would send, and nothing that nobody meant."""

import pytest
from multidict import CIMultiDict

from proxy.errors import UpstreamMalformed
from proxy.server.clients.headers import Written
from tests.scripted import Scripted, Talk, soon
from tests.server.streams import PATH, answers, serves
from tests.server.test_upstream import OK, asking, read_all

pytestmark = pytest.mark.usefixtures("road")


async def as_sent(method: str, target: str, headers: dict[str, str], body: bytes | None) -> bytes:
    """Return the bytes of a request as the upstream gets them."""
    got = []

    async def script(talk: Talk) -> None:
        head = await soon(talk.reader.readuntil(b"\r\n\r\n"))
        got.append(head + await soon(talk.reader.readexactly(len(body or b""))))
        await talk.send(OK)

    async with Scripted(script) as server, asking(server, own={"X-Own": "1"}) as upstream:
        async with await soon(upstream.ask(method, target, headers=headers, body=body)) as answer:
            await read_all(answer)
        return got[0].replace(b"%d" % server.port, b"PORT")


HEAD = b" HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n"
REQUESTS = {
    "post": (
        ("POST", "/v1/x?a=%20b&c=%C3%A9+d", {"X-A": "1", "Cookie": "a=1; b=2"}, b"{}"),
        HEAD + b"X-A: 1\r\nCookie: a=1; b=2\r\nX-Own: 1\r\nContent-Length: 2\r\n\r\n{}",
    ),
    "get": (("GET", "/", {}, None), HEAD + b"X-Own: 1\r\n\r\n"),
    "post-without-a-body": (
        ("POST", "/", {}, None),
        HEAD + b"X-Own: 1\r\nContent-Length: 0\r\n\r\n",
    ),
    "delete": (
        ("DELETE", "/x", {"X-A": "\u00e9"}, None),
        HEAD + b"X-A: \xc3\xa9\r\nX-Own: 1\r\nContent-Length: 0\r\n\r\n",
    ),
    "own-field": (("GET", "/x", {"X-Own": "2", "x-a": "1"}, None), HEAD + b"X-Own: 1\r\nx-a: 1\r\n\r\n"),
}


@pytest.mark.parametrize(("asked", "expected"), REQUESTS.values(), ids=REQUESTS)
async def test_request_is_the_same_on_each_road(asked, expected):
    method, target, *_ = asked

    assert await as_sent(*asked) == f"{method} {target}".encode() + expected


async def test_fragment_stays_here():
    assert (await as_sent("GET", "/x#y", {}, None)).startswith(b"GET /x HTTP/1.1\r\n")


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\rb", "a\0b"])
async def test_header_field_cannot_smuggle_another(value):
    async with Scripted(serves(OK)) as server, asking(server) as upstream:
        for headers in ({"X-A": value}, {f"X-{value}": "1"}):
            with pytest.raises(ValueError, match="control character"):
                await upstream.ask("POST", PATH, headers=headers, body=b"{}")

    assert server.requests == []


async def test_request_like_the_last_has_what_is_its_own():
    """Its head is taken over, and nothing of what differs; of one that could not be written nothing is."""
    written, fields = Written(), CIMultiDict({"X-A": "1"})
    asked = [
        ("POST", "/1", fields, {"X-Request-ID": "a"}, b"{}"),
        ("POST", "/1", fields, {"X-Request-ID": "b", "Traceparent": "t"}, b"[1]"),
        ("POST", "/2", fields, {"X-Request-ID": "c"}, b""),
        ("POST", "/2", CIMultiDict({"X-A": "2"}), {}, b"{}"),
        ("GET", "/2", CIMultiDict({"X-A": "2"}), {"X-Own": "2"}, None),
    ]
    bad = CIMultiDict({"X-A": "\r\nX-Evil: 1"})
    async with Scripted(serves(OK)) as server, asking(server, own={"X-Own": "1"}) as upstream:
        for method, target, headers, others, body in asked:
            for steady, own in ((bad, {}), (bad, {}), (headers, {"X-B": "\n"})):
                with pytest.raises(ValueError, match="control character"):
                    await upstream.ask(
                        method, target, headers=steady, body=body, passing=own, written=written
                    )
            async with await soon(
                upstream.ask(method, target, headers=headers, body=body, passing=others, written=written)
            ) as answer:
                await read_all(answer)

    got = [(request.method, request.target, request.headers, request.body) for request in server.requests]
    host = {"host": f"127.0.0.1:{server.port}", "x-own": "1"}
    assert got == [
        (
            method,
            target,
            host
            | ({} if body is None else {"content-length": str(len(body))})
            | {name.lower(): value for name, value in (headers.items() | others.items()) if name != "X-Own"},
            body or b"",
        )
        for method, target, headers, others, body in asked
    ]


async def test_answer_that_is_no_http_is_said_to_be_none():
    async with Scripted(answers(b"SSH-2.0-OpenSSH\r\n\r\n")) as server, asking(server) as upstream:
        with pytest.raises(UpstreamMalformed, match="does not speak proper HTTP"):
            await soon(upstream.ask("GET", "/", headers={}))
