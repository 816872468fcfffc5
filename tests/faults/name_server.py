"""A name server of one's own, and the command that has a process ask it and no other.

Needs root, for its port and for a mount; the tests that use it skip where the system refuses.
"""

import asyncio
import ipaddress
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

_PORT = 53
#: Of the kinds of records (RFC 1035, RFC 3596): the addresses.
_KINDS = {1: ipaddress.IPv4Address, 28: ipaddress.IPv6Address}
_HEAD = 12
#: Of an answer: what it is, where its name stands, and for how many seconds it holds.
_ANSWER, _NAME, _HOLDS = b"\x81\x80", b"\xc0\x0c", 1


class NameServer(asyncio.DatagramProtocol):
    """Answers every question with the same addresses, or not at all.

    Attributes:
        addresses: the answer; None: it is silent.
        within: words before a command that asks this server then.
    """

    def __init__(self, addresses: Sequence[str] | None, within: Sequence[str]) -> None:
        self.addresses = addresses
        self.within = within

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, source: tuple[str, int]) -> None:
        if self.addresses is None:
            return
        end = data.index(b"\0", _HEAD) + 5
        kind = _KINDS.get(int.from_bytes(data[end - 4 : end - 2]), type(None))
        found = [each for each in map(ipaddress.ip_address, self.addresses) if isinstance(each, kind)]
        records = [
            _NAME + data[end - 4 : end] + _HOLDS.to_bytes(4) + len(each.packed).to_bytes(2) + each.packed
            for each in found
        ]
        counts = b"\0\1" + len(records).to_bytes(2) + bytes(4)
        self._transport.sendto(data[:2] + _ANSWER + counts + data[_HEAD:end] + b"".join(records), source)


@asynccontextmanager
async def name_server(folder: Path, *addresses: str, silent: bool = False) -> AsyncIterator[NameServer]:
    """Run one for as long as a test needs it; skip the test where that is not possible.

    Args:
        folder: for files.
        addresses: the answer.
        silent: it does not answer.
    """
    number = os.getpid() % 2**16
    own = f"127.53.{number // 2**8}.{number % 2**8}"
    (folder / "resolv.conf").write_text(f"nameserver {own}\n")
    within = _asking(folder / "resolv.conf")
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(
        lambda: NameServer(None if silent else addresses, within),
        local_addr=(own, _PORT),
        family=socket.AF_INET,
    )
    try:
        yield server
    finally:
        transport.close()


def _asking(configured: Path) -> list[str]:
    """Return the words before a command for which this is the system's resolv.conf(5)."""
    if os.geteuid():
        pytest.skip("needs root, to be a name server")
    mount = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
    within = ["unshare", "--mount", "sh", "-c", mount, str(configured)]
    tried = subprocess.run([*within, "true"], check=False, capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"needs mounts: {tried.stderr}")
    return within
