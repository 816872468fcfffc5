"""The path and query of a request: where it goes at its upstream, and whether it may go there.

Only to what is below the URL of the upstream, however that is written.
"""

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

    The path leaves as it came, and servers read paths in many ways: they decode them, once or more, before or
    after they part them, take backslashes for slashes and doubled slashes for one, cut parameters off
    (`..;x`). So whatever could be read as a step back is one, and only what all read alike leads on.

    Args:
        target: begins with a slash.

    Raises:
        InvalidRequest: the path leads out of where it starts, or hides where it leads.
    """
    path = target.partition("?")[0].partition("#")[0]
    if _BACK not in path and "%" not in path:
        return
    depth = 0
    for segment in path.split("/"):
        names = [part.partition(";")[0] for part in _SEPARATORS.split(_decoded(segment))]
        if _BACK in names:
            depth -= names.count(_BACK)
        elif any(name not in ("", ".") for name in names):
            depth += 1
        if depth < 0:
            raise InvalidRequest("The path leads out of this server, by its '..'. Give it without them.")


def _decoded(segment: str) -> str:
    for _ in range(_MOST_DECODINGS):
        if (decoded := unquote(segment, "latin-1")) == segment:
            return decoded
        segment = decoded
    raise InvalidRequest("The path is encoded too many times. Encode it once.")
