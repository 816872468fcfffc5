"""The path and query of a request: where it goes at its upstream, and whether it may go there.

Only to what is below the URL of the upstream, however that is written.
"""

import re
import unicodedata
from typing import Final
from urllib.parse import unquote_to_bytes

from proxy.errors import InvalidRequest

_SEPARATORS: Final = re.compile(r"[/\\]")
#: Begin what some take for no part of a name. A fragment has no place in a request; some cut it off.
_PARAMETERS: Final = re.compile(r"[;#]")
_BACK: Final = ".."
_STAYS: Final = frozenset({"", "."})
#: Each costs a pass over the whole path, and one that is encoded a thousand times would hold everybody up.
_MOST_DECODINGS: Final = 8
#: How IIS writes a character (`%u002e`), and UTF-8 that is longer than need be (RFC 3629, section 10).
_PERCENT_U: Final = re.compile(rb"%[uU]00(?=[0-9a-fA-F]{2})")
_OVERLONG: Final = re.compile(
    rb"(?:\xc0|\xe0\x80|\xf0\x80\x80)([\x80-\xbf])|(?:\xc1|\xe0\x81|\xf0\x80\x81)([\x80-\xbf])"
)


def check_target(target: str) -> None:
    """Check a request's path and query.

    The path leaves as it came, and servers read paths in many ways: they decode them, once or more, before or
    after they part them, take backslashes for slashes and doubled slashes for one, cut parameters off
    (`..;x`). So whatever could be read as a step back is one, and only what all read alike leads on.

    Args:
        target: begins with a slash.

    Raises:
        InvalidRequest: the path leads out of where it starts, or hides where it leads.
    """
    path = target.partition("?")[0]
    if _BACK not in path and "%" not in path and path.isascii():
        return
    depth = 0
    for segment in path.split("/"):
        decoded = _decoded(segment)
        names = [_name(part) for part in _SEPARATORS.split(decoded)]
        if _BACK in names:
            depth -= names.count(_BACK)
        elif not _STAYS.issuperset(names) and _name(decoded) not in _STAYS:
            depth += 1  # for those too that see no separator after a parameter has begun
        if depth < 0:
            raise InvalidRequest("The path leads out of this server, by its '..'. Give it without them.")


def _name(step: str) -> str:
    return _PARAMETERS.split(step, 1)[0]


def _decoded(segment: str) -> str:
    """Return a segment as the most lenient server reads it."""
    data = segment.encode("utf-8", "surrogateescape")
    for _ in range(_MOST_DECODINGS):
        if (decoded := unquote_to_bytes(_PERCENT_U.sub(b"%", data))) == data:
            return _plain(data)
        data = decoded
    raise InvalidRequest("The path is encoded too many times. Encode it once.")


def _plain(data: bytes) -> str:
    text = unicodedata.normalize("NFKC", _OVERLONG.sub(_shortened, data).decode("utf-8", "replace"))
    return "".join(letter for letter in text if unicodedata.category(letter)[0] not in "CZ")


def _shortened(overlong: re.Match[bytes]) -> bytes:
    low, high = overlong.groups()
    return bytes([low[0] & 0x3F]) if low else bytes([0x40 | (high[0] & 0x3F)])
