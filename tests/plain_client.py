"""A client that sees HTTP as it stands on the wire: status, header fields, and each chunk by itself."""

import asyncio
import json
import socket
import ssl
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from tests.scripted import PATIENCE, reset, soon


@dataclass
class Head:
    """The head of a response. `headers` has the last field of each name."""

    status: int
    fields: list[tuple[str, str]]
    version: str

    @property
    def headers(self) -> dict[str, str]:
        return dict(self.fields)

    def all(self, name: str) -> list[str]:
        """Return the values of every field of that name."""
        return [value for key, value in self.fields if key == name]


class PlainClient:
    """One connection to a server.

    Args:
        url: of the server; its path does not matter. `unix:…` is a socket's path.
        tls: how to speak it, where the URL is https.
        read_ahead: how many bytes are taken from the socket before somebody asks for them.
        connected: the connection, where it has been made elsewhere.
    """

    def __init__(
        self,
        url: str,
        *,
        read_ahead: int = 2**16,
        tls: ssl.SSLContext | None = None,
        connected: socket.socket | None = None,
    ):
        self.url = url
        parts = urlsplit(url)
        self._socket = parts.path if parts.scheme == "unix" else None
        self._address = parts.hostname, parts.port
        self._tls = tls
        self._read_ahead = read_ahead
        self._connected = connected

    async def __aenter__(self) -> Self:
        options = {"limit": self._read_ahead, "ssl": self._tls}
        if self._connected is not None:
            opened = asyncio.open_connection(sock=self._connected, limit=self._read_ahead)
        elif self._socket is not None:
            opened = asyncio.open_unix_connection(self._socket, **options)
        else:
            opened = asyncio.open_connection(*self._address, **options)
        self.reader, self.writer = await soon(opened)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.leave()

    async def leave(self) -> None:
        """Close the connection, whatever is still to come."""
        self.writer.transport.abort()

    def reset(self) -> None:
        """Break the connection off with a TCP reset."""
        reset(self.writer)

    async def post(self, path: str, body: object, **headers: str) -> None:
        """Send a POST; a body that is no bytes is sent as JSON."""
        await self.request("POST", path, body, **headers)

    async def request(self, method: str, path: str, body: object = None, **headers: str) -> None:
        """Send a request. Underscores in the names of fields stand for hyphens."""
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        fields = {"Host": "proxy.test", **{name.replace("_", "-"): value for name, value in headers.items()}}
        if body is not None:
            fields["Content-Length"] = str(len(data))
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        await self.send("\r\n".join([*lines, "", ""]).encode() + data)

    async def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.writer.write(data)
        await soon(self.writer.drain())

    async def head(self) -> Head:
        """Read the head of a response."""
        text = (await soon(self.reader.readuntil(b"\r\n\r\n"))).decode("latin-1")
        line, *fields = text.rstrip("\r\n").split("\r\n")
        pairs = (field.split(":", 1) for field in fields)
        version, status, *_ = line.split(" ")
        return Head(int(status), [(name.lower(), value.strip()) for name, value in pairs], version)

    async def chunk(self) -> bytes:
        """Read one HTTP chunk; b"" is the last."""
        size = int(await soon(self.reader.readuntil(b"\r\n")), 16)
        return (await soon(self.reader.readexactly(size + 2)))[:-2]

    async def chunks(self) -> list[bytes]:
        """Read all chunks that are left, up to the proper end."""
        found = []
        while data := await self.chunk():
            found.append(data)
        return found

    async def body(self, head: Head) -> bytes:
        """Read a body that has a length."""
        return await soon(self.reader.readexactly(int(head.headers["content-length"])))

    async def error(self) -> tuple[Head, dict[str, Any]]:
        """Read a whole response that is an error in OpenAI's form."""
        head = await self.head()
        assert head.headers["content-type"].startswith("application/json")
        return head, json.loads(await self.body(head))["error"]

    async def closed(self) -> bytes:
        """Wait until the server has closed; return what it sent before."""
        return await soon(self.reader.read())


async def refused(url: str) -> None:
    """Wait until nobody listens any more."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                async with PlainClient(url):
                    await asyncio.sleep(0)
            except ConnectionError:
                return
