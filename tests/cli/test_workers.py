"""Several workers as one proxy: one address, one configuration, one sum of all that is counted."""

import asyncio
import os
import re
import signal
import socket
import ssl
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest
import trustme

from tests.cli.serving import Served, serving, start
from tests.plain_client import PlainClient
from tests.scripted import LAST_CHUNK, PATIENCE, STREAM_HEAD, Scripted, chunk, soon
from tests.server.operating import get, ready
from tests.server.papers import Papers
from tests.server.streams import DONE, PATH, QUESTION, ROLE, STOP, WHOLE, begin, error_of, held, serves, stays

STREAM = serves(STREAM_HEAD, *map(chunk, WHOLE), LAST_CHUNK)
BEGUN = stays(STREAM_HEAD, chunk(ROLE))


def worker_of(client: PlainClient, processes: dict[int, int]) -> int:
    """Return the number of the worker whose process holds the other end of a connection (proc(5))."""
    ours, theirs = (client.writer.get_extra_info(name)[1] for name in ("sockname", "peername"))
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ports = f":{theirs:04X}", f":{ours:04X}"
    (inode,) = (row[9] for row in rows if (row[1][-5:], row[2][-5:]) == ports)
    (number,) = (number for number, pid in processes.items() if f"socket:[{inode}]" in files_of(pid))
    return number


def files_of(pid: int) -> set[str]:
    return {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()}


def pids(served: Served) -> dict[int, int]:
    """Return the process of each worker, by its number."""
    return {line["worker"]: line["pid"] for line in served.told if line["event"] == "worker started"}


async def streams_on_all(served: Served, stack: AsyncExitStack) -> dict[int, list[PlainClient]]:
    """Begin streams until each worker has one; return the clients of each."""
    processes = pids(served)
    clients: dict[int, list[PlainClient]] = {number: [] for number in processes}
    async with asyncio.timeout(PATIENCE):
        while not all(clients.values()):
            client = await stack.enter_async_context(PlainClient(served.url))
            await begin(client)
            clients[worker_of(client, processes)].append(client)
    return clients


async def answered(served: Served) -> None:
    """See a stream come whole, on a connection of its own."""
    async with PlainClient(served.url) as client:
        await client.post(PATH, QUESTION)
        assert (await client.head()).status == 200
        assert await client.chunks() == WHOLE


async def counted(served: Served, sample: str) -> float:
    """Return the value of a sample on the page of metrics; one that is not there has counted nothing."""
    _, page = await get(served.admin_url, "/metrics")
    found = re.search(rf"^{re.escape(sample)} (\S+)$", page, re.MULTILINE)
    return float(found[1]) if found else 0.0


async def test_streams_of_others_do_not_notice_a_worker_that_is_killed(tmp_path):
    async with (
        Scripted(held) as upstream,
        serving(upstream, tmp_path / "proxy.yaml", workers=2) as served,
        AsyncExitStack() as stack,
    ):
        clients = await streams_on_all(served, stack)
        killed = pids(served)[1]
        os.kill(killed, signal.SIGKILL)
        ended = await served.line("worker ended", worker=1)
        assert (ended["pid"], ended["reason"]) == (killed, "killed by SIGKILL")
        for client in clients[1]:
            assert b"[DONE]" not in await client.closed()

        await served.line("worker started", worker=1)
        for talk in upstream.talks:
            talk.go.set()
        for client in clients[2]:
            assert b"".join(await client.chunks()) == STOP + DONE
        assert await get(served.admin_url, "/readyz") == (200, "ready\n")
        new = await streams_on_all(served, stack)
        assert all(new.values())
        for talk in upstream.talks:
            talk.go.set()


@pytest.mark.parametrize("state", ["serving", "draining"])
async def test_worker_that_hangs_is_killed_and_replaced(tmp_path, state):
    async with (
        Scripted(held) as upstream,
        serving(upstream, tmp_path / "proxy.yaml", impatient(tmp_path, _HANGS=5.0), workers=2) as served,
        AsyncExitStack() as stack,
    ):
        clients = await streams_on_all(served, stack)
        hung = pids(served)[1]
        if state == "draining":
            os.kill(hung, signal.SIGTERM)
            await served.line("worker started", worker=1)
        os.kill(hung, signal.SIGSTOP)
        ended = await served.line("worker ended", worker=1, pid=hung)
        assert (ended["level"], ended["reason"]) == ("error", "killed: it hung, and did not answer for 5 s")
        for client in clients[1]:
            assert b"[DONE]" not in await client.closed()

        if state == "serving":
            await served.line("worker started", worker=1)
        for talk in upstream.talks:
            talk.go.set()
        for client in clients[2]:
            assert b"".join(await client.chunks()) == STOP + DONE
        new = await streams_on_all(served, stack)
        assert all(new.values())
        for talk in upstream.talks:
            talk.go.set()


