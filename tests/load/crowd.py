"""Many at once: an upstream like LocalAI of May 2023 that tells each client something else, and the clients.

What a client asks is `WORDS FATE NUMBER`; the answer is that many words with the number in each. So a word
that is lost, doubled, out of order, or somebody else's shows.
"""

import asyncio
import json
import socket
import struct
from contextlib import suppress
from typing import Final, Self
from urllib.parse import urlsplit

from tests.scripted import LAST_CHUNK, PATIENCE, STREAM_HEAD, chunk

PATH: Final = "/v1/chat/completions"
#: What becomes of an answer: it is whole; it breaks off in the middle; it is a refusal.
WHOLE, BROKEN, REFUSED = "whole", "broken", "refused"
#: Seconds for what takes a busy machine long; far more than it needs.
LONG: Final = 20 * PATIENCE
REFUSAL: Final = b'{"error":{"code":500,"message":"no room in the llama","type":""}}'


def told(number: int, words: int) -> str:
    """Return what a client with this number has to be told."""
    return "".join(f"{number}.{place} " for place in range(words))


def frame(choice: dict[str, object], **more: str) -> bytes:
    """Return one frame as LocalAI wrote it at ed5df1e."""
    usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    data = {**more, "model": "m", "choices": [choice], "usage": usage}
    return b"event: data\n\ndata: " + json.dumps(data, separators=(",", ":")).encode() + b"\n\n\n"


def token(text: str) -> bytes:
    """Return the frame of one token."""
    return frame({"delta": {"role": "assistant", "content": text}}, object="chat.completion.chunk")


class Crowded:
    """The upstream."""

    def __init__(self) -> None:
        self._together = asyncio.Barrier(1)
        self._writers: set[asyncio.StreamWriter] = set()
        self.url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=4096)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.let_go()

    def gather(self, streams: int) -> None:
        """Let so many streams begin before the first of them goes on, from now on."""
        self._together = asyncio.Barrier(streams)

    def let_go(self) -> None:
        """Close the connections that are kept for further requests."""
        for writer in self._writers:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while await self._answer(reader, writer):
                pass
        self._writers.discard(writer)
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; say whether the connection goes on."""
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if b"content-length:" not in head:  # it is asked for its health
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            return True
        length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
        asked = json.loads(await reader.readexactly(length))
        words, fate, number = asked["messages"][-1]["content"].split()
        if fate == REFUSED:
            writer.write(b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\n")
            writer.write(b"Content-Length: %d\r\n\r\n%b" % (len(REFUSAL), REFUSAL))
            return True
        if not asked.get("stream"):
            body = json.dumps({"choices": [{"message": {"content": told(int(number), int(words))}}]}).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
            writer.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
            return True
        return await self._stream(writer, int(number), int(words), broken=fate == BROKEN)

    async def _stream(self, writer: asyncio.StreamWriter, number: int, words: int, *, broken: bool) -> bool:
        writer.write(STREAM_HEAD + chunk(token(f"{number}.0 ")))
        await self._together.wait()
        for place in range(1, words):
            await asyncio.sleep(0)  # so that the answers of many take turns, word by word
            if broken and place == words // 2:
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                writer.transport.abort()
                return False
            writer.write(chunk(token(f"{number}.{place} ")))
            await writer.drain()
        writer.write(chunk(frame({"finish_reason": "stop"})) + LAST_CHUNK)
        return True


class Client:
    """One connection to the proxy, which asks again and again.

    Args:
        url: of the proxy.
    """

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url).hostname, urlsplit(url).port

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(*self._address, limit=2**22)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.transport.abort()

    async def send(self, number: int, words: int, fate: str = WHOLE, *, stream: bool = True) -> None:
        """Send a request."""
        asked = {"model": "m", "messages": [{"role": "user", "content": f"{words} {fate} {number}"}]}
        body = json.dumps(asked | ({"stream": True} if stream else {})).encode()
        head = f"POST {PATH} HTTP/1.1\r\nHost: proxy.test\r\nContent-Length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)
        await self._writer.drain()

    async def begin(self) -> None:
        """Read the head of a stream and its first frames."""
        assert (await self._reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        await self._reader.readuntil(b"\n\n\r\n")

    async def events(self) -> list[bytes]:
        """Read a whole stream; return the data of its events."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head + await self._reader.read(1000)
        body = await self._reader.readuntil(b"\r\n0\r\n\r\n")
        lines = body.split(b"\r\n")[1::2]
        assert all(line.startswith(b"data: ") and line.endswith(b"\n\n") for line in lines if line)
        return [line[6:-2] for line in lines if line]

    async def whole(self) -> tuple[int, dict[str, object]]:
        """Read an answer that is no stream: its status and its JSON."""
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
        return int(head.split()[1]), json.loads(await self._reader.readexactly(length))


def text_of(events: list[bytes]) -> str:
    """Return the text of a whole stream, which has to be one from beginning to end."""
    assert events[-1] == b"[DONE]"
    chunks = [json.loads(event) for event in events[:-1]]
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant"}
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    return "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
