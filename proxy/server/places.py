"""The places for requests, which `limits.streams` bounds: of one process, or of all workers together."""

import mmap
import os
from typing import Final

#: Of one worker's number in the memory that all of them share, as `memoryview.cast` writes it.
_FORMAT: Final = "q"
_SIZE: Final = 8


class Places:
    """Counts the requests that are being served.

    Args:
        number: the worker's that counts here.
        memory: what `share` has returned; None: this process is alone.
    """

    def __init__(self, number: int = 1, memory: int | None = None):
        shared = bytearray(_SIZE) if memory is None else mmap.mmap(memory, 0)
        # Each worker writes its own number only, and reads those of all; so nobody has to lock anything.
        self._numbers = memoryview(shared).cast(_FORMAT)
        self._own = number - 1

    @property
    def taken(self) -> int:
        """How many there are."""
        return sum(self._numbers)

    def take(self) -> None:
        """Count a request that comes in."""
        self._numbers[self._own] += 1

    def leave(self) -> None:
        """Count it no more."""
        self._numbers[self._own] -= 1

    def vacate(self, number: int) -> None:
        """Count none for a worker that has ended."""
        self._numbers[number - 1] = 0


def share(workers: int) -> int:
    """Return the file descriptor of memory in which so many workers count; it is in no file system."""
    memory = os.memfd_create("straightwire")
    os.ftruncate(memory, workers * _SIZE)
    return memory
