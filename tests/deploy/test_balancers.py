"""Three instances behind HAProxy and nginx as deploy/ sets them up: one goes, one dies, one comes."""

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from proxy.config.schema import Limits, Timeouts
from tests.deploy.fleet import (
    AFTER,
    ROOT,
    Balancer,
    Echo,
    Instance,
    Stream,
    haproxy,
    in_two_halves,
    nginx,
    program,
    taking,
)
from tests.plain_client import PlainClient
from tests.scripted import PATIENCE, Scripted, soon

BALANCERS = {"haproxy": haproxy, "nginx": nginx}
ABSENT = [name for name in BALANCERS if not os.access(program(name), os.X_OK)]
pytestmark = pytest.mark.skipif(bool(ABSENT), reason=f"not installed: {', '.join(ABSENT)}")


@pytest.fixture
async def upstream(request) -> AsyncIterator[Scripted | Echo]:
    start = getattr(request, "param", partial(Scripted, in_two_halves))
    async with start() as server:
        yield server


def before_the(start: Callable[[], Scripted | Echo]) -> pytest.MarkDecorator:
    """Let a test have another upstream."""
    return pytest.mark.parametrize("upstream", [start], indirect=True, ids=[""])


@pytest.fixture
async def instances(upstream) -> AsyncIterator[dict[str, Instance]]:
    names = ("one", "two", "three")
    async with AsyncExitStack() as stack:
        started = (stack.enter_async_context(Instance(upstream, name)) for name in names)
        yield dict(zip(names, await asyncio.gather(*started), strict=True))


@pytest.fixture(params=BALANCERS)
async def balancer(request, instances, tmp_path) -> AsyncIterator[Balancer]:
    async with BALANCERS[request.param](instances, tmp_path) as running:
        yield running


@pytest.fixture
async def before(instances, tmp_path) -> AsyncIterator[Balancer]:
    """HAProxy, whose runtime API the test speaks."""
    async with haproxy(instances, tmp_path) as running:
        yield running


async def tell(folder: Path, command: str) -> str:
    """Say a word to HAProxy's runtime API, and return its answer."""
    reader, writer = await soon(asyncio.open_unix_connection(folder / "admin.sock"))
    writer.write(f"{command}\n".encode())
    answer = (await soon(reader.read())).decode().strip()
    writer.close()
    return answer


async def test_streams_pass_frame_by_frame_and_are_spread(before, upstream):
    """Half of a stream arrives while the upstream holds the rest back."""
    streams = [await before.stream(upstream) for _ in range(3)]
    assert {stream.instance for stream in streams} == {"one", "two", "three"}
    for stream in streams:
        assert await stream.rest() == AFTER


async def test_an_instance_is_drained_without_a_stream_cut(before, upstream, instances, tmp_path):
    streams = {stream.instance: stream for stream in [await before.stream(upstream) for _ in range(3)]}
    assert await tell(tmp_path, "set server straightwire/one state drain") == ""
    later = [await before.stream(upstream) for _ in range(4)]
    assert {stream.instance for stream in later} == {"two", "three"}
    assert await streams.pop("one").rest() == AFTER
    assert await instances["one"].end(signal.SIGTERM) == 0
    for stream in [*streams.values(), *later]:
        assert await stream.rest() == AFTER


async def test_an_instance_that_is_told_to_stop_ends_its_streams_and_gets_no_more(
    balancer, upstream, instances
):
    """Nobody has told the balancer: it meets a closed door, and asks another."""
    streams = [await balancer.stream(upstream) for _ in range(3)]
    stopped = asyncio.create_task(instances["one"].end(signal.SIGTERM))
    await soon(closed_door(instances["one"]))
    later = [await balancer.stream(upstream) for _ in range(4)]
    for stream in [*streams, *later]:
        assert await stream.rest() == AFTER
    assert await stopped == 0


async def closed_door(instance: Instance) -> None:
    """Knock until nobody opens."""
    with suppress(ConnectionError):
        while True:
            async with PlainClient(f"http://127.0.0.1:{instance.port}") as client:
                await client.leave()


async def test_the_streams_of_an_instance_that_dies_end_visibly_and_no_others(balancer, upstream, instances):
    streams = [await balancer.stream(upstream) for _ in range(3)]
    await instances["two"].end(signal.SIGKILL)
    later = [await balancer.stream(upstream) for _ in range(4)]
    cut = await first_to_end(streams)
    rest = await cut.client.closed()
    assert b"[DONE]" not in rest
    assert not rest.endswith(b"0\r\n\r\n"), "the end of a whole body"
    for stream in [*(stream for stream in streams if stream is not cut), *later]:
        assert await stream.rest() == AFTER


@before_the(partial(Scripted, taking))
async def test_a_request_that_an_instance_dies_over_is_asked_of_no_other(balancer, upstream, instances):
    """It may be the second generation of the same answer, and paid for."""
    client = await balancer.asked()
    await soon(upstream.called.wait())
    (talk,) = upstream.talks
    await soon(talk.heard.wait())
    await instances[talk.requests[0].headers["x-instance"]].end(signal.SIGKILL)
    assert (await client.head()).status == 502
    assert len(upstream.talks) == 1


async def test_the_upstream_learns_who_asks(balancer, upstream):
    """The balancer says whom it asks for, and the instance, which trusts it, who asked."""
    stream = await balancer.stream(upstream)
    assert stream.talk.requests[0].headers["x-forwarded-for"] == "127.0.0.1, 127.0.0.1"
    assert await stream.rest() == AFTER


@before_the(Echo)
async def test_websockets_pass(balancer, upstream):
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{balancer.url}/v1/realtime?model=m") as conversation,
    ):
        await conversation.send_str("one")
        assert await soon(conversation.receive_str()) == "one"


async def first_to_end(streams: list[Stream]) -> Stream:
    """Wait until the upstream sees an instance leave one of its streams."""
    ends = {asyncio.create_task(stream.talk.ended.wait()): stream for stream in streams}
    (end,), others = await asyncio.wait(ends, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
    for other in others:
        other.cancel()
    return ends[end]


async def test_an_instance_is_added_while_streams_run(before, upstream, tmp_path):
    streams = [await before.stream(upstream) for _ in range(3)]
    async with Instance(upstream) as four:
        added = f"add server straightwire/four 127.0.0.1:{four.port} check port {four.admin_port} inter 2s"
        assert "New server registered" in await tell(tmp_path, added)
        await tell(tmp_path, "enable server straightwire/four")
        new = await before.stream(upstream)
        assert new.instance == "four"
        for stream in [*streams, new]:
            assert await stream.rest() == AFTER


@pytest.mark.parametrize(
    ("file", "patience"),
    [
        ("haproxy/haproxy.cfg", r"timeout (?:client|server) (\d+)m"),
        ("nginx/nginx.conf", r"proxy_(?:read|send)_timeout (\d+)m"),
    ],
)
def test_the_proxy_tells_of_a_silent_upstream_before_a_balancer_cuts_it_off(file, patience):
    minutes = re.findall(patience, (ROOT / "deploy" / file).read_text("utf-8"))
    assert len(minutes) == 2
    assert min(map(int, minutes)) * 60 > max(Timeouts().first_byte, Timeouts().idle)


def test_nginx_takes_what_the_proxy_takes():
    (megabytes,) = re.findall(
        r"client_max_body_size (\d+)m", (ROOT / "deploy/nginx/nginx.conf").read_text("utf-8")
    )
    assert int(megabytes) * 2**20 == Limits().request_body
