"""Every key of the configuration does something: a proxy that runs is another one with it than without it."""

import asyncio
import hashlib
import inspect
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from proxy.config import shape
from proxy.config.load import load
from proxy.server.app import Proxy
from tests.cli import test_workers
from tests.plain_client import PlainClient
from tests.scripted import EMPTY, LAST_CHUNK, STREAM_HEAD, Script, Scripted, chunk, soon
from tests.server import (
    test_access_log,
    test_admin,
    test_app,
    test_failures,
    test_names,
    test_passthrough,
    test_tls,
    test_tracing,
)
from tests.server.operating import get
from tests.server.streams import DONE, ONE, PATH, QUESTION, ROLE, STOP, WHOLE, error_of, serves, stays

STREAM = serves(STREAM_HEAD, *map(chunk, WHOLE), LAST_CHUNK)
WITHOUT_FINISH = serves(STREAM_HEAD, chunk(ROLE), chunk(ONE), LAST_CHUNK)
REPEATED = serves(STREAM_HEAD, *map(chunk, [ROLE, ROLE, ONE, STOP, DONE]), LAST_CHUNK)
LONG = serves(
    STREAM_HEAD, *map(chunk, [ROLE, ONE.replace(b'"1"', b'"%b"' % (2000 * b"1")), STOP, DONE]), LAST_CHUNK
)
BODY = (
    b'{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":'
    b'{"role":"assistant","content":"1","refusal":null},"logprobs":null,"finish_reason":"stop"}]}'
)
JSON = serves(
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY), BODY
)
NEVER = {"interval": 0}
#: Nothing comes, for as long as a test can wait to see that.
NOTHING: Final = object()
A_WHILE = 0.3


@dataclass
class Scene:
    """A proxy that runs, and both its sides."""

    upstream: Scripted
    proxy: Proxy
    client: PlainClient
    log: io.StringIO

    @property
    def received(self) -> Any:
        """The last request that the upstream got."""
        return self.upstream.requests[-1]


Probe = Callable[[Scene], Awaitable[object]]


@dataclass
class Trial:
    """How a key shows.

    Attributes:
        value: what it is set to.
        probe: what is looked at.
        shows: what is seen there.
        otherwise: what is seen there without the key.
        script: what the upstream does.
        beside: what else is configured, both times.
        instead: what the key is set to otherwise, where its default would take too long to see.
    """

    value: Any
    probe: Probe
    shows: object
    otherwise: object
    script: Script = STREAM
    beside: Mapping[str, Any] = field(default_factory=dict)
    instead: Any = None


def status(method: str = "GET", path: str = "/x", body: object = None, **fields: str) -> Probe:
    async def probe(scene: Scene) -> int:
        await scene.client.request(method, path, body, **fields)
        return (await scene.client.head()).status

    return probe


def field_sent(name: str, **fields: str) -> Probe:
    """Look at a header field that the upstream gets."""

    async def probe(scene: Scene) -> str | None:
        await scene.client.request("GET", "/x", **fields)
        await scene.client.head()
        return scene.received.headers.get(name)

    return probe


def field_got(name: str, **fields: str) -> Probe:
    """Look at a header field that the client gets."""

    async def probe(scene: Scene) -> str | None:
        await scene.client.request("GET", "/x", **fields)
        return (await scene.client.head()).headers.get(name)

    return probe


def asked(name: str, **question: object) -> Probe:
    """Look at a key of the JSON that the upstream gets."""

    async def probe(scene: Scene) -> object:
        await scene.client.post(PATH, QUESTION | question)
        await scene.client.head()
        return json.loads(scene.received.body).get(name)

    return probe


async def last_frame(scene: Scene) -> object:
    """Return what a stream ends with; of an error, its code."""
    await scene.client.post(PATH, QUESTION)
    await scene.client.head()
    frame = (await scene.client.chunks())[-1]
    return error_of(frame)["code"] if b'"error"' in frame else frame


async def second_frame(scene: Scene) -> bytes:
    await scene.client.post(PATH, QUESTION)
    await scene.client.head()
    await scene.client.chunk()
    return await scene.client.chunk()


async def refusal(scene: Scene) -> object:
    """Return the code of the error in the place of a stream."""
    await scene.client.post(PATH, QUESTION)
    return (await scene.client.error())[1]["code"]


async def whole_answer(scene: Scene) -> int:
    await scene.client.post(PATH, QUESTION | {"stream": False})
    return (await scene.client.head()).status


async def head_of_a_stream(scene: Scene) -> int:
    await scene.client.post(PATH, QUESTION)
    return (await scene.client.head()).status


async def host(scene: Scene) -> str:
    await status()(scene)
    return scene.proxy.url.rpartition(":")[0]


async def admin_host(scene: Scene) -> str:
    assert scene.proxy.admin_url is not None
    await get(scene.proxy.admin_url, "/healthz")
    return scene.proxy.admin_url.rpartition(":")[0]


async def second_request(scene: Scene) -> object:
    """Ask while another request is being answered."""
    await scene.client.request("GET", "/x")
    await soon(scene.upstream.called.wait())
    async with PlainClient(scene.proxy.url) as other:
        await other.request("GET", "/x")
        return (await other.head()).status


