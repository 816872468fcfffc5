"""Several instances of straightwire, each a process, behind a load balancer of Debian's, another process."""

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import sys
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from aiohttp import web

from tests.plain_client import PlainClient
from tests.scripted import LAST_CHUNK, PATIENCE, STREAM_HEAD, Scripted, Talk, chunk, soon
from tests.server.streams import DONE, ONE, PATH, QUESTION, ROLE, STOP, THREE, TWO

ROOT = Path(__file__).parents[2]
BEFORE, AFTER = [ROLE, ONE], [TWO, THREE, STOP, DONE]


def free_port() -> int:
    """Return a port that nobody listens on, for programs that cannot tell which they took."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


async def in_two_halves(talk: Talk) -> None:
    """Send half of a stream, and the rest when the test says so, unless the proxy leaves before."""
    await talk.receive()
    await talk.send(STREAM_HEAD, *map(chunk, BEFORE))
    told, left = asyncio.create_task(talk.go.wait()), asyncio.create_task(talk.reader.read())
    await asyncio.wait({told, left}, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
    if told.done():
        await talk.send(*map(chunk, AFTER), LAST_CHUNK)
    told.cancel()
    left.cancel()


async def taking(talk: Talk) -> None:
    """Take a request, and answer nothing until the proxy leaves."""
    await talk.receive()
    talk.heard.set()
    await soon(talk.reader.read())


class Echo:
    """A server that sends back what comes over a WebSocket."""

    async def __aenter__(self) -> Self:
        self._runner = web.ServerRunner(web.Server(self._handle), shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.WebSocketResponse:
        conversation = web.WebSocketResponse()
        await conversation.prepare(request)
        async for message in conversation:
            await conversation.send_str(message.data)
        return conversation


class Instance:
    """One straightwire, on free ports, until its context ends. It tells its upstream its name."""

    def __init__(self, upstream: Scripted | Echo, name: str = "nameless") -> None:
        self._environ = {name: value for name, value in os.environ.items() if "STRAIGHTWIRE" not in name} | {
            "STRAIGHTWIRE_UPSTREAM": upstream.url,
            "STRAIGHTWIRE_UPSTREAMS__DEFAULT__HEALTH__INTERVAL": "0",
            "STRAIGHTWIRE_UPSTREAMS__DEFAULT__HEADERS": f"{{X-Instance: {name}}}",
            "STRAIGHTWIRE_TRUSTED_PROXIES": "[127.0.0.0/8]",
            "STRAIGHTWIRE_LISTEN": "127.0.0.1:0",
            "STRAIGHTWIRE_ADMIN": "127.0.0.1:0",
            "STRAIGHTWIRE_LOG": "{format: json, output: stdout}",
        }
        self.port = self.admin_port = 0

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "proxy", "serve"),
            cwd=ROOT,
            env=self._environ,
            stdout=asyncio.subprocess.PIPE,
        )
        self.port = await self._port_of("listening")
        self.admin_port = await self._port_of("admin")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.communicate()

    async def _port_of(self, event: str) -> int:
        assert self._process.stdout is not None
        while (line := json.loads(await soon(self._process.stdout.readline())))["event"] != event:
            pass
        return int(urlsplit(line["url"]).port or 0)

    async def end(self, number: signal.Signals) -> int:
        """Send a signal, and return the exit status."""
        self._process.send_signal(number)
        return await soon(self._process.wait())


@dataclass
class Stream:
    """A stream of which half has come through, and who answers it."""

    client: PlainClient
    talk: Talk
    instance: str | None

    async def rest(self) -> list[bytes]:
        """Let the upstream go on, and return what comes, to the proper end."""
        self.talk.go.set()
        data = b"".join(await self.client.chunks())
        return [event + b"\n\n" for event in data.split(b"\n\n")[:-1]]


class Balancer:
    """A load balancer on a free port, by its configuration in deploy/, until its context ends.

    Args:
        command: starts it, and returns when it listens; `{}` is the configuration.
        configuration: as it stands, but for paths and addresses.
        folder: for its files; the pid goes into `pid` there.
    """

    def __init__(self, command: Iterable[str], configuration: str, folder: Path) -> None:
        self._command = command
        self._configuration = configuration
        self._folder = folder
        self.port = free_port()
        self._clients = AsyncExitStack()

    async def __aenter__(self) -> Self:
        file = self._folder / "configuration"
        file.write_text(self._configuration.replace("PORT", str(self.port)))
        command = [part.format(file) for part in self._command]
        said = self._folder / "said"
        with said.open("w") as output:  # no pipe: what stays in the background would keep it open
            starting = await asyncio.create_subprocess_exec(*command, stdout=output, stderr=output)
            assert await soon(starting.wait()) == 0, said.read_text()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._clients.aclose()
        os.kill(int((self._folder / "pid").read_text()), signal.SIGTERM)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def asked(self) -> PlainClient:
        """Ask for a stream, and return the client that did."""
        client = await self._clients.enter_async_context(PlainClient(self.url))
        await client.post(PATH, QUESTION, Content_Type="application/json")
        return client

    async def stream(self, upstream: Scripted) -> Stream:
        """Ask for a stream, and read the first half of it."""
        before = len(upstream.talks)
        client = await self.asked()
        head = await client.head()
        assert head.status == 200
        came = b""
        while came != b"".join(BEFORE):
            came += await client.chunk()
            assert b"".join(BEFORE).startswith(came)
        assert len(upstream.talks) == before + 1, "asked twice"
        return Stream(client, upstream.talks[-1], head.headers.get("x-served-by"))


def haproxy(instances: dict[str, Instance], folder: Path) -> Balancer:
    """Return HAProxy by deploy/haproxy, before these instances."""
    text = (ROOT / "deploy" / "haproxy" / "haproxy.cfg").read_text("utf-8")
    text = re.sub(r"^ +(user|group|chroot) .*\n", "", text, flags=re.MULTILINE)
    text = text.replace("/run/haproxy/admin.sock", str(folder / "admin.sock"))
    text = text.replace("bind :8080", "bind 127.0.0.1:PORT").replace("maxconn 50000", "maxconn 500")
    for (name, instance), number in zip(instances.items(), "123", strict=True):
        there = f"server {name} straightwire-{number}:8081"
        assert there in text
        text = text.replace(there, f"server {name} 127.0.0.1:{instance.port} port {instance.admin_port}")
    return Balancer([program("haproxy"), "-D", "-f", "{}", "-p", str(folder / "pid")], text, folder)


def nginx(instances: dict[str, Instance], folder: Path) -> Balancer:
    """Return nginx by deploy/nginx, before these instances."""
    text = (ROOT / "deploy" / "nginx" / "nginx.conf").read_text("utf-8")
    text = text.replace("/run/nginx.pid", str(folder / "pid")).replace("listen 8080", "listen 127.0.0.1:PORT")
    for instance, number in zip(instances.values(), "123", strict=True):
        there = f"straightwire-{number}:8081"
        assert there in text
        text = text.replace(there, f"127.0.0.1:{instance.port}")
    for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"):
        text = text.replace("http {", f"http {{\n    {what}_temp_path {folder};", 1)
    return Balancer([program("nginx"), "-e", str(folder / "errors"), "-c", "{}"], text, folder)


def program(name: str) -> str:
    """Return where a program is; Debian keeps those of administrators off most people's PATH."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin") or name
