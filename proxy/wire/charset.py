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


def _named(content_type: str) -> str:
    _, _, charset = content_type.lower().partition("charset=")
    return charset.partition(";")[0].strip(" \"'")


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True