def impatient(folder: Path, **settings: float) -> dict[str, str]:
    """Return an environment in which the supervisor has these settings of its own for its workers."""
    (folder / "sitecustomize.py").write_text(
        "import sys\n"
        "if 'serve' in sys.orig_argv:\n"
        "    import proxy.server.processes.children as children\n"
        f"    vars(children).update({ {'_PULSE': 0.05} | settings!r})\n"
    )
    return {"PYTHONPATH": str(folder)}


async def test_worker_that_does_not_get_ready_is_killed(tmp_path):
    environ = impatient(tmp_path, _START=1.0)
    with (tmp_path / "sitecustomize.py").open("a") as script:
        script.write(
            "if 'proxy.server.processes.worker' in sys.orig_argv:\n    import time\n    time.sleep(600)\n"
        )
    async with Scripted(STREAM) as upstream:
        served = await start(upstream, tmp_path / "proxy.yaml", environ, workers=2)
        _, told = await soon(served.process.communicate())

    assert served.process.returncode == 1
    *_, last = told.decode().splitlines()
    assert re.fullmatch(r"straightwire: worker \d cannot start: it was not ready within 1 s", last)


async def test_what_a_worker_has_counted_is_told_before_anybody_asks(tmp_path):
    """So that little of it is lost if it is killed."""
    total = 'straightwire_streams_total{outcome="complete",upstream="local"}'
    async with (
        Scripted(STREAM) as upstream,
        serving(upstream, tmp_path / "proxy.yaml", impatient(tmp_path), workers=2) as served,
    ):
        seen, pause = 0.0, 0.1
        async with asyncio.timeout(PATIENCE):
            while not seen:  # the more time it has, the surer it has told
                async with PlainClient(served.url) as client:
                    await client.post(PATH, QUESTION)
                    await client.head()
                    assert await client.chunks() == WHOLE
                    number = worker_of(client, pids(served))
                await asyncio.sleep(pause)
                os.kill(pids(served)[number], signal.SIGKILL)
                await served.line("worker started", worker=number)
                seen, pause = await counted(served, total), 2 * pause


async def test_worker_that_is_told_to_end_lets_its_streams_end_and_is_replaced_at_once(tmp_path):
    async with (
        Scripted(held) as upstream,
        serving(upstream, tmp_path / "proxy.yaml", workers=2) as served,
        AsyncExitStack() as stack,
    ):
        clients = await streams_on_all(served, stack)
        old = upstream.talks[:]
        os.kill(pids(served)[2], signal.SIGTERM)
        await served.line("worker started", worker=2)
        new = await streams_on_all(served, stack)
        for talk in old:
            talk.go.set()
        for client in clients[1] + clients[2]:
            assert b"".join(await client.chunks()) == STOP + DONE
        ended = await served.line("worker ended", worker=2)
        assert (ended["level"], ended["reason"]) == ("info", "ended with exit status 0")

        for talk in upstream.talks:
            talk.go.set()
        for client in new[1] + new[2]:
            assert b"".join(await client.chunks()) == STOP + DONE


async def test_others_take_all_connections_while_a_worker_does_not_start(tmp_path):
    broken = tmp_path / "broken"
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys, time\n"
        "words = sys.orig_argv\n"
        f"if 'proxy.server.processes.worker' in words and os.path.exists({str(broken)!r}):\n"
        "    if words[words.index('proxy.server.processes.worker') + 1] == '2':\n"
        "        time.sleep(0.2)\n"  # while it starts, connections come
        "        os._exit(7)\n"
    )
    async with (
        Scripted(STREAM) as upstream,
        serving(upstream, tmp_path / "proxy.yaml", {"PYTHONPATH": str(tmp_path)}, workers=2) as served,
    ):
        broken.touch()
        os.kill(pids(served)[2], signal.SIGKILL)
        await served.line("worker ended", worker=2, reason="killed by SIGKILL")
        failed = await served.line("worker ended", worker=2)
        assert failed["reason"] == "worker 2 cannot start: ended with exit status 7"
        tried_again = asyncio.create_task(served.lines("worker ended", 2))
        while not tried_again.done():
            await answered(served)
        broken.unlink()
        await served.line("worker started", worker=2)
        for _ in range(16):
            await answered(served)


