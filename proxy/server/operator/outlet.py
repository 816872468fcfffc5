"""Where the lines of the log go, without waiting for whoever reads them.

A pipe whose reader stands still must not make the proxy stand still, with all of its streams. What the pipe
does not take, or a disk that is full, is kept, and written when it takes more; what is more than can be kept
is lost, and a line in its place tells how much that was.
"""

import asyncio
import atexit
import errno
import os
import select
import socket
import stat
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Final, TextIO

#: The most that is kept for a reader that stands still, in bytes: some thousands of lines.
_MOST_KEPT: Final = 2**20
#: What a pipe takes in one piece or not at all, so that lines of several workers are not mixed (pipe(7)).
_PIECE: Final = select.PIPE_BUF
#: What a file says that takes nothing now, and perhaps later: a slow reader's, or one on a full disk.
_FULL: Final = frozenset({errno.EAGAIN, errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
#: Seconds for a slow reader to take what is kept, when the process ends.
_LAST_WORDS: Final = 1.0

_outlets: weakref.WeakKeyDictionary[TextIO, "Outlet"] = weakref.WeakKeyDictionary()


def outlet(stream: TextIO) -> "Outlet | None":
    """Return the way to the file behind a stream, the same for all who ask, so that lines keep their order.

    None: there is no file behind it.
    """
    try:
        descriptor = stream.fileno()
    except OSError:
        return None
    if stream not in _outlets:
        stream.flush()
        _outlets[stream] = Outlet(descriptor)
    return _outlets[stream]


class Outlet:
    """A file, terminal, pipe or socket that takes lines; it stands where structlog has its `BytesLogger`.

    Args:
        descriptor: of the file. It is left as it is: other processes may have it, too.

    Attributes:
        tell_of_loss: is given the number of lines that have been lost, to write one about it.
    """

    def __init__(self, descriptor: int):
        self.tell_of_loss: Callable[[int], None] = _tell_nobody
        self._write, self._descriptor, close = _way_to(descriptor)
        weakref.finalize(self, close).atexit = False  # `_finish_all` may still need it
        self._kept: deque[bytes] = deque()
        self._size = 0  # of what is kept, in bytes
        self._lost = 0  # lines
        self._lock = threading.RLock()  # libraries may have something to say in threads of theirs
        self._waiting: asyncio.AbstractEventLoop | None = None  # for the reader

    def msg(self, line: bytes) -> None:
        """Write a line, now or later; to lose it is no reason to break anything off."""
        line += b"\n"
        if self._kept and self._waiting is None:
            self._write_on()
        if not self._kept:
            written = self._written(line)
            if written == len(line):
                return
            line = line[written:]
        with self._lock:
            self._keep(line)

    debug = info = warning = error = critical = msg

    def finish(self, seconds: float) -> None:
        """Give a slow reader so much time for what is kept."""
        until = time.monotonic() + seconds
        there = select.poll()
        there.register(self._descriptor, select.POLLOUT)
        while self._kept and (left := until - time.monotonic()) > 0 and there.poll(left * 1000):
            self._write_on()

    def _keep(self, line: bytes) -> None:
        if self._kept and self._size + len(line) > (_MOST_KEPT // 2 if self._lost else _MOST_KEPT):
            self._lost += 1
            return
        self._tell_what_was_lost()
        self._kept.append(line)
        self._size += len(line)
        if self._waiting is None or self._waiting.is_closed():
            # There may be no event loop yet, and for a disk none can wait: the next line has another try.
            with suppress(RuntimeError, PermissionError):
                loop = asyncio.get_running_loop()
                loop.add_writer(self._descriptor, self._write_on)
                self._waiting = loop

    def _write_on(self) -> None:
        """Write what is kept, as far as the reader takes it."""
        with self._lock:
            while self._kept:
                written = self._written(self._next_piece())
                if not written:
                    return
                self._drop(written)
            if self._waiting is not None and not self._waiting.is_closed():
                self._waiting.remove_writer(self._descriptor)
            self._waiting = None
            self._tell_what_was_lost()

    def _written(self, data: bytes) -> int:
        """Write what the file takes now; return how much that was, in bytes.

        What nobody will ever read counts as written.
        """
        try:
            return self._write(data)
        except OSError as error:
            return 0 if error.errno in _FULL else len(data)

    def _next_piece(self) -> bytes:
        """Return as many whole lines as can be written in one piece, one at least."""
        lines, size = [self._kept[0]], len(self._kept[0])
        for line in islice(self._kept, 1, None):
            size += len(line)
            if size > _PIECE:
                break
            lines.append(line)
        return b"".join(lines)

    def _drop(self, written: int) -> None:
        self._size -= written
        while self._kept and written >= len(self._kept[0]):
            written -= len(self._kept.popleft())
        if written:
            self._kept[0] = self._kept[0][written:]

    def _tell_what_was_lost(self) -> None:
        lost, self._lost = self._lost, 0
        if lost:
            self.tell_of_loss(lost)


def _way_to(descriptor: int) -> tuple[Callable[[bytes], int], int, Callable[[], None]]:
    """Return what writes to a file without waiting, what tells when it takes more, and what closes both.

    O_NONBLOCK would hold for all who have inherited the descriptor, and surprise them. A pipe or a terminal
    is opened once more instead, where Linux allows that (proc(5)); elsewhere writing waits, as it always did.
    """
    kind = os.fstat(descriptor).st_mode
    if stat.S_ISSOCK(kind):
        there = socket.socket(fileno=os.dup(descriptor))
        return lambda data: there.send(data, socket.MSG_DONTWAIT), there.fileno(), there.close
    if stat.S_ISFIFO(kind) or os.isatty(descriptor):
        with suppress(OSError):
            again = os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
            return partial(os.write, again), again, partial(os.close, again)
    return partial(os.write, descriptor), descriptor, lambda: None


def _tell_nobody(_: int) -> None:
    """Do nothing: there is no log yet."""


@atexit.register
def _finish_all() -> None:
    for each in list(_outlets.values()):
        each.finish(_LAST_WORDS)
