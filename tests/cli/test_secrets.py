"""No key leaks: a process that has keys in every place, and meets all that can go wrong, tells none."""

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.cli.serving import ROOT, Served, serving
from tests.plain_client import PlainClient
from tests.scripted import LAST_CHUNK, STREAM_HEAD, Scripted, Talk, chunk, soon
from tests.server.operating import get
from tests.server.streams import ONE, PATH, QUESTION, ROLE, WHOLE

#: What stands in each of them; a plain search finds it, however it is quoted, cut or put together.
SECRET = "s3cr3t"
KEYS = {
    "plain": f"sk-{SECRET}-plain-client-key",
    "from-a-file": f"sk-{SECRET}-client-key-of-a-file",
    "from-a-variable": f"sk-{SECRET}-client-key-of-a-variable",
    "digest": f"sk-{SECRET}-client-key-of-which-a-digest-stands-there",
    "wrong": f"sk-{SECRET}-nobodys-key",
}
UPSTREAMS_KEY = f"sk-{SECRET}-upstreams-own-key"
ENVIRON = {
    "CLIENT_KEY": KEYS["from-a-variable"],
    "UPSTREAM_KEY": UPSTREAMS_KEY,
    "TEAM": f"{SECRET}-team-token",
}
QUERY = f"?api_key={SECRET}-in-the-query"


def sha256(key: str) -> str:
    return "sha256:" + hashlib.sha256(key.encode()).hexdigest()


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    """Return a configuration with a key in every place that takes one."""
    (tmp_path / "client.key").write_text(KEYS["from-a-file"] + "\n")
    api_keys = [
        KEYS["plain"],
        {"name": "file", "key": "file:client.key"},
        {"name": "variable", "key": "${CLIENT_KEY}"},
        {"name": "digest", "key": sha256(KEYS["digest"])},
    ]
    return {
        "clients": {"api_keys": api_keys},
        "limits": {"event": "1KiB", "request_body": "4KiB"},
        "log": {"format": "json", "level": "debug"},
        "drain": "100ms",
    }


async def echoes(talk: Talk) -> None:
    """Answer each request in the way that its path or its model names, and repeat the keys that it shows."""
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        await answers(talk)


async def answers(talk: Talk) -> None:
    while True:
        request = await talk.receive()
        shown = json.dumps(request.headers["authorization"] + request.headers["x-team"]).encode()
        way = request.target.partition("?")[0].rpartition("/")[2]
        error = b'{"error":{"message":%b}}' % shown
        head = b"HTTP/1.1 401 No\r\nContent-Length: %d\r\n\r\n"
        match way:
            case "broken":
                await talk.send(b"%b\r\n\r\n" % shown)
                return
            case "gone":
                return
            case "wrong-line":
                await talk.send(b"HTTP/1.1 200 OK\r\n%b : x\r\n\r\n" % shown)
                return
            case "completions" if b'"cut"' in request.body:
                await talk.send(STREAM_HEAD, chunk(ROLE), chunk(ONE), chunk(b"data: {%b" % shown))
                return
            case "completions" if b'"long"' in request.body:
                await talk.send(STREAM_HEAD, chunk(ROLE), chunk(b"data: " + 2000 * b"x"))
                return
            case "completions" if b'"refused"' in request.body:
                await talk.send(head % len(error), error)
            case "completions":
                await talk.send(STREAM_HEAD, *map(chunk, WHOLE), LAST_CHUNK)
            case _:
                await talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


