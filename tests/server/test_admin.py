"""The operator's listener: health, readiness, metrics."""

import asyncio
import io
import json
import os
import socket
import subprocess
import sys
from urllib.parse import urlsplit

import pytest

from proxy.errors import CannotListen
from proxy.server.app import Proxy
from tests.plain_client import PlainClient
from tests.scripted import LAST_CHUNK, PATIENCE, STREAM_HEAD, Scripted, chunk, soon
from tests.server.operating import ADMIN, LIVES, NEVER, get, ready
from tests.server.running import configured, running
from tests.server.streams import DONE, ONE, PATH, QUESTION, ROLE, STOP, stays


async def test_healthz_whatever_the_upstream_does():
    async with running("http://127.0.0.1:9", admin=ADMIN) as proxy:
        assert await get(proxy.admin_url, "/healthz") == (200, "alive\n")


async def test_ready_as_soon_as_an_upstream_has_answered():
    async def late(talk):
        await soon(talk.go.wait())
        await LIVES(talk)

    async with Scripted(late) as upstream, running(upstream, admin=ADMIN) as proxy:
        await soon(upstream.called.wait())
        assert await get(proxy.admin_url, "/readyz") == (503, "not ready: No upstream has answered yet.\n")
        upstream.talks[0].go.set()
        assert await ready(proxy.admin_url, expected=200) == "ready\n"
        assert upstream.requests[0].line == "GET /v1/models HTTP/1.1"


async def test_not_ready_without_an_upstream():
    async with running("http://127.0.0.1:9", admin=ADMIN) as proxy:
        async with asyncio.timeout(PATIENCE):
            while "yet" in (body := (await get(proxy.admin_url, "/readyz"))[1]):
                pass
        assert body == "not ready: The upstream 127.0.0.1:9 cannot be reached: Connection refused.\n"
        assert 'straightwire_upstream_up{upstream="local"} 0.0' in (await get(proxy.admin_url, "/metrics"))[1]


async def test_upstream_that_fails_is_asked_again(clock):
    replies = [b"500 Internal Server Error", b"200 OK"]

    async def failing(talk):
        await talk.receive()
        await talk.send(b"HTTP/1.1 %b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % replies.pop(0))

    async with (
        Scripted(failing) as upstream,
        running(upstream, admin=ADMIN, upstream_health={"path": "/alive", "interval": "10s"}) as proxy,
    ):
        async with asyncio.timeout(PATIENCE):
            while "yet" in (body := await ready(proxy.admin_url, expected=503)):
                pass
        assert body == f"not ready: The upstream 127.0.0.1:{upstream.port} answered 500 to /alive.\n"
        clock.advance(10)
        await ready(proxy.admin_url, expected=200)
        page = (await get(proxy.admin_url, "/metrics"))[1]

    assert 'straightwire_upstream_up{upstream="local"} 1.0' in page
    assert [request.target for request in upstream.requests] == ["/alive", "/alive"]


async def test_upstream_that_is_never_asked_is_trusted():
    async with (
        Scripted(stays()) as upstream,
        running(upstream, admin=ADMIN, upstream_health=NEVER) as proxy,
    ):
        assert await get(proxy.admin_url, "/readyz") == (200, "ready\n")
        assert "straightwire_upstream_up{" not in (await get(proxy.admin_url, "/metrics"))[1]
        assert upstream.talks == []


async def test_not_ready_while_the_last_streams_end():
    async def script(talk):
        await talk.receive()
        await talk.send(STREAM_HEAD, chunk(ROLE))
        await soon(talk.go.wait())
        await talk.send(chunk(ONE + STOP + DONE), LAST_CHUNK)

    async with (
        Scripted(script) as upstream,
        running(upstream, admin=ADMIN, drain="20s", upstream_health=NEVER) as proxy,
        PlainClient(proxy.url) as client,
    ):
        await client.post(PATH, QUESTION)
        await client.head()
        await client.chunk()
        stopping = asyncio.ensure_future(proxy.stop())
        assert await ready(proxy.admin_url, expected=503) == "not ready: The proxy is stopping.\n"
        upstream.talks[0].go.set()
        await client.chunks()
        await soon(stopping)


async def test_no_listener_where_there_is_none():
    async with Scripted(stays()) as upstream, running(upstream, admin=None) as proxy:
        assert proxy.admin_url is None
        assert upstream.talks == []


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/v1/models", 404), ("POST", "/readyz", 405)])
async def test_what_is_not_there_is_refused_in_openais_form(method, path, status):
    async with (
        running("http://127.0.0.1:9", admin=ADMIN, upstream_health=NEVER) as proxy,
        PlainClient(proxy.admin_url or "") as client,
    ):
        await client.request(method, path)
        head, error = await client.error()

    assert head.status == status
    assert error["message"]
    assert head.headers.get("allow") == ("GET,HEAD" if status == 405 else None)


async def test_admin_address_that_is_taken():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        proxy = Proxy(configured("http://127.0.0.1:9", admin={"port": port}), io.StringIO())
        with pytest.raises(CannotListen, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"):
            await proxy.start()


async def test_start_tells_the_admin_listener():
    log = io.StringIO()
    settings = {"log": {"format": "json"}, "admin": ADMIN, "upstream_health": NEVER}
    async with running("http://127.0.0.1:9", logged=log, **settings) as proxy:
        told = [json.loads(line) for line in log.getvalue().splitlines()]

        assert [line["url"] for line in told if line["event"] == "admin"] == [proxy.admin_url]


async def test_health_command_asks_it():
    async with running("http://127.0.0.1:9", admin=ADMIN, upstream_health=NEVER) as proxy:
        assert await health(proxy) == (0, "ready\n")
    async with running("http://127.0.0.1:9", admin=ADMIN) as proxy:
        status, told = await health(proxy)
        assert status == 1
        assert told.startswith("not ready: ")


async def health(proxy: Proxy) -> tuple[int, str]:
    """Run `straightwire health`; return its exit status and what it said."""
    environment = {
        "STRAIGHTWIRE_UPSTREAM": "http://127.0.0.1:9",
        "STRAIGHTWIRE_ADMIN__PORT": str(urlsplit(proxy.admin_url).port),
    }
    ran = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "proxy", "health"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return ran.returncode, ran.stdout