async def second_connection(scene: Scene) -> int:
    """Ask while another request is being answered; wait for the upstream to be called again."""
    await scene.client.request("GET", "/x")
    await soon(scene.upstream.called.wait())
    async with PlainClient(scene.proxy.url) as other:
        await other.request("GET", "/x")
        while len(scene.upstream.talks) < 2:  # noqa: ASYNC110 - there is no event of the second call
            await asyncio.sleep(0.01)
        return len(scene.upstream.talks)


async def health_question(scene: Scene) -> str:
    await soon(scene.upstream.called.wait())
    while not scene.upstream.requests:  # noqa: ASYNC110 - there is no event of a whole request
        await asyncio.sleep(0)
    return str(scene.upstream.requests[0].target)


async def stopped(scene: Scene) -> None:
    """Stop while a stream runs, and wait for the end of it."""
    await scene.client.post(PATH, QUESTION)
    await scene.client.head()
    await scene.client.chunk()
    stop = asyncio.create_task(scene.proxy.stop())
    try:
        await scene.client.chunks()
    finally:
        for talk in scene.upstream.talks:
            talk.reset()
        await stop


async def closed_by_us(scene: Scene) -> bytes:
    return await scene.client.closed()


async def logged(scene: Scene) -> list[str]:
    await status()(scene)
    return [line for line in scene.log.getvalue().splitlines() if '"request"' in line or " request " in line]


async def is_json(scene: Scene) -> bool:
    return (await logged(scene))[0].startswith("{")


async def lines(scene: Scene) -> int:
    return len(await logged(scene))


KEY = "sk-key"
SHA = "sha256:" + hashlib.sha256(KEY.encode()).hexdigest()
SERVES_X = serves(EMPTY)
SILENT = stays()
MODELS = {"*": {"upstream": "local"}}
TOOL = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]

TRIALS = {
    "listen.host": Trial("127.0.0.2", host, "http://127.0.0.2", "http://127.0.0.1", SERVES_X),
    "admin.host": Trial(
        "127.0.0.2", admin_host, "http://127.0.0.2", "http://127.0.0.1", beside={"admin": {"port": 0}}
    ),
    "upstreams.local.api_key": Trial(
        KEY,
        field_sent("authorization", Authorization="Bearer mine"),
        f"Bearer {KEY}",
        "Bearer mine",
        SERVES_X,
    ),
    "upstreams.local.dialect": Trial(
        "localai-v1", asked("functions", tools=TOOL), [TOOL[0]["function"]], None
    ),
    "upstreams.local.translations": Trial(
        {"no-developer-role": True},
        asked("messages", messages=[{"role": "developer", "content": "a"}]),
        [{"role": "system", "content": "a"}],
        [{"role": "developer", "content": "a"}],
    ),
    "upstreams.local.timeouts.first_byte": Trial(
        "50ms", refusal, "upstream_timeout", NOTHING, SILENT, instead=0
    ),
    "upstreams.local.timeouts.idle": Trial(
        "50ms",
        last_frame,
        "upstream_timeout",
        NOTHING,
        stays(STREAM_HEAD, chunk(ROLE), chunk(ONE)),
        instead=0,
    ),
    "upstreams.local.max_connections": Trial(1, second_connection, NOTHING, 2, SILENT),
    "upstreams.local.on_missing_finish": Trial(
        "stop", last_frame, DONE, "upstream_truncated", WITHOUT_FINISH
    ),
    "upstreams.local.repairs": Trial({"repeated-role": False}, second_frame, ROLE, ONE, REPEATED),
    "repairs": Trial({"repeated-role": False}, second_frame, ROLE, ONE, REPEATED),
    "upstreams.local.parameters.default": Trial({"top_k": 3}, asked("top_k"), 3, None),
    "upstreams.local.parameters.set": Trial({"top_k": 3}, asked("top_k", top_k=9), 3, 9),
    "upstreams.local.parameters.drop": Trial(["top_k"], asked("top_k", top_k=9), None, 9),
    "upstreams.local.headers": Trial({"X-Team": "search"}, field_sent("x-team"), "search", None, SERVES_X),
    "upstreams.local.health.path": Trial(
        "/alive", health_question, "/alive", "/v1/models", SERVES_X, beside={"admin": {"port": 0}}
    ),
    "upstreams.local.health.interval": Trial(
        0, health_question, NOTHING, "/v1/models", SERVES_X, beside={"admin": {"port": 0}}
    ),
    "models.*.model": Trial("ggml", asked("model"), "ggml", "m", beside={"models": MODELS}),
    "clients.api_keys": Trial([SHA], status(Authorization="Bearer no"), 401, 200, SERVES_X),
    "clients.idle": Trial("50ms", closed_by_us, b"", NOTHING, SERVES_X),
    "cors.origins": Trial(
        ["https://a.example"],
        field_got("access-control-allow-origin", Origin="https://a.example"),
        "https://a.example",
        None,
        SERVES_X,
    ),
    "limits.request_body": Trial(10, head_of_a_stream, 413, 200),
    "limits.event": Trial("1KiB", last_frame, "upstream_malformed", DONE, LONG),
    "limits.response_body": Trial(10, whole_answer, 502, 200, JSON),
    "limits.streams": Trial(1, second_request, 503, NOTHING, SILENT),
    "trusted_proxies": Trial(
        ["127.0.0.0/8"],
        field_sent("x-forwarded-for", X_Forwarded_For="203.0.113.9"),
        "203.0.113.9, 127.0.0.1",
        "127.0.0.1",
        SERVES_X,
    ),
    "keep_alive": Trial("20ms", head_of_a_stream, 200, NOTHING, SILENT),
    "open_after": Trial("20ms", head_of_a_stream, 200, NOTHING, SILENT),
    "drain": Trial("20ms", stopped, None, NOTHING, stays(STREAM_HEAD, chunk(ROLE))),
    "log.level": Trial("error", lines, 0, 1, SERVES_X),
    "log.format": Trial("json", is_json, True, False, SERVES_X),
}


