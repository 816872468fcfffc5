"""A server behind the proxy that does exactly what a test tells it, byte by byte.

Each connection plays one script: a coroutine that is given a `Talk` and receives,
sends, waits for the test, cuts or resets. Nothing here sleeps: what has to happen
in order is ordered by events, and a wait that is never answered fails the test
after `PATIENCE` seconds instead of hanging it.
"""

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar

T = TypeVar("T")

#: Seconds after which a wait counts as lost; far above what a busy machine needs.
PATIENCE = 20.0

STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\n"
    b"Content-Type: text/event-stream\r\n"
    b"Cache-Control: no-cache\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
LAST_CHUNK = b"0\r\n\r\n"
#: A whole answer that says nothing.
EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """Frame bytes as one HTTP chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def reset(writer: asyncio.StreamWriter) -> None:
    """Break a connection off with a TCP reset."""
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


@contextmanager
def never_accepting() -> Iterator[str]:
    """Have a server whose queue of connections is full, so that Linux lets others wait; give its URL."""
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for each in (first, second):
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        yield f"http://127.0.0.1:{full.getsockname()[1]}"


async def soon(awaitable: Awaitable[T]) -> T:
    """Await what has to happen, but not for ever."""
    async with asyncio.timeout(PATIENCE):
        return await awaitable


@dataclass
class Received:
    """One request as the upstream got it."""

    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def method(self) -> str:
        return self.line.split(" ", 1)[0]

    @property
    def target(self) -> str:
        return self.line.split(" ")[1]


class Talk:
    """One connection, from the script's side."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.requests: list[Received] = []
        #: Bytes that `send_until_blocked` has sent.
        self.sent = 0
        #: Between a script and its test, whichever way round.
        self.go = asyncio.Event()
        self.heard = asyncio.Event()
        #: Set when the proxy has closed its side.
        self.gone = asyncio.Event()
        #: Set when the script is over.
        self.ended = asyncio.Event()

    async def receive(self) -> Received:
        """Read one whole request."""
        received = await self.receive_head()
        if "chunked" in received.headers.get("transfer-encoding", ""):
            while data := await self.receive_chunk():
                received.body += data
        elif length := int(received.headers.get("content-length", "0")):
            received.body = await soon(self.reader.readexactly(length))
        return received

    async def receive_head(self) -> Received:
        """Read a request's head and leave its body where it is."""
        head = (await soon(self.reader.readuntil(b"\r\n\r\n"))).decode("latin-1")
        line, *fields = head.rstrip("\r\n").split("\r\n")
        pairs = (field.split(":", 1) for field in fields)
        received = Received(line, {name.lower(): value.strip() for name, value in pairs}, b"")
        self.requests.append(received)
        return received

    async def receive_chunk(self) -> bytes:
        """Read one chunk of a request's body; b"" is the last."""
        size = int(await soon(self.reader.readuntil(b"\r\n")), 16)
        return (await soon(self.reader.readexactly(size + 2)))[:-2]

    async def send(self, *data: bytes) -> None:
        """Send bytes as they are, and wait until the socket has taken them."""
        self.writer.write(b"".join(data))
        await soon(self.writer.drain())

    async def send_until_blocked(self, data: bytes, limit: int) -> None:
        """Send `data` again and again until for a while nothing was taken, or up to `limit` bytes."""
        while self.sent < limit:
            self.writer.write(data)
            self.sent += len(data)
            try:
                async with asyncio.timeout(0.5):
                    await self.writer.drain()
            except TimeoutError:
                break

    async def closed(self) -> None:
        """Wait until the proxy has closed the connection; it must send nothing before."""
        try:
            rest = await soon(self.reader.read())
        except ConnectionError:
            rest = b""
        assert rest == b"", f"the proxy sent {rest!r} instead of closing"
        self.gone.set()

    async def closed_within(self, seconds: float) -> None:
        """Wait as `closed` does, for a while.

        Raises:
            TimeoutError: the proxy has not closed, and sends nothing.
        """
        async with asyncio.timeout(seconds):
            await self.closed()

    def reset(self) -> None:
        """Break the connection off with a TCP reset."""
        reset(self.writer)


Script = Callable[[Talk], Awaitable[None]]


class Scripted:
    """The server: the first connection plays the first script, …, later ones the last.

    A script that fails makes the `async with` around the server fail.

    Args:
        scripts: at least one.
        tls: to speak it.
        listening: a socket that listens already, elsewhere than on 127.0.0.1.
    """

    def __init__(
        self, *scripts: Script, tls: ssl.SSLContext | None = None, listening: socket.socket | None = None
    ) -> None:
        self._tls = tls
        self._listening = listening
        self.host = "127.0.0.1"
        self.scripts = scripts
        self.talks: list[Talk] = []
        self.port = 0
        #: Set when the first connection has come.
        self.called = asyncio.Event()
        self._playing: set[asyncio.Task[None]] = set()
        self._failures: list[BaseException] = []
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://{self.host}:{self.port}"

    @property
    def requests(self) -> list[Received]:
        """Every request of every connection, in the order of the connections."""
        return [request for talk in self.talks for request in talk.requests]

    async def __aenter__(self) -> Self:
        place = {"host": self.host, "port": 0} if self._listening is None else {"sock": self._listening}
        self._server = await asyncio.start_server(self._connected, **place, ssl=self._tls)
        self.host, self.port = self._server.sockets[0].getsockname()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        if error is not None:
            for task in self._playing:
                task.cancel()
        if self._playing:
            await asyncio.wait(self._playing, timeout=PATIENCE)
        if error is None and self._failures:
            raise self._failures[0]

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._playing.add(task)
        talk = Talk(reader, writer)
        script = self.scripts[min(len(self.talks), len(self.scripts) - 1)]
        self.talks.append(talk)
        self.called.set()
        try:
            await script(talk)
        except Exception as failure:  # noqa: BLE001 - kept, and raised where the test sees it
            self._failures.append(failure)
        finally:
            writer.transport.close()
            talk.ended.set()
            self._playing.discard(task)
