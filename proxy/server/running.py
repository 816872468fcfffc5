"""The requests that are being answered."""

import asyncio
import math
from typing import Any

from proxy.server.record import Record
from proxy.server.stopping import cut_off


class Running:
    """Those of one generation, from their heads until the last byte of their answers has been written.

    Each is known by the task that answers it.
    """

    def __init__(self) -> None:
        self._records: dict[asyncio.Task[Any], Record] = {}

    def begin(self, record: Record) -> None:
        """Take the request that the current task answers from now on."""
        self._records[_current_task()] = record

    def end(self) -> None:
        """Let go of the request that the current task has answered."""
        del self._records[_current_task()]

    def streams(self, upstream: str) -> int:
        """Return how many of them are streams of an upstream."""
        return sum(record.stream and record.upstream == upstream for record in self._records.values())

    def cut_off(self) -> None:
        """Make them end now, with an error where an answer is not whole."""
        for task in self._records:
            cut_off(task)

    async def ended(self, until: float = math.inf) -> None:
        """Wait for the end of the last one, but only to a point in time, by the event loop's clock."""
        loop = asyncio.get_running_loop()
        while self._records and (left := until - loop.time()) > 0:
            await asyncio.wait(list(self._records), timeout=None if left == math.inf else left)


def _current_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("aiohttp serves requests in tasks")
    return task
