"""The upstream fails before it has answered: the client gets a real status, and can go on."""

from contextlib import suppress

import pytest

from tests.faults.asking import ASKS, NEXT, get
from tests.faults.upstreams import at_once, goes_on, then_resets, waits
from tests.plain_client import PlainClient
from tests.scripted import Talk, soon
from tests.server.streams import PATH, answers, serves

#: Below the limits of `talking`, and above what a busy machine needs to get there.
SHORT = {"first_byte": "200ms"}


HEAD = b"HTTP/1.1 200 OK\r\n"
TRUNCATED, MALFORMED, TIMEOUT = "upstream_truncated", "upstream_malformed", "upstream_timeout"
FAULTS = {
    "closes-before-the-request": (at_once(lambda talk: talk.writer.close()), TRUNCATED),
    "resets-before-the-request": (at_once(Talk.reset), TRUNCATED),
    "closes-after-the-request": (answers(), TRUNCATED),
    "resets-after-the-request": (then_resets(), TRUNCATED),
    "closes-in-the-head": (answers(HEAD + b"Content-Le"), TRUNCATED),
    "resets-in-the-head": (then_resets(HEAD + b"Content-Le"), TRUNCATED),
    "says-nothing": (waits(), TIMEOUT),
    "stalls-in-the-head": (waits(HEAD + b"Content-Le"), TIMEOUT),
    "sends-the-head-bit-by-bit": (goes_on(HEAD + b"X-Slow: ", b"x"), TIMEOUT),
    "stalls-after-continue": (waits(b"HTTP/1.1 100 Continue\r\n\r\n"), TIMEOUT),
    "sends-continue-for-ever": (goes_on(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), TIMEOUT),
    "sends-early-hints-for-ever": (goes_on(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"), TIMEOUT),
    "sends-a-header-field-without-end": (goes_on(HEAD + b"X-Bomb: ", b"x" * 2**16), MALFORMED),
    "sends-header-fields-without-end": (goes_on(HEAD, b"X-Bomb: x\r\n" * 2**12), MALFORMED),
    "speaks-no-http": (waits(b"220 mail.example ESMTP\r\n"), MALFORMED),
    "speaks-tls": (waits(b"\x15\x03\x01\x00\x02\x02\x46"), MALFORMED),
    "has-two-lengths": (
        waits(HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc"),
        MALFORMED,
    ),
    "has-a-length-that-is-none": (waits(HEAD + b"Content-Length: -1\r\n\r\nabc"), MALFORMED),
    "has-a-length-and-chunks": (
        waits(HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"),
        MALFORMED,
    ),
    "has-a-bare-carriage-return": (
        waits(HEAD + b"X: a\rY: b\r\nContent-Length: 0\r\n\r\n"),
        MALFORMED,
    ),
    "has-a-zero-in-a-field": (waits(HEAD + b"X: a\0b\r\nContent-Length: 0\r\n\r\n"), MALFORMED),
}


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
@pytest.mark.parametrize(("script", "code"), FAULTS.values(), ids=FAULTS)
async def test_answer_that_does_not_begin(talking, script, code, ask):
    async with talking(script, serves(NEXT), upstream_timeouts=SHORT) as (upstream, client):
        await ask.ask(client)
        head, error = await client.error()

        assert (head.status, error["code"]) == (504 if code == TIMEOUT else 502, code)
        assert f"127.0.0.1:{upstream.port}" in error["message"]
        await soon(upstream.talks[0].ended.wait())

        await client.request("GET", "/next")
        assert await client.body(await client.head()) == b"next"


@pytest.mark.parametrize("path", [PATH, "/v1/files"], ids=["read", "passed"])
async def test_request_that_is_not_taken(talking, path):
    """The upstream reads the head, and no more; what it has not been sent is not kept for it."""

    async def script(talk: Talk) -> None:
        await talk.receive_head()
        await soon(talk.go.wait())
        with suppress(ConnectionError):
            while await soon(talk.reader.read(2**20)):
                pass
        talk.gone.set()

    body = b'{"model":"m","stream":true,"x":"' + b"x" * 2**24 + b'"}'
    async with talking(script, serves(NEXT), upstream_timeouts=SHORT) as (upstream, client):
        await client.post(path, body)
        head, error = await client.error()
        assert (head.status, error["code"]) == (504, TIMEOUT)

        upstream.talks[0].go.set()
        await soon(upstream.talks[0].gone.wait())
        async with PlainClient(client.url) as other:
            assert await get(other) == b"next"
