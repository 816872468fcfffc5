"""A stream that needs no repair, event by event, scripts that send it or spoil it, and how one is begun."""

import asyncio
import json
from contextlib import suppress

from tests.plain_client import PlainClient
from tests.scripted import LAST_CHUNK, STREAM_HEAD, Script, Scripted, Talk, chunk, soon

PATH = "/v1/chat/completions"
QUESTION = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "Count to 3."}]}
#: A request for each way through the proxy: passed through, the list of models, a stream, a whole answer.
WAYS = [
    ("GET", "/x", None),
    ("GET", "/v1/models", None),
    ("POST", PATH, QUESTION),
    ("POST", PATH, QUESTION | {"stream": False}),
]


def event(content: str | None = None, *, finish: str | None = None, **delta: str) -> bytes:
    """Make one event of a stream that needs no repair."""
    if content is not None:
        delta["content"] = content
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    envelope = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1684665888, "model": "m"}
    data = json.dumps(envelope | {"choices": [choice]}, separators=(",", ":"))
    return f"data: {data}\n\n".encode()


ROLE = event(role="assistant")
ONE, TWO, THREE = event("1"), event(" 2"), event(" 3")
STOP = event(finish="stop")
DONE = b"data: [DONE]\n\n"
WHOLE = [ROLE, ONE, TWO, THREE, STOP, DONE]


def answers(*data: bytes) -> Script:
    """Make a script: take a request, send these bytes, close."""

    async def script(talk: Talk) -> None:
        await talk.receive()
        await talk.send(*data)

    return script


def serves(*data: bytes) -> Script:
    """Make a script: answer every request with these bytes, for as long as there are any."""

    async def script(talk: Talk) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await talk.receive()
                await talk.send(*data)

    return script


def stays(*data: bytes) -> Script:
    """Make a script: take a request, send these bytes, then nothing more until the proxy closes."""

    async def script(talk: Talk) -> None:
        await talk.receive()
        await talk.send(*data)
        await talk.closed()

    return script


async def held(talk: Talk) -> None:
    """Answer a request with a stream that ends when the test wants it to."""
    await talk.receive()
    await talk.send(STREAM_HEAD, chunk(ROLE))
    await soon(talk.go.wait())
    await talk.send(chunk(STOP + DONE), LAST_CHUNK)


async def begin(client: PlainClient) -> None:
    """Ask for a stream, and see it begin."""
    await client.post(PATH, QUESTION)
    assert (await client.head()).status == 200
    assert await client.chunk() == ROLE


async def held_back(upstream: Scripted, client: PlainClient, limit: int) -> Talk:
    """Ask for a stream and read nothing until the upstream cannot send more, which must be below a limit."""
    await client.post(PATH, QUESTION)
    await soon(upstream.called.wait())
    talk = upstream.talks[0]
    await soon(talk.go.wait())
    assert talk.sent < limit
    return talk


def error_of(frame: bytes) -> dict[str, object]:
    """Return the error that an event holds."""
    assert frame.startswith(b"data: ")
    assert frame.endswith(b"\n\n")
    error = json.loads(frame[len(b"data: ") :])["error"]
    assert set(error) >= {"message", "type", "param", "code"}
    return error
