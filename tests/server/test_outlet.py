"""Where the log goes: whoever reads it late gets it all the same, or is told what is missing."""

import asyncio
import fcntl
import json
import os
import pty
import resource
import socket
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import IO

import pytest

from proxy.config.schema import Log
from proxy.server.operator.access_log import open_log
from proxy.server.operator.outlet import _MOST_KEPT, outlet
from tests.scripted import PATIENCE, soon

SMALL = 4096  # bytes that a pipe takes before somebody reads
LONG = "x" * 200


class Reader:
    """Both ends of something that a log is written to."""

    def __init__(self, ours: int, theirs: int):
        self._ours = ours
        self.stream: IO[str] = os.fdopen(theirs, "w")
        os.set_blocking(ours, False)
        self._text = b""

    async def read(self) -> list[bytes]:
        """Read until the last line that is to come has come."""
        readable = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(self._ours, readable.set)
        try:
            while not self._text.endswith(b"end\n"):
                await soon(readable.wait())
                readable.clear()
                with suppress(BlockingIOError):
                    self._text += os.read(self._ours, 2**16)
        finally:
            loop.remove_reader(self._ours)
        return self._text.splitlines()

    def close(self) -> None:
        os.close(self._ours)


def pipe() -> tuple[int, int]:
    ours, theirs = os.pipe()
    fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, SMALL)
    return ours, theirs


def stream_socket() -> tuple[int, int]:
    ours, theirs = socket.socketpair()
    return ours.detach(), theirs.detach()


def terminal() -> tuple[int, int]:
    ours, theirs = pty.openpty()
    settings = termios.tcgetattr(theirs)
    settings[1] &= ~termios.OPOST
    termios.tcsetattr(theirs, termios.TCSANOW, settings)
    return ours, theirs


@pytest.fixture(params=[pipe, stream_socket, terminal])
def reader(request: pytest.FixtureRequest) -> Iterator[Reader]:
    made: Callable[[], tuple[int, int]] = request.param
    reader = Reader(*made())
    with reader.stream:
        yield reader
        reader.close()


async def test_lines_that_are_read_late_come_all_and_in_order(reader):
    way = outlet(reader.stream)
    assert way is outlet(reader.stream)
    lines = [b"%d %b" % (number, b"y" * (number % 7000)) for number in range(300)]
    for line in lines:
        way.msg(line)
    way.msg(b"end")
    assert await reader.read() == [*lines, b"end"]


async def test_flags_that_others_share_stay_as_they_are(reader):
    outlet(reader.stream).msg(b"end")
    assert os.get_blocking(reader.stream.fileno())
    assert await reader.read() == [b"end"]


async def test_full_disk_gets_every_line_when_it_has_room_again(tmp_path):
    lines = [b"%d %b" % (number, b"y" * 100) for number in range(9)]
    with (tmp_path / "log").open("w") as stream:
        way = outlet(stream)
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (250, before[1]))  # in the middle of a line
        try:
            for line in lines:
                way.msg(line)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert (tmp_path / "log").stat().st_size == 250
        way.msg(b"end")
    assert (tmp_path / "log").read_bytes().splitlines() == [*lines, b"end"]


async def test_lines_that_are_lost_are_counted_in_their_place(reader):
    log = open_log(Log(format="json", level="error"), reader.stream)
    written = 2 * _MOST_KEPT // len(LONG)
    for number in range(written):
        log.error("line", number=number, text=LONG)
    assert outlet(reader.stream) is not None
    reading = asyncio.create_task(reader.read())
    async with asyncio.timeout(PATIENCE):
        while outlet(reader.stream)._kept:  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0)
    outlet(reader.stream).msg(b'{"event":"end"} end')
    *told, _ = [json.loads(line.removesuffix(b" end")) for line in await reading]

    numbers = [line["number"] for line in told if line["event"] == "line"]
    (lost,) = [line for line in told if line["event"] == "lines lost"]
    assert numbers == list(range(len(numbers)))
    assert lost["lines"] == written - len(numbers) > 0
    assert told[-1] == lost
    assert lost["level"] == "error"


ENDS = """
import asyncio, sys
from proxy.server.operator import outlet

outlet._LAST_WORDS = 20.0

async def write():
    for number in range(5000):
        outlet.outlet(sys.stdout).msg(b"%d" % number + b" " * 100)

asyncio.run(write())
print("written", file=sys.stderr)
"""


async def test_what_is_kept_at_the_end_is_written_for_a_slow_reader():
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ENDS, stdout=subprocess.PIPE, stderr=subprocess.PIPE, limit=2**10
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert await soon(process.stderr.readline()) == b"written\n"
    lines = (await soon(process.stdout.read())).splitlines()
    assert [int(line) for line in lines] == list(range(5000))
    assert await soon(process.wait()) == 0
