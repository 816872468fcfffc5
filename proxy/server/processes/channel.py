"""What the supervisor and its workers tell each other, over a pair of sockets that nobody else can reach.

Whole objects, pickled: both ends are the same program, started by the same user. The end of one process is
the end of the channel for the other.
"""

import asyncio
import pickle
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from prometheus_client import Metric

from proxy.config.schema import Configuration

_LENGTH: Final = 4


@dataclass(frozen=True, slots=True)
class Configure:
    """To a worker: put this in force. The first one is answered with `Ready`, others with a `Report`."""

    number: int
    configuration: Configuration


@dataclass(frozen=True, slots=True)
class Ask:
    """To a worker: what have you counted?"""

    number: int


@dataclass(frozen=True, slots=True)
class Drain:
    """To a worker: take nothing new, let requests end for as long as `drain`, and end."""


@dataclass(frozen=True, slots=True)
class Ready:
    """From a worker: it serves."""


@dataclass(frozen=True, slots=True)
class Failed:
    """From a worker: it cannot start, for this reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class Leaving:
    """From a worker: it takes nothing new any more."""


@dataclass(frozen=True, slots=True)
class Report:
    """From a worker: what it has counted; the answer to the message of this number, or its last words (0)."""

    number: int
    metrics: list[Metric]


Message = Configure | Ask | Drain | Ready | Failed | Leaving | Report


class Channel:
    """One end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, end: socket.socket) -> "Channel":
        """Return a channel over one socket of a pair."""
        return cls(*await asyncio.open_unix_connection(sock=end))

    def send(self, message: Message) -> None:
        """Send a message. Where the other end is closed nothing happens: `receive` tells of that."""
        if not self._writer.is_closing():
            data = pickle.dumps(message)
            self._writer.write(len(data).to_bytes(_LENGTH) + data)

    async def receive(self) -> Message | None:
        """Return the next message; None: the other end is closed."""
        try:
            length = int.from_bytes(await self._reader.readexactly(_LENGTH))
            data = await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        message: Any = pickle.loads(data)  # noqa: S301 - written by the same program
        return message  # type: ignore[no-any-return]

    async def close(self) -> None:
        """Close, once all that was sent is on its way."""
        self._writer.close()
        with suppress(ConnectionError):  # the other end was faster
            await self._writer.wait_closed()
