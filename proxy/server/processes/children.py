"""The processes of the workers, as their parent sees them."""

import asyncio
import itertools
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

from proxy.config.schema import Configuration
from proxy.errors import WorkerFailed
from proxy.server.alarms import TimeLimit
from proxy.server.processes.channel import (
    Ask,
    Channel,
    Configure,
    Drain,
    Failed,
    Leaving,
    Message,
    Ready,
    Report,
)
from proxy.server.processes.totals import Totals

_COMMAND: Final = (sys.executable, "-m", "proxy.server.processes.worker")
#: Seconds for a process to start. It needs less than one, but all of them may start at once.
_START: Final = 60.0
#: Seconds between two questions; what a worker has counted since the last is lost if it is killed.
_PULSE: Final = 5.0
#: Seconds after which one that does not answer hangs. Nothing that serves keeps its event loop that long.
_HANGS: Final = 30.0


class Children:
    """All child processes of this one. As process 1 of a container it has to see to those of others, too."""

    def __init__(self) -> None:
        self._ends: dict[int, asyncio.Future[int]] = {}

    def watch(self) -> None:
        """See to children that end, from now on; the event loop runs."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self._reap)

    def end_of(self, pid: int) -> "asyncio.Future[int]":
        """Return what will hold the exit code of a child that has just been started."""
        self._ends[pid] = asyncio.get_running_loop().create_future()
        return self._ends[pid]

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if end := self._ends.pop(pid, None):
                end.set_result(os.waitstatus_to_exitcode(status))


class Child:
    """The process of one worker.

    It is started anew and is no fork: the event loop, the threads and the connections that this process has
    would be in its way.

    Args:
        number: of the worker.
        slot: where it counts its requests in the memory that all workers share.
        children: sees to its end.
        totals: takes its counts.

    Attributes:
        ready: it serves.
        resigned: it has said itself that it takes nothing new.
        left: set when it takes nothing new, for this or any other reason.
        fault: why it was killed from here; empty: it was not.
    """

    def __init__(self, number: int, slot: int, children: Children, totals: Totals):
        self.number = number
        self.slot = slot
        self.ready = False
        self.resigned = False
        self.left = asyncio.Event()
        self.fault = ""
        self._children = children
        self._totals = totals
        self._process: subprocess.Popen[bytes]
        self._end: asyncio.Future[int]  # of the process
        self._listening: asyncio.Task[None]
        self._watching: asyncio.Task[None] | None = None
        self._channel: Channel | None = None
        self._configuration: Configuration
        self._draining = False
        self._answered = asyncio.Event()  # whether it can serve, or not
        self._failure = ""
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[None]] = {}

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    async def start(
        self, configuration: Configuration, memory: int, sockets: Sequence[socket.socket]
    ) -> None:
        """Start the process, and wait until it serves.

        Args:
            configuration: what it does.
            memory: in which all workers count their requests.
            sockets: what it listens on.

        Raises:
            WorkerFailed: it does not.
        """
        self._configuration = configuration
        try:
            ours = self._run(memory, sockets)
        except OSError as error:
            raise WorkerFailed(f"worker {self.number} cannot start: {error}") from error
        self._channel = await Channel.over(ours)
        self._listening = asyncio.create_task(self._listen(self._channel))
        self._channel.send(Configure(0, self._configuration))
        if self._draining:
            self._channel.send(Drain())
        try:
            async with TimeLimit(_START):
                await self._answered.wait()
        except TimeoutError:
            self._give_up(f"it was not ready within {_START:g} s")
        if not self.ready:
            how = said(await self.end())
            raise WorkerFailed(f"worker {self.number} cannot start: {self._failure or self.fault or how}")
        self._watching = asyncio.create_task(self._watch())

    def _run(self, memory: int, sockets: Sequence[socket.socket]) -> socket.socket:
        """Start the process; return our end of the channel."""
        ours, theirs = socket.socketpair()
        handed = [theirs.fileno(), memory, *(each.fileno() for each in sockets)]
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [*_COMMAND, str(self.number), str(self.slot), *map(str, handed)],
                pass_fds=handed,
                stdin=subprocess.DEVNULL,
                process_group=0,  # what a terminal says is for this process, which passes it on
            )
        self._end = self._children.end_of(self.pid)
        return ours

    async def configure(self, configuration: Configuration) -> None:
        """Put a new configuration in force, and wait until it is."""
        self._configuration = configuration
        if self._channel is not None:
            await self._answer(Configure(next(self._numbers), configuration))

    async def report(self) -> None:
        """Have it tell what it has counted, and wait until it has."""
        if self._channel is not None:
            await self._answer(Ask(next(self._numbers)))

    def drain(self) -> None:
        """Let it take nothing new, and end."""
        self._draining = True
        if self._channel is not None:
            self._channel.send(Drain())

    def kill(self) -> None:
        """End it at once."""
        if not self._end.done():
            os.kill(self.pid, signal.SIGKILL)

    async def end(self) -> int:
        """Wait for its end; return the exit code, which is negative where a signal has killed it."""
        code = await self._end
        if self._watching is not None:
            self._watching.cancel()
        self._process.returncode = code  # it has been waited for, which `subprocess` does not know
        await self._listening
        if self._channel is not None:
            await self._channel.close()
        self._totals.end(self.pid)
        return code

    async def _watch(self) -> None:
        """Have it tell what it has counted again and again, to its end; kill it if it does not answer."""
        while True:
            await asyncio.sleep(_PULSE)
            try:
                async with TimeLimit(_HANGS):
                    await self.report()
            except TimeoutError:
                self._give_up(f"killed: it hung, and did not answer for {_HANGS:g} s")

    def _give_up(self, fault: str) -> None:
        if not self._end.done():
            self.fault = fault
            self.kill()

    async def _answer(self, question: Ask | Configure) -> None:
        answer = self._answers[question.number] = asyncio.get_running_loop().create_future()
        if self._channel is not None:
            self._channel.send(question)
        await answer

    async def _listen(self, channel: Channel) -> None:
        while message := await channel.receive():
            self._hear(message)
        self.ready = False
        self.left.set()
        self._answered.set()
        for answer in self._answers.values():
            answer.cancel()

    def _hear(self, message: Message) -> None:
        match message:
            case Ready():
                self.ready = True
                self._answered.set()
            case Failed(reason):
                self._failure = reason
            case Leaving():
                self.ready = False
                self.resigned = True
                self.left.set()
            case Report(number, metrics):
                self._totals.take(self.pid, metrics)
                answer = self._answers.pop(number, None)
                if answer is not None and not answer.done():
                    answer.set_result(None)


def said(code: int) -> str:
    """Put an exit code into words."""
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit status {code}"
