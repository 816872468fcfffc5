"""Heads of answers that an HTTP library takes, and that are nothing to build on, or to send on."""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

#: RFC 9110, section 15.
_ABOVE_EVERY_STATUS: Final = 600
#: What no header field may hold (RFC 9110, section 5.5), and aiohttp would refuse to send on.
_CONTROL: Final = re.compile(r"[\0-\x08\x0b-\x1f\x7f]")
#: What aiohttp can undo, brotli and zstd where the packages are there.
_DECODED_BY_AIOHTTP: Final = frozenset({"", "identity", "gzip", "deflate", "br", "zstd"})


def fault_of(status: int, reason: str | None, headers: Mapping[str, str], *, decode: bool) -> str | None:
    """Say what an upstream did wrong in the head of an answer.

    Args:
        status: of the answer, as it came.
        reason: the words beside it.
        headers: as they came.
        decode: its body has to be read here.

    Returns:
        What follows "The upstream …"; None: nothing is wrong.
    """
    if not HTTPStatus.OK <= status < _ABOVE_EVERY_STATUS:
        return f"does not speak proper HTTP: the status {status} ends no request"
    if headers.get("Transfer-Encoding", "chunked").strip().lower() != "chunked":
        return "does not speak proper HTTP: its answer is encoded for the way, though nobody asked for that"
    if _CONTROL.search("\n".join((reason or "", *headers.values()))):
        return "does not speak proper HTTP: there are control characters in its head"
    encoding = headers.get("Content-Encoding", "").strip().lower()
    if decode and encoding not in _DECODED_BY_AIOHTTP:
        return f"encoded its answer as {encoding!r}, though asked not to"
    return None
