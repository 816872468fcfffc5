"""Sockets to upstreams that notice when the other side has gone without a word.

A model may take minutes to its first word, and a WebSocket may be silent for days. Meanwhile nothing is sent
whose loss would show that a machine, or the way to it, is gone.
"""

import socket
from typing import Any, Final

#: The kernel at the other end is asked after so many seconds of silence, again after so many, and so many
#: times. That also keeps alive what is between, where silent connections are forgotten.
_PROBES: Final = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}


def keepalive_socket(address: tuple[Any, ...]) -> socket.socket:
    """Return a socket for an address, as `socket.getaddrinfo` gives it (SO_KEEPALIVE, tcp(7))."""
    family, kind, protocol, *_ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _PROBES.items():
        if hasattr(socket, name):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return made