async def test_metrics_are_the_sums_over_all_workers_dead_ones_included(tmp_path):
    total = 'straightwire_streams_total{outcome="complete",upstream="local"}'
    async with (
        Scripted(held) as upstream,
        serving(upstream, tmp_path / "proxy.yaml", workers=2) as served,
        AsyncExitStack() as stack,
    ):
        clients = [client for some in (await streams_on_all(served, stack)).values() for client in some]
        assert await counted(served, 'straightwire_streams_in_flight{upstream="local"}') == len(clients)
        for talk in upstream.talks:
            talk.go.set()
        for client in clients:
            assert b"".join(await client.chunks()) == STOP + DONE
        async with asyncio.timeout(PATIENCE):  # a stream is counted right after its last byte has left
            while await counted(served, total) < len(clients):
                pass
        seconds = 'straightwire_request_seconds_bucket{le="+Inf",upstream="local"}'
        assert await counted(served, total) == len(clients)
        assert await counted(served, seconds) == len(clients)
        assert await counted(served, 'straightwire_streams_in_flight{upstream="local"}') == 0.0

        os.kill(pids(served)[1], signal.SIGKILL)
        await served.line("worker started", worker=1)
        assert await counted(served, total) == len(clients)


async def test_upstreams_are_asked_for_their_health_once_and_not_by_each_worker(tmp_path):
    async with (
        Scripted(serves(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) as upstream,
        serving(
            upstream,
            tmp_path / "proxy.yaml",
            workers=3,
            upstreams={"local": {"url": upstream.url, "health": {"interval": "1h"}}},
        ) as served,
    ):
        await ready(served.admin_url, expected=200)
        assert await counted(served, 'straightwire_upstream_up{upstream="local"}') == 1.0
        assert len(upstream.requests) == 1


async def test_workers_end_with_their_supervisor_and_tell_their_clients(tmp_path):
    async with (
        Scripted(BEGUN) as upstream,
        serving(upstream, tmp_path / "proxy.yaml", workers=2, drain="1h") as served,
        AsyncExitStack() as stack,
    ):
        clients = await streams_on_all(served, stack)
        processes = [os.pidfd_open(pid) for pid in pids(served).values()]
        served.process.kill()
        for client in clients[1] + clients[2]:
            assert error_of((await client.chunks())[-1])["code"] == "proxy_stopped"
        for process in processes:
            await ended(process)


async def test_all_workers_get_the_configuration_or_none_does(tmp_path):
    async with (
        Scripted(STREAM) as upstream,
        serving(upstream, tmp_path / "proxy.yaml", workers=2) as served,
    ):
        served.configure("upstreams: {local: {url: nonsense}}\n")
        served.process.send_signal(signal.SIGHUP)
        await served.line("not reloaded")
        for _ in range(8):
            await answered(served)

        served.configure(clients={"api_keys": ["sk-new"]}, workers=3)
        served.process.send_signal(signal.SIGHUP)
        await served.line("kept", key="workers")
        refused = 0
        async with asyncio.timeout(PATIENCE):
            while refused < 8:
                async with PlainClient(served.url) as client:
                    await client.post(PATH, QUESTION)
                    refused += (await client.head()).status == 401
        os.kill(pids(served)[1], signal.SIGKILL)
        await served.line("worker started", worker=1)
        for _ in range(8):
            async with PlainClient(served.url) as client:
                await client.post(PATH, QUESTION)
                assert (await client.head()).status == 401


async def test_proxy_whose_workers_do_not_start_fails_with_the_reason(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\nif 'proxy.server.processes.worker' in sys.orig_argv:\n    os._exit(7)\n"
    )
    async with Scripted(STREAM) as upstream:
        served = await start(upstream, tmp_path / "proxy.yaml", {"PYTHONPATH": str(tmp_path)}, workers=2)
        _, told = await soon(served.process.communicate())

    assert served.process.returncode == 1
    *_, last = told.decode().splitlines()
    assert re.fullmatch(r"straightwire: worker \d cannot start: ended with exit status 7", last)


async def test_address_that_another_proxy_has(tmp_path):
    async with (
        Scripted(STREAM) as upstream,
        serving(upstream, tmp_path / "one.yaml", workers=2) as served,
    ):
        port = int(served.url.rpartition(":")[2])
        for workers in (1, 2):
            other = await start(upstream, tmp_path / "two.yaml", listen={"port": port}, workers=workers)
            _, told = await soon(other.process.communicate())
            assert other.process.returncode == 1
            assert (
                told.decode() == f"straightwire: cannot listen on 127.0.0.1:{port}: Address already in use\n"
            )
        await answered(served)


async def test_places_are_those_of_all_workers(tmp_path):
    async with (
        Scripted(BEGUN) as upstream,
        serving(upstream, tmp_path / "proxy.yaml", workers=2, limits={"streams": 1}) as served,
        PlainClient(served.url) as client,
    ):
        await begin(client)
        for _ in range(8):
            async with PlainClient(served.url) as other:
                await other.post(PATH, QUESTION)
                assert (await other.error())[1]["code"] == "overloaded"

        number = worker_of(client, pids(served))
        os.kill(pids(served)[number], signal.SIGKILL)
        await client.closed()
        await served.line("worker ended", worker=number)
        async with PlainClient(served.url) as other:
            await begin(other)


async def test_unix_socket(tmp_path):
    path = tmp_path / "proxy.sock"
    async with (
        Scripted(STREAM) as upstream,
        serving(upstream, tmp_path / "proxy.yaml", workers=2, listen={"path": str(path)}) as served,
    ):
        assert served.url == f"unix:{path}"
        for _ in range(4):
            await answered(served)
        served.process.send_signal(signal.SIGTERM)
        assert await served.ended() == 0
        assert not path.exists()


async def test_certificate_is_read_again_by_all(tmp_path):
    old, new = Papers(trustme.CA(), tmp_path), Papers(trustme.CA(), tmp_path)
    certificate, key = old.issue()
    listen = {"port": 0, "tls": {"certificate": certificate, "key": key}}
    async with (
        Scripted(STREAM) as upstream,
        serving(upstream, tmp_path / "proxy.yaml", workers=2, listen=listen) as served,
    ):
        async with PlainClient(served.url, tls=old.client()) as client:
            await client.post(PATH, QUESTION)
            assert (await client.head()).status == 200
        new.issue()  # over the same files
        served.process.send_signal(signal.SIGHUP)
        await served.line("reloaded")
        shown = 0
        async with asyncio.timeout(PATIENCE):
            while shown < 8:
                with suppress(ssl.SSLCertVerificationError):  # a worker has still to read it
                    async with PlainClient(served.url, tls=new.client()):
                        shown += 1


@pytest.mark.parametrize("workers", [1, 2])
async def test_service_manager_is_told(tmp_path, workers):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)

        async def told() -> str:
            return (await soon(asyncio.get_running_loop().sock_recv(manager, 4096))).decode()

        environ = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        async with (
            Scripted(STREAM) as upstream,
            serving(upstream, tmp_path / "proxy.yaml", environ, workers=workers) as served,
        ):
            assert await told() == "READY=1"
            served.process.send_signal(signal.SIGHUP)
            assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", await told())
            assert await told() == "READY=1"
            served.process.send_signal(signal.SIGTERM)
            assert await told() == "STOPPING=1"
            assert await served.ended() == 0


