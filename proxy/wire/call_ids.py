"""The ids of a stream's tool calls, each of which is unique there."""

import hashlib


class CallIds:
    """Gives each call of a stream an id of its own; apart from the stream, lest the two hold each other.

    Args:
        token: of the stream's origin; made ids grow from it.
        stream_id: the stream's own id, which no call gets: who read the stream next would take it
            for nobody's.
    """

    __slots__ = ("_made", "_token", "_used")

    def __init__(self, token: str, stream_id: str) -> None:
        self._token = token
        self._used = {stream_id}
        self._made = 0

    def new(self, upstream_id: str | None) -> str:
        """Return the id for a new call: the upstream's, unless another call has it."""
        call_id = upstream_id
        while not call_id or call_id in self._used:
            self._made += 1
            seed = f"{self._token}:{self._made}".encode()
            call_id = "call_" + hashlib.blake2b(seed, digest_size=12).hexdigest()
        self._used.add(call_id)
        return call_id
