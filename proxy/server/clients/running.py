"""The requests that are being answered."""

import asyncio
import math
from contextlib import suppress
from typing import Any

from proxy.server.operator.record import Record
from proxy.server.stopping import cut_off


class Running:
    """Those of one generation, from their heads until the last byte of their answers has been written.

    Each is known by the task that answers it, which may answer others after it.
    """

    def __init__(self) -> None:
        self._records: dict[asyncio.Task[Any], Record] = {}
        self._none: asyncio.Event | None = None  # set at the end of the last one, where somebody waits for it

    def begin(self, task: "asyncio.Task[Any]", record: Record) -> None:
        """Take a request that `task` answers from now on."""
        self._records[task] = record

    def end(self, task: "asyncio.Task[Any]") -> None:
        """Let go of the request that `task` has answered."""
        del self._records[task]
        if self._none is not None and not self._records:
            self._none.set()
            self._none = None

    def streams(self, upstream: str) -> int:
        """Return how many of them are streams of an upstream."""
        return sum(record.stream and record.upstream == upstream for record in self._records.values())

    def cut_off(self) -> None:
        """Make them end now, with an error where an answer is not whole."""
        for task in self._records:
            cut_off(task)

    async def ended(self, until: float = math.inf) -> None:
        """Wait for the end of the last one, but only to a point in time, by the event loop's clock."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(None if until == math.inf else until):
                while self._records:
                    self._none = self._none or asyncio.Event()
                    await self._none.wait()
