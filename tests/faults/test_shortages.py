"""The system has no more to give: no thread, no open file."""

import asyncio
import json
import signal
import ssl
from contextlib import AsyncExitStack
from pathlib import Path

from tests.cli.serving import NEVER, Served, serving
from tests.faults.asking import NEXT, get
from tests.plain_client import PlainClient
from tests.scripted import PATIENCE, Scripted
from tests.server.streams import PATH, QUESTION, answers, serves

FILES = 64
KEYS = {"api_keys": ["sk-new"]}


class Shortage:
    """No thread can be started in a process as long as this is so."""

    def __init__(self, folder: Path):
        self._flag = folder / "no-threads"
        (folder / "sitecustomize.py").write_text(
            "import sys, threading\n"
            "from pathlib import Path\n"
            "if 'serve' in sys.orig_argv:\n"
            "    start = threading.Thread.start\n"
            "    def start_or_refuse(thread):\n"
            f"        if Path({str(self._flag)!r}).exists():\n"
            '            raise RuntimeError("can\'t start new thread")\n'
            "        start(thread)\n"
            "    threading.Thread.start = start_or_refuse\n"
        )
        self.environ = {"PYTHONPATH": str(folder)}

    def begin(self) -> None:
        self._flag.touch()

    def end(self) -> None:
        self._flag.unlink()


async def test_no_thread_for_the_lookup_of_a_name(tmp_path):
    threads = Shortage(tmp_path)
    async with Scripted(serves(NEXT)) as upstream:
        local = {"local": {"url": f"http://localhost:{upstream.port}", "health": NEVER}}
        proxy = serving(upstream, tmp_path / "proxy.yaml", threads.environ, upstreams=local)
        async with proxy as served, PlainClient(served.url) as client:
            threads.begin()
            for _ in range(2):
                await client.post(PATH, QUESTION)
                head, error = await client.error()
                assert (head.status, error["code"]) == (502, "upstream_unreachable")
                assert "no thread" in error["message"]
            threads.end()
            assert await get(client) == b"next"
            assert len(upstream.requests) == 1


async def test_no_thread_for_the_rewriting_of_a_large_answer(tmp_path):
    threads = Shortage(tmp_path)
    choice = {"message": {"role": "assistant", "content": "x" * 2**19}, "finish_reason": "stop"}
    body = json.dumps({"choices": [choice]}).encode()
    reply = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
    async with (
        Scripted(answers(reply % (len(body), body))) as upstream,
        serving(upstream, tmp_path / "proxy.yaml", threads.environ) as served,
        PlainClient(served.url) as client,
    ):
        threads.begin()
        await client.post(PATH, QUESTION | {"stream": False})
        answer = json.loads(await client.body(await client.head()))
        assert answer["choices"][0]["message"]["content"] == "x" * 2**19


async def test_no_thread_for_a_reload(tmp_path):
    threads = Shortage(tmp_path)
    async with (
        Scripted(serves(NEXT)) as upstream,
        serving(upstream, tmp_path / "proxy.yaml", threads.environ) as served,
        PlainClient(served.url) as client,
    ):
        threads.begin()
        served.configure(clients=KEYS)
        served.process.send_signal(signal.SIGHUP)
        assert (await served.line("not reloaded"))["reason"] == "can't start new thread"
        assert await get(client) == b"next"
        threads.end()
        served.process.send_signal(signal.SIGHUP)
        await served.line("reloaded")
        await client.request("GET", "/x")
        assert (await client.error())[0].status == 401


async def test_no_open_file_for_a_reload_in_a_worker(tmp_path):
    """It goes on with the old configuration: it is not taken for one that hangs, and takes the next one."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "if 'serve' in sys.orig_argv:\n"
        "    from proxy.server.processes import children\n"
        "    children._PULSE, children._HANGS = 0.05, 5.0\n"
    )
    few = "sh", "-c", f'ulimit -n {FILES}; exec "$@"', "sh"
    secure = {"url": "https://127.0.0.1:9", "tls": {"ca": ssl.get_default_verify_paths().cafile}}
    async with (
        Scripted(serves(NEXT)) as upstream,
        serving(upstream, tmp_path / "proxy.yaml", {"PYTHONPATH": str(tmp_path)}, few, workers=2) as served,
    ):
        started = pids(served)
        async with AsyncExitStack() as stack:
            for _ in range(4 * FILES):  # far more than both can take, however they are shared out
                await stack.enter_async_context(PlainClient(served.url))
            async with asyncio.timeout(PATIENCE):
                while min(map(files_of, started.values())) < FILES:  # noqa: ASYNC110 - nobody is told
                    await asyncio.sleep(0)
            served.configure(clients=KEYS, upstreams={"local": secure})
            served.process.send_signal(signal.SIGHUP)
            for line in await served.lines("not reloaded", 2):
                assert line["reason"] == "[Errno 24] Too many open files"
            await served.line("reloaded")  # says the supervisor, which had files enough
        async with asyncio.timeout(PATIENCE):
            while max(map(files_of, started.values())) > FILES / 2:  # noqa: ASYNC110 - nobody is told
                await asyncio.sleep(0)
        served.process.send_signal(signal.SIGHUP)
        await served.line("reloaded")
        for _ in range(16):
            async with PlainClient(served.url) as client:
                await client.request("GET", "/x")
                assert (await client.error())[0].status == 401
        served.process.send_signal(signal.SIGTERM)
        assert await served.ended() == 0
    assert not [line for line in served.told if line["event"] == "worker ended"]


def pids(served: Served) -> dict[int, int]:
    """Return the process of each worker, by its number."""
    return {line["worker"]: line["pid"] for line in served.told if line["event"] == "worker started"}


def files_of(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
