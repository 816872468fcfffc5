"""Which paths may be asked of an upstream: those below its URL, however they are written."""

import re
from typing import Final
from urllib.parse import unquote

from proxy.errors import InvalidRequest

_SEPARATORS = re.compile(r"[/\\]")
_BACK: Final = ".."
#: Each costs a pass over the whole path, and one that is encoded a thousand times would hold everybody up.
_MOST_DECODINGS: Final = 8


def check_target(target: str) -> None:
    """Check a request's path and query.

    The path leaves as it came, and is judged by the boldest reading that a server could make of it: encoded
    once or more, with backslashes for slashes, doubled slashes taken for one, parameters (`..;x`) cut off.

    Args:
        target: begins with a slash.

    Raises:
        InvalidRequest: the path leads out of where it starts, or hides where it leads.
    """
    path = target.partition("?")[0].partition("#")[0]
    if _BACK not in path and "%" not in path:
        return
    for _ in range(_MOST_DECODINGS):
        if (decoded := unquote(path, "latin-1")) == path:
            break
        path = decoded
    else:
        raise InvalidRequest("The path is encoded too many times. Encode it once.")
    depth = 0
    for segment in _SEPARATORS.split(path):
        name = segment.partition(";")[0]
        if name == _BACK:
            depth -= 1
        elif name not in ("", "."):
            depth += 1
        if depth < 0:
            raise InvalidRequest("The path leads out of this server, by its '..'. Give it without them.")
