"""HTTP's chunked transfer coding, taken off an upstream's body (RFC 9112, section 7.1)."""

from typing import Final

_HEX: Final = b"0123456789abcdefABCDEF"
#: The longest line that announces a chunk, and the longest trailer, in bytes.
_LONGEST_LINE: Final = 4096
#: More digits are no chunk's size, but an attempt on somebody's arithmetic.
_MOST_DIGITS: Final = 15


class ChunkedDecoder:
    """Takes the chunks off a body whose bytes come cut anywhere.

    Attributes:
        ended: the last chunk has come, and the trailers, which stop here.
        between: the next byte begins a chunk.
        broken: what came is no chunk. Nothing is decoded any more.
        surplus: something came after the end, which belongs to nobody.
    """

    __slots__ = ("_left", "_line", "_trailing", "between", "broken", "ended", "surplus")

    def __init__(self) -> None:
        self.between = True
        self.ended = False
        self.broken = False
        self.surplus = False
        self._line = b""  # the beginning of one that has not come whole
        self._left = 0  # bytes of the current chunk, its line end included
        self._trailing = False

    def feed(self, data: bytes) -> bytes:
        """Take what one read brought; return what of it belongs to the body."""
        pieces: list[bytes] = []
        at = self._take_whole_chunks(data, pieces) if self.between else 0
        if at < len(data):
            self._take_rest(data, at, pieces)
            self.between = not (self._left or self._line or self._trailing or self.broken)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _take_whole_chunks(self, data: bytes, pieces: list[bytes]) -> int:
        """Take the usual case: a read brings whole chunks, and perhaps the last; return where that ends."""
        at, length = 0, len(data)
        while at < length:
            line = data.find(b"\r\n", at, at + _MOST_DIGITS + 2)
            size = data[at:line]
            if line <= at or size.strip(_HEX):
                break
            begin = line + 2
            end = begin + int(size, 16)
            if not data.startswith(b"\r\n", end):
                break
            if end == begin:
                if length > end + 2:
                    break
                self.ended = self._trailing = True
                self.between = False
            else:
                pieces.append(data[begin:end])
            at = end + 2
        return at

    def _take_rest(self, data: bytes, at: int, pieces: list[bytes]) -> None:
        if self._line:
            data, self._line = self._line + data, b""
        while at < len(data) and not (self.ended or self.broken):
            at = self._take_chunk(data, at, pieces) if self._left else self._take_line(data, at)
        if self.ended and at < len(data):
            self.surplus = True

    def _take_chunk(self, data: bytes, at: int, pieces: list[bytes]) -> int:
        """Take what has come of the current chunk; return where it ends."""
        end = at + self._left
        if end - 2 > at:
            pieces.append(data[at : end - 2])
        self.broken = not b"\r\n"[max(0, 2 - self._left) :].startswith(data[max(at, end - 2) : end])
        self._left = max(0, end - len(data))
        return min(end, len(data))

    def _take_line(self, data: bytes, at: int) -> int:
        """Take a line between chunks: a size, or a trailer; return where the next one begins."""
        end = data.find(b"\r\n", at)
        if end < 0:
            self._line = data[at:]
            begins_well = self._trailing or _is_size(self._line.removesuffix(b"\r"))
            self.broken = len(self._line) > _LONGEST_LINE or not begins_well
            return len(data)
        if self._trailing:
            self.ended = end == at
            return end + 2
        line = data[at:end]
        if not _is_size(line):
            self.broken = True
        elif size := int(line.partition(b";")[0], 16):
            self._left = size + 2
        else:
            self._trailing = True
        return end + 2


def _is_size(line: bytes) -> bool:
    """Tell whether a line, or the beginning of one, announces a chunk; extensions mean nothing to anybody."""
    size = line.partition(b";")[0].rstrip(b" \t")
    return 0 < len(size) <= _MOST_DIGITS and not size.strip(_HEX)
