"""A gigabyte through a running proxy, in either direction: every byte arrives, and memory stays as it was."""

import asyncio
import re
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.cli.serving import Served, serving
from tests.plain_client import PlainClient
from tests.scripted import EMPTY, LAST_CHUNK, Scripted, Talk, chunk, soon

GIGABYTE = 2**30
BLOCK = bytes(range(256)) * 4096
BLOCKS = GIGABYTE // len(BLOCK)
#: What a peak may be above the start, in bytes: buffers of two sockets, and what Python keeps for itself.
ROOM = 24 * 2**20
#: What is held at most of a form while its model is looked for.
FORM_ROOM = ROOM + 2**25

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="only Linux tells the peak of another process's memory"
)


class Memory:
    """The memory of a process, in bytes, from now on."""

    def __init__(self, served: Served) -> None:
        self._proc = Path("/proc") / str(served.process.pid)
        (self._proc / "clear_refs").write_text("5")  # the peak begins anew: proc(5)
        self._start = self._read("VmRSS")

    @property
    def growth(self) -> int:
        return self._read("VmHWM") - self._start

    def _read(self, name: str) -> int:
        (size,) = re.findall(rf"^{name}:\s+(\d+) kB$", (self._proc / "status").read_text(), re.MULTILINE)
        return int(size) * 1024


class Sum:
    """Length and checksum of what has come."""

    def __init__(self) -> None:
        self.size = self.checksum = 0

    def add(self, data: bytes) -> None:
        self.size += len(data)
        self.checksum = zlib.crc32(data, self.checksum)

    async def read(self, reader: asyncio.StreamReader, size: int) -> None:
        """Add so many bytes from a socket."""
        while size:
            data = await soon(reader.read(min(size, len(BLOCK))))
            assert data, f"{size} bytes are missing"
            size -= len(data)
            self.add(data)

    async def read_chunks(self, next_chunk: Callable[[], Awaitable[bytes]]) -> None:
        while data := await next_chunk():
            self.add(data)


async def sent(send: Callable[..., Awaitable[None]], *, chunked: bool) -> Sum:
    total = Sum()
    for number in range(BLOCKS):
        block = b"%08d" % number + BLOCK[8:]
        total.add(block)
        await send(chunk(block) if chunked else block)
    if chunked:
        await send(LAST_CHUNK)
    return total


def framing(chunked: bool, more: int = 0) -> bytes:
    return b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % (GIGABYTE + more)


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunks"])
async def test_download(tmp_path: Path, chunked: bool) -> None:
    totals: list[Sum] = []

    async def script(talk: Talk) -> None:
        await talk.receive()
        await talk.send(b"HTTP/1.1 200 OK\r\nContent-Type: audio/wav\r\n" + framing(chunked) + b"\r\n\r\n")
        totals.append(await sent(talk.send, chunked=chunked))

    async with (
        Scripted(script) as upstream,
        serving(upstream, tmp_path / "proxy.yaml") as served,
        PlainClient(served.url) as client,
    ):
        memory = Memory(served)
        await client.request("GET", "/v1/audio/a.wav")
        await client.head()
        got = Sum()
        if chunked:
            await got.read_chunks(client.chunk)
        else:
            await got.read(client.reader, GIGABYTE)

        assert (got.size, got.checksum) == (GIGABYTE, totals[0].checksum)
        assert memory.growth < ROOM


async def received(talk: Talk, got: Sum, *, chunked: bool) -> None:
    head = await talk.receive_head()
    if chunked:
        await got.read_chunks(talk.receive_chunk)
    else:
        await got.read(talk.reader, int(head.headers["content-length"]))
    await talk.send(EMPTY)


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunks"])
async def test_upload(tmp_path: Path, chunked: bool) -> None:
    got = Sum()

    async def script(talk: Talk) -> None:
        await received(talk, got, chunked=chunked)

    async with (
        Scripted(script) as upstream,
        serving(upstream, tmp_path / "proxy.yaml") as served,
        PlainClient(served.url) as client,
    ):
        memory = Memory(served)
        await client.send(b"PUT /v1/files HTTP/1.1\r\nHost: x\r\n" + framing(chunked) + b"\r\n\r\n")
        total = await sent(client.send, chunked=chunked)

        assert (await client.head()).status == 200
        assert (got.size, got.checksum) == (GIGABYTE, total.checksum)
        assert memory.growth < ROOM


async def test_form_whose_model_comes_last(tmp_path: Path) -> None:
    """More of it than may be held comes before: it goes where requests without a model go, and is whole."""
    begun = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    rest = b'\r\n--x\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n--x--\r\n'
    got = Sum()

    async def script(talk: Talk) -> None:
        await received(talk, got, chunked=False)

    routes = {"whisper-1": {"upstream": "local", "model": "ggml"}, "*": {"upstream": "local"}}
    async with (
        Scripted(script) as upstream,
        serving(upstream, tmp_path / "proxy.yaml", models=routes) as served,
        PlainClient(served.url) as client,
    ):
        memory = Memory(served)
        await client.send(
            b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: x\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\n"
            + framing(chunked=False, more=len(begun + rest))
            + b"\r\n\r\n"
            + begun
        )
        total = await sent(client.send, chunked=False)
        await client.send(rest)

        assert (await client.head()).status == 200
        assert got.size == total.size + len(begun + rest)
        assert memory.growth < FORM_ROOM
