"""How much work a decoder does, counted and not timed."""

import sys
import tracemalloc
from collections.abc import Callable, Iterable
from typing import Any


def bytes_looked_at(feed: Callable[[bytes], Any], pieces: Iterable[bytes]) -> int:
    """Sum up the lengths of the byte strings whose methods (`find`, `split`, …) `feed` calls."""
    looked_at = 0

    def on_call(frame: object, event: str, called: Any) -> None:
        nonlocal looked_at
        if event == "c_call" and isinstance(owner := getattr(called, "__self__", None), bytes | bytearray):
            looked_at += len(owner)

    before = sys.getprofile()
    sys.setprofile(on_call)
    try:
        for piece in pieces:
            feed(piece)
    finally:
        sys.setprofile(before)
    return looked_at


def bytes_allocated(feed: Callable[[bytes], Any], pieces: Iterable[bytes]) -> int:
    """Sum up by how much each call of `feed` makes the memory grow at its worst."""
    allocated = 0
    tracer = sys.gettrace()
    sys.settrace(None)  # a coverage tool's own memory is not the decoder's
    tracemalloc.start()
    try:
        for piece in pieces:
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            feed(piece)
            _, peak = tracemalloc.get_traced_memory()
            allocated += peak - before
    finally:
        tracemalloc.stop()
        sys.settrace(tracer)
    return allocated


def pieces_of(data: bytes, size: int) -> list[bytes]:
    """Cut `data` into pieces of `size` bytes."""
    return [data[start : start + size] for start in range(0, len(data), size)]