#: Tests of what a single proxy cannot show by itself: certificates, other addresses, other processes.
ELSEWHERE = {
    "listen.port": test_app.test_address_that_is_taken,
    "listen.path": test_tls.test_unix_socket,
    "listen.tls.certificate": test_tls.test_tls_in_front,
    "listen.tls.key": test_tls.test_tls_in_front,
    "admin.port": test_admin.test_admin_address_that_is_taken,
    "workers": test_workers.test_metrics_are_the_sums_over_all_workers_dead_ones_included,
    "upstreams.local.url": test_passthrough.test_target_follows_the_path_of_the_upstreams_url,
    "upstreams.local.timeouts.connect": test_failures.test_connection_that_takes_too_long,
    "upstreams.local.tls.ca": test_tls.test_upstream_that_speaks_tls,
    "upstreams.local.tls.verify": test_tls.test_upstream_that_speaks_tls,
    "upstreams.local.tls.certificate": test_tls.test_upstream_that_wants_to_know_us,
    "upstreams.local.tls.key": test_tls.test_upstream_that_wants_to_know_us,
    "models.*.upstream": test_names.test_model_in_a_body_is_routed_and_mapped,
    "log.output": test_access_log.test_lines_are_written_where_the_operator_wants_them,
    "tracing": test_tracing.test_span_of_a_stream,
}


def leaves() -> list[str]:
    """Return every key that is no section of keys."""
    paths = list(shape.walk({("upstreams",): ["local"], ("models",): ["*"]}))
    ends = [path for path in paths if not any(other[: len(path)] == path != other for other in paths)]
    return [".".join(path) for path in ends]


def put(settings: dict[str, Any], key: str, value: object) -> None:
    *sections, last = key.split(".")
    for section in sections:
        settings = settings.setdefault(section, {})
    settings[last] = value


def configured(trial: Trial, key: str, value: object, url: str) -> str:
    """Return a configuration in which the key has a value; None leaves it out."""
    settings: dict[str, Any] = {
        "listen": {"port": 0},
        "admin": None,
        "upstreams": {"local": {"url": url}},
        **({"drain": "50ms"} if key != "drain" else {}),
    }
    settings |= json.loads(json.dumps(trial.beside))  # a copy to be changed
    if value is not None:
        put(settings, key, value)
    return json.dumps(settings)


@asynccontextmanager
async def scene(trial: Trial, key: str, value: object, write: Callable[[str], Path]) -> AsyncIterator[Scene]:
    """Run a proxy with a configuration file in which the key has a value."""
    async with Scripted(trial.script) as upstream:
        log = io.StringIO()
        proxy = Proxy(load(write(configured(trial, key, value, upstream.url)), environ={}), log)
        await proxy.start()
        try:
            async with PlainClient(proxy.url) as client:
                yield Scene(upstream, proxy, client, log)
        finally:
            await proxy.stop()


async def check(trial: Trial, seen: Scene, expected: object) -> None:
    if expected is not NOTHING:
        assert await soon(trial.probe(seen)) == expected
        return
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(trial.probe(seen), A_WHILE)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    """Write a configuration file."""

    def write(text: str) -> Path:
        file = tmp_path / "straightwire.yaml"
        file.write_text(text)
        return file

    return write


@pytest.mark.parametrize(("key", "trial"), TRIALS.items(), ids=TRIALS)
async def test_key(key: str, trial: Trial, write: Callable[[str], Path]) -> None:
    assert trial.shows != trial.otherwise
    async with scene(trial, key, trial.value, write) as seen:
        await check(trial, seen, trial.shows)
    async with scene(trial, key, trial.instead, write) as seen:
        await check(trial, seen, trial.otherwise)


@pytest.mark.parametrize(("key", "test"), ELSEWHERE.items(), ids=ELSEWHERE)
def test_key_is_tried_elsewhere(key: str, test: Callable[..., object]) -> None:
    source = inspect.getsource(inspect.getmodule(test) or test)
    assert key.rpartition(".")[2] in source


def test_every_key_is_tried() -> None:
    assert sorted([*TRIALS, *ELSEWHERE]) == sorted(leaves())
