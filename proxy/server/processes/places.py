"""The places for requests, which `limits.streams` bounds: of one process, or of all workers together."""

import mmap
import os
from typing import Final

#: Of one process's number in the memory that all workers share, as `memoryview.cast` writes it.
_FORMAT: Final = "q"
_SIZE: Final = 8


class Places:
    """Counts the requests that are being served.

    Args:
        slot: where this process counts in the memory.
        memory: what `shared_memory` has returned; None: this process is alone.
    """

    def __init__(self, slot: int = 0, memory: int | None = None):
        shared = bytearray(_SIZE) if memory is None else mmap.mmap(memory, 0)
        # Each process writes its own slot only, and reads those of all; so nobody has to lock anything.
        self._slots = memoryview(shared).cast(_FORMAT)
        self._own = slot

    @property
    def taken(self) -> int:
        """How many there are."""
        return sum(self._slots)

    def take(self) -> None:
        """Count a request that comes in."""
        self._slots[self._own] += 1

    def leave(self) -> None:
        """Count it no more."""
        self._slots[self._own] -= 1

    def vacate(self, slot: int) -> None:
        """Count none where a process has ended."""
        self._slots[slot] = 0


def shared_memory(slots: int) -> int:
    """Return the file descriptor of memory in which so many processes count; it is in no file system."""
    memory = os.memfd_create("straightwire")
    os.ftruncate(memory, slots * _SIZE)
    return memory
