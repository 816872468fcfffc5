"""The shortest road: an event like the last, from an upstream's HTTP chunk to the client's in one step.

In the middle of a stream one read brings one chunk of HTTP, with one event, wrapped as all are, of which only
the text is new. Then the bytes around the text are known through all layers: the line of the chunk, the
wrapping of the event, the JSON. `Shortcut` compares them where they stand, and puts the text between
those of the client's.

It decides nothing. What the wrapping and the splice have learnt it applies as they would, one after the
other. What they would not take it does not take either; what they would have counted it settles with them.
"""

from typing import Final

import orjson

from proxy.wire.frames import FrameWriter
from proxy.wire.splice import CANONICAL, Seam, Splice
from proxy.wire.wrapping import QuickDecoder, Wrapping

#: More digits than any chunk's size has.
_MOST_DIGITS: Final = 16
_CRLF: Final = b"\r\n"


class Shortcut:
    """Takes chunks that hold one whole event each, whose text alone is new.

    It holds as long as nothing else comes in between. It is kept small, and touches as little as can be: what
    was not used since the stream's last event has to be fetched from memory, which costs more than all else.

    Args:
        decoder: the road that it leads past, from its beginning to its end: what takes off the wrapping,
        splice: what moves the text from one event to the other,
        writer: what numbers the frames.
        wrapping: what stands around an event.
        seam: what stands around the text.
        limit: the greatest size of an event; 0: none. No chunk is taken whose size has as many digits.
    """

    __slots__ = (
        "_begin",
        "_decoder",
        "_end",
        "_head",
        "_line",
        "_splice",
        "_tail",
        "_taken",
        "_texts",
        "_writer",
    )

    def __init__(
        self,
        decoder: QuickDecoder,
        splice: Splice,
        writer: FrameWriter,
        wrapping: Wrapping,
        seam: Seam,
        *,
        limit: int,
    ) -> None:
        self._decoder = decoder
        self._splice = splice
        self._writer = writer
        self._head = wrapping.before + seam.head
        self._tail = seam.tail + wrapping.after + _CRLF
        self._begin = seam.begin
        self._end = seam.end + _CRLF
        self._line = (
            len(b"%x" % limit if limit else _MOST_DIGITS * b"f") + 1
        )  # where that of a chunk ends at last
        self._texts = seam.texts
        self._taken = 0  # what is still to be counted

    def take(self, data: bytes) -> bytes | None:
        """Take what one read brought between two chunks; return the client's chunk.

        Returns:
            None: it is something else, of which nothing has been taken.
        """
        head, tail = self._head, self._tail
        start = data.find(_CRLF, 0, self._line) + 2
        if not (data.startswith(head, start) and data.endswith(tail)):
            return None
        if data[:start].lower() != b"%x\r\n" % (len(data) - start - 2):
            return None
        text = data[start + len(head) : -len(tail)]
        if not text or not CANONICAL(text):
            return None
        if self._texts is not None or not text.isascii():
            try:
                said = orjson.loads(b'"%b"' % text)
            except orjson.JSONDecodeError:  # no UTF-8
                return None
            if self._texts is not None:
                self._texts.append(said)
        self._taken += 1
        begin, end = self._begin, self._end
        return b"%x\r\n%b%b%b" % (len(begin) + len(text) + len(end) - 2, begin, text, end)

    def settle(self) -> None:
        """Count what has been taken, as the road that it leads past would have."""
        taken, self._taken = self._taken, 0
        self._decoder.skip(taken)
        self._splice.skip(taken)
        self._writer.written += taken


def find(decoder: QuickDecoder, splice: Splice, writer: FrameWriter, limit: int) -> Shortcut | None:
    """Return the shortcut for the next event of a stream, if enough is known of it."""
    wrapping, seam = decoder.expected, splice.seam
    if wrapping is None or seam is None or wrapping.name != seam.name:
        return None
    if wrapping.bare and seam.head[:1] in b" ":
        return None  # such a space is no part of the event
    return Shortcut(decoder, splice, writer, wrapping, seam, limit=limit)
