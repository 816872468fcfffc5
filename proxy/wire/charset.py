"""Bodies in other encodings than UTF-8, which JSON must be in (RFC 8259, 8.1)."""

import codecs
from typing import Final

#: The longer marks first: that of UTF-32 begins with that of UTF-16.
_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def to_utf8(body: bytes, content_type: str) -> bytes:
    """Bring a body to UTF-8 from the encoding that its first bytes or its Content-Type tell.

    What can be read as UTF-8 and is more than ASCII is UTF-8, whatever the header says.

    Returns:
        The very bytes that came where they are UTF-8, or where nobody knows the encoding.
    """
    encoding = next((name for mark, name in _MARKS if body.startswith(mark)), None) or _named(content_type)
    try:
        known = codecs.lookup(encoding).name if encoding else "utf-8"
        if known == "utf-8" or (not body.isascii() and _is_utf8(body)):
            return body
        return body.decode(known, "replace").encode()
    except (LookupError, ValueError):
        return body


def foreign_encoding(content_type: str) -> str:
    """Return the encoding that a Content-Type names; "" where it is UTF-8, unknown, or that of events.

    Events are UTF-8 by their standard, and where frameworks name another encoding, they do not mean it.
    """
    encoding = "" if "event-stream" in content_type.lower() else _named(content_type)
    try:
        known = codecs.lookup(encoding).name if encoding else "utf-8"
        codecs.getincrementaldecoder(known)
    except LookupError:
        return ""
    return "" if known == "utf-8" else known


class Transcoder:
    """Brings a body to UTF-8 as `to_utf8` does, but as it comes, cut anywhere.

    Args:
        encoding: from `foreign_encoding`, not "".
    """

    def __init__(self, encoding: str):
        self._decoder = codecs.getincrementaldecoder(encoding)("replace")
        self._undecided = "{".encode(encoding) == b"{"  # ASCII has come, which is UTF-8, too

    def feed(self, data: bytes, *, final: bool = False) -> bytes:
        """Take what one read brought; return what of it is whole, or all where it is the last."""
        if self._undecided and not data.isascii():
            self._undecided = False
            if _is_utf8(data, final=final):
                self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        return self._decoder.decode(data, final).encode("utf-8", "surrogateescape")


def _named(content_type: str) -> str:
    _, _, charset = content_type.lower().partition("charset=")
    return charset.partition(";")[0].strip(" \"'")


def _is_utf8(body: bytes, *, final: bool = True) -> bool:
    try:
        codecs.utf_8_decode(body, "strict", final)
    except UnicodeDecodeError:
        return False
    return True
