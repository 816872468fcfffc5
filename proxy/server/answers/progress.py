"""Whether a whole answer gets on: bytes alone do not count, or an upstream could take for ever with them.

Some servers send blanks, or comments, while the model loads or works; and one that hangs may go on to.
"""

import asyncio
from typing import Final

from proxy.config.schema import Timeouts
from proxy.errors import UpstreamTimeout
from proxy.server.alarms import TimeLimit
from proxy.server.upstreams.answer import Answer

#: So many bytes of a body have to come in the time of `idle`, or all of the rest.
_PIECE: Final = 65536
#: Seconds that are left when there are none: what has arrived is read all the same.
_NONE: Final = 0.001


class Progress:
    """Reads an answer, which has `first_byte` for its first word, and `idle` for each step from then on.

    Args:
        answer: has just begun.
        host: the upstream's, for messages.
        timeouts: the limits.
    """

    def __init__(self, answer: Answer, host: str, timeouts: Timeouts):
        self._answer = answer
        self._host = host
        self._idle = timeouts.idle
        self._limit = timeouts.first_byte
        self._loop = asyncio.get_running_loop()
        self._since = self._loop.time()
        self._steps = 0
        self._size = 0

    async def read(self) -> bytes:
        """Return what has arrived, as soon as anything has; b"" at the proper end of the body.

        Raises:
            UpstreamTimeout: no step has been made for as long as it may take.
            UpstreamError: as from `Answer.read`.
        """
        if self._answer.waiting:
            return await self._answer.read()
        try:
            async with TimeLimit(max(self._left(), _NONE) if self._limit else 0):
                return await self._answer.read()
        except TimeoutError:
            raise self._timeout() from None

    def note_body(self, data: bytes) -> None:
        """Note what one read brought of a body that is no stream, b"" at its end.

        Raises:
            UpstreamTimeout: it is too little, and too late.
        """
        if self._size or data.strip():
            self._size += len(data)
        if data:
            self.note(1 + self._size // _PIECE if self._size else 0, begun=True)

    def note(self, steps: int, *, begun: bool) -> None:
        """Note how far the answer has got.

        Args:
            steps: so many have been made in all.
            begun: the model has said something.

        Raises:
            UpstreamTimeout: it is no step more, and too late.
        """
        if steps > self._steps:
            self._steps, self._since = steps, self._loop.time()
            if begun:
                self._limit = self._idle
        elif self._limit and self._left() <= 0:
            raise self._timeout()

    def _left(self) -> float:
        return self._since + self._limit - self._loop.time()

    def _timeout(self) -> UpstreamTimeout:
        return UpstreamTimeout(
            f"The upstream {self._host} stopped in its answer: nothing of use came for {self._limit:g} s."
        )
