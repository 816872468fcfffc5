"""What the signals do to a process that serves: to one, and to several workers."""

import asyncio
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.cli.serving import serving
from tests.plain_client import PlainClient, refused
from tests.scripted import LAST_CHUNK, PATIENCE, STREAM_HEAD, Scripted, chunk, soon
from tests.server.operating import get
from tests.server.streams import DONE, PATH, QUESTION, ROLE, STOP, WHOLE, begin, error_of, held, serves, stays

pytestmark = pytest.mark.parametrize("workers", [1, 2])
STREAM = serves(STREAM_HEAD, *map(chunk, WHOLE), LAST_CHUNK)
BEGUN = stays(STREAM_HEAD, chunk(ROLE))


async def test_sigterm_lets_the_stream_end_and_is_done(tmp_path, workers):
    async with (
        Scripted(held) as upstream,
        serving(upstream, tmp_path / "proxy.yaml", workers=workers) as served,
        PlainClient(served.url) as client,
    ):
        await begin(client)
        served.process.send_signal(signal.SIGTERM)
        await refused(served.url)
        assert await get(served.admin_url, "/readyz") == (503, "not ready: The proxy is stopping.\n")
        assert await get(served.admin_url, "/healthz") == (200, "alive\n")
        upstream.talks[0].go.set()

        assert b"".join(await client.chunks()) == STOP + DONE
        assert await served.ended() == 0


async def test_sigint_cuts_off_what_outlasts_drain(tmp_path, workers):
    async with (
        Scripted(BEGUN) as upstream,
        serving(upstream, tmp_path / "proxy.yaml", workers=workers, drain="50ms") as served,
        PlainClient(served.url) as client,
    ):
        await begin(client)
        served.process.send_signal(signal.SIGINT)

        assert error_of((await client.chunks())[-1])["code"] == "proxy_stopped"
        assert await served.ended() == 0


async def test_a_second_signal_ends_at_once(tmp_path, workers):
    async with (
        Scripted(BEGUN) as upstream,
        serving(upstream, tmp_path / "proxy.yaml", workers=workers, drain="1h") as served,
        PlainClient(served.url) as client,
    ):
        await begin(client)
        served.process.send_signal(signal.SIGTERM)
        await refused(served.url)
        served.process.send_signal(signal.SIGTERM)

        assert await served.ended() == 1
        await soon(upstream.talks[0].gone.wait())


async def test_sighup_reads_the_configuration_again(tmp_path, workers):
    async with (
        Scripted(held) as old,
        Scripted(STREAM) as new,
        serving(old, tmp_path / "proxy.yaml", workers=workers) as served,
        PlainClient(served.url) as early,
        PlainClient(served.url) as late,
    ):
        await begin(early)
        served.configure("upstreams: {local: {url: 1}}\nrepairs: {repeated-rol: false}\n")
        served.process.send_signal(signal.SIGHUP)
        first, second = await served.lines("not reloaded", 2)
        assert first["reason"].startswith(f"{tmp_path}/proxy.yaml:1: upstreams.local.url: ")
        assert second["reason"].startswith(f"{tmp_path}/proxy.yaml:2: repairs.repeated-rol: ")

        served.configure(upstreams={"local": {"url": new.url, "health": {"interval": 0}}})
        served.process.send_signal(signal.SIGHUP)
        await served.line("reloaded")
        await late.post(PATH, QUESTION)
        await late.head()
        assert await late.chunks() == WHOLE

        old.talks[0].go.set()
        assert b"".join(await early.chunks()) == STOP + DONE
        assert len(old.talks) == 1
        served.process.send_signal(signal.SIGTERM)
        assert await served.ended() == 0


async def test_sighups_in_a_row_end_with_the_last_configuration(tmp_path, workers):
    async with (
        Scripted(STREAM) as upstream,
        serving(upstream, tmp_path / "proxy.yaml", workers=workers) as served,
    ):
        served.process.send_signal(signal.SIGHUP)
        served.configure(clients={"api_keys": ["sk-new"]})
        served.process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(20):
            status = 200
            while status != 401:
                async with PlainClient(served.url) as client:
                    await client.post(PATH, QUESTION)
                    status = (await client.head()).status


@pytest.fixture
def apart():
    """A command that makes the one that follows it process 1 of a namespace."""
    command = ("unshare", "--pid", "--fork", "--kill-child")
    try:
        subprocess.run([*command, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no namespace of processes can be made here: {error}")
    return command


async def test_as_process_1_it_leaves_no_zombies_and_heeds_sigterm(tmp_path, workers, apart):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    within = (*apart, "sh", "-c", '(cat "$0" &); exec "$@"', str(pipe))  # cat loses its parent
    async with (
        Scripted(STREAM) as upstream,
        serving(upstream, tmp_path / "proxy.yaml", within=within, workers=workers) as served,
    ):
        (first,) = children_of(served.process.pid)
        (orphan,) = (pid for pid in children_of(first) if (pid / "comm").read_text() == "cat\n")
        pipe.write_text("its end follows")
        async with asyncio.timeout(PATIENCE):
            while orphan.exists():
                await get(served.admin_url, "/healthz")
        os.kill(int(first.name), signal.SIGTERM)
        assert await served.ended() == 0


def children_of(process: int | Path) -> list[Path]:
    """Return the children of a process as proc(5) shows them."""
    number = Path(str(process)).name
    children = Path(f"/proc/{number}/task/{number}/children").read_text().split()
    return [Path("/proc") / child for child in children]