class Finds:
    """All that anybody got to see."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    async def ask(self, url: str, raw: bytes) -> None:
        """Send something on a connection of its own, and keep what comes back until nothing more does."""
        async with PlainClient(url) as client:
            await client.send(raw)
            try:
                self.texts.append((await soon(client.reader.read())).decode("latin-1"))
            except ConnectionError as error:
                self.texts.append(str(error))


def requests(key: str) -> Iterator[bytes]:
    """Yield requests that show a key, each in another way, or meet another fault."""
    shown = f"Host: x\r\nConnection: close\r\nAuthorization: Bearer {key}\r\n"
    for path in ("/v1/models", "/v1/x/broken", "/v1/x/gone", "/v1/x/wrong-line", "/v1/files", "/v1/../../x"):
        yield f"GET {path}{QUERY} HTTP/1.1\r\n{shown}\r\n".encode()
    for model in ("m", "cut", "long", "refused"):
        for stream in (True, False):
            body = json.dumps(QUESTION | {"model": model, "stream": stream, "user": SECRET}).encode()
            head = f"POST {PATH}{QUERY} HTTP/1.1\r\n{shown}Content-Length: {len(body)}\r\n\r\n"
            yield head.encode() + body
    yield f"POST {PATH} HTTP/1.1\r\n{shown}Content-Length: 9\r\n\r\n".encode() + b'"s3cr3t"{'
    yield f"POST {PATH} HTTP/1.1\r\n{shown}Content-Length: 9999\r\n\r\n".encode() + 9999 * b"x"
    yield f"POST {PATH} HTTP/1.1\r\n{shown}Transfer-Encoding: chunked\r\n\r\n{key}\r\n".encode()
    yield f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization : Bearer {key}\r\n\r\n".encode()
    yield f"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Basic {key}\r\n\r\n".encode()
    yield f"Authorization: Bearer {key}\r\n\r\n".encode()


async def broken_configurations(served: Served, tmp_path: Path) -> None:
    """Let the process read configurations with keys where none belong."""
    for broken in (
        {"clients": {"api_keys": KEYS["plain"]}},
        {"clients": {"api_keys": [KEYS["plain"], KEYS["plain"]]}},
        {"clients": {"api_keys": [{"nmae": "a", "key": KEYS["plain"]}]}},
        {"upstreams": {"local": {"url": f"http://me:{SECRET}@127.0.0.1:9", "api_key": [UPSTREAMS_KEY]}}},
    ):
        (tmp_path / "proxy.yaml").write_text(json.dumps(served.settings | broken))
        served.process.send_signal(signal.SIGHUP)
        await served.line("not reloaded")


async def test_a_process_with_keys_in_every_place_tells_none(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    finds = Finds()
    async with Scripted(echoes) as upstream:
        settings["upstreams"] = {
            "local": {
                "url": upstream.url,
                "api_key": "${UPSTREAM_KEY}",
                "headers": {"X-Team": "${TEAM}"},
                "health": {"interval": 0},
            },
            "down": {"url": "http://127.0.0.1:9", "api_key": UPSTREAMS_KEY},
        }
        settings["models"] = {"nowhere": {"upstream": "down"}, "*": {"upstream": "local"}}
        environ = ENVIRON | {"PYTHONASYNCIODEBUG": "1"}
        async with serving(upstream, tmp_path / "proxy.yaml", environ, **settings) as served:
            for key in KEYS.values():
                for request in requests(key):
                    await finds.ask(served.url, request)
            for page in ("/metrics", "/readyz", "/healthz", f"/{SECRET}"):
                finds.texts.append((await get(served.admin_url, page))[1])
            await broken_configurations(served, tmp_path)
            served.process.send_signal(signal.SIGTERM)
            assert await served.ended() == 0

    named = {line.get("client") for line in served.told if line["event"] == "request"}
    assert named == {None, "file", "variable", "digest"}
    assert {line["outcome"] for line in served.told if line["event"] == "request"} >= {
        *("complete", "refused", "unauthenticated"),
        *("upstream_error", "upstream_truncated", "upstream_malformed"),
    }
    told = [json.dumps(line) for line in served.told]
    answered = [text.partition("\r\n\r\n")[2] for text in finds.texts]
    assert [text for text in told if SECRET in text] == []
    assert [text for text in answered if SECRET in text] == []


@pytest.mark.parametrize(
    "wrong",
    [
        f"clients: {{api_keys: {KEYS['plain']}}}",
        f"clients: {{api_keys: [{{key: [{KEYS['plain']}]}}]}}",
        f"clients: {{api_keys: ['{KEYS['plain']} \\t']}}",
        f"clients: {{api_keys: [{KEYS['plain']}, {KEYS['plain']}]}}",
        f"clients: {{api_keys: [sha256:{KEYS['plain']}]}}",
        f"upstreams: {{local: {{url: 'http://a:{SECRET}@x'}}}}",
        f"upstreams: {{local: {{url: 'http://x', api_key: {{a: {KEYS['plain']}}}}}}}",
        f"upstreams: {{local: {{url: 'http://x', headers: {{X: [{KEYS['plain']}]}}}}}}",
        f"upstreams: {{local: {{url: 'http://x', headers: {{X: 'a\u00e9{KEYS['plain']}'}}}}}}",
        f"upstreams: {{local: {{url: 'http://x', api_key: *{KEYS['plain']}}}}}",
        f"upstreams: {{local: {{url: 'http://x', api_key: !{KEYS['plain']} x}}}}",
        f"upstreams: {{local: {{url: 'http://x', api_key: '{KEYS['plain']}",
        "limits: {event: '${TOKEN}'}\nkeep_alive: '${TOKEN}'\nlog: {level: '${TOKEN}'}",
        "upstreams: {local: {url: '${TOKEN}', dialect: '${TOKEN}', on_missing_finish: '${TOKEN}'}}",
    ],
)
def test_mistakes_are_told_without_the_key(tmp_path: Path, wrong: str) -> None:
    file = tmp_path / "straightwire.yaml"
    file.write_text(wrong)
    environ = {**os.environ, "TOKEN": KEYS["plain"], "STRAIGHTWIRE_CLIENTS__API_KEYS": ""}
    for command in (["config", "check", str(file)], ["serve", "--config", str(file)]):
        ran = subprocess.run(
            [sys.executable, "-m", "proxy", *command],
            cwd=ROOT,
            env=environ,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert ran.returncode == 2
        assert SECRET not in ran.stdout + ran.stderr
        assert "Traceback" not in ran.stderr