@pytest.mark.parametrize("workers", [1, 2])
async def test_service_manager_hears_that_the_process_lives_as_long_as_it_does(tmp_path, workers):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)

        async def told() -> bytes:
            return await soon(asyncio.get_running_loop().sock_recv(manager, 4096))

        environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "100000"}
        async with (
            Scripted(held) as upstream,
            serving(upstream, tmp_path / "proxy.yaml", environ, workers=workers) as served,
            PlainClient(served.url) as client,
        ):
            assert await told() == b"READY=1"
            assert [await told() for _ in range(3)] == [b"WATCHDOG=1"] * 3
            await begin(client)
            served.process.send_signal(signal.SIGTERM)
            while await told() != b"STOPPING=1":
                pass
            assert await told() == b"WATCHDOG=1"  # also while a stream is waited for
            upstream.talks[0].go.set()
            assert await served.ended() == 0


@pytest.mark.parametrize("environ", [{"WATCHDOG_USEC": "soon"}, {"WATCHDOG_USEC": "1", "WATCHDOG_PID": "1"}])
async def test_watchdog_that_means_another_process_hears_nothing(tmp_path, environ):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        environ["NOTIFY_SOCKET"] = str(tmp_path / "notify")
        async with (
            Scripted(STREAM) as upstream,
            serving(upstream, tmp_path / "proxy.yaml", environ) as served,
        ):
            await answered(served)
            served.process.send_signal(signal.SIGTERM)
            assert await served.ended() == 0
        assert [manager.recv(4096) for _ in range(2)] == [b"READY=1", b"STOPPING=1"]


async def ended(process: int) -> None:
    """Wait until a process has ended, given its pidfd_open(2)."""
    loop, end = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(process, end.set)
    await soon(end.wait())
    loop.remove_reader(process)
    os.close(process)
