"""A network of one's own: an upstream, or a client, behind a cable that can be cut.

Needs root, and a kernel that knows network namespaces; the tests that use it skip where it does not.
"""

import ctypes
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

_CLONE_NEWNET = 0x40000000
#: 198.18.0.0/15, which RFC 2544 sets aside for such things; a network of four addresses for each process.
_NETWORKS = 2**15
#: Nobody's: what is sent there is lost, without anybody being told.
_NOWHERE = "02:00:00:00:00:01"


class Cable:
    """A pair of network devices, one here, one in a namespace from where upstreams and clients speak.

    Attributes:
        here: the address of this end.
        address: of the far end.
    """

    def __init__(self) -> None:
        number = os.getpid()
        self._name = f"sw{number}"
        first = (number % _NETWORKS) * 4
        network = f"198.{18 + first // 2**16}.{first // 2**8 % 2**8}.{first % 2**8 + 1}"
        head, _, last = network.rpartition(".")
        self.here = f"{head}.{last}"
        self.address = f"{head}.{int(last) + 1}"

    def lay(self) -> None:
        """Make it.

        Raises:
            OSError: the kernel, or the system, refuses.
        """
        name, far = self._name, f"{self._name}f"
        _ip("netns", "add", name)
        _ip("link", "add", name, "type", "veth", "peer", "name", far, "netns", name)
        _ip("address", "add", f"{self.here}/30", "dev", name)
        _ip("link", "set", name, "up")
        _ip("-n", name, "address", "add", f"{self.address}/30", "dev", far)
        _ip("-n", name, "link", "set", far, "up")

    def remove(self) -> None:
        """Leave nothing behind of what there is."""
        for words in (
            ("route", "del", "unreachable", f"{self.address}/32"),
            ("link", "del", self._name),
            ("netns", "del", self._name),
        ):
            subprocess.run(["ip", *words], check=False, capture_output=True)

    def cut(self) -> None:
        """Lose from now on whatever is sent, both ways; nobody is told, as with a broken cable."""
        lost = "lladdr", _NOWHERE, "nud", "permanent"
        _ip("neighbor", "replace", self.address, *lost, "dev", self._name)
        _ip("-n", self._name, "neighbor", "replace", self.here, *lost, "dev", f"{self._name}f")

    def refuse(self) -> None:
        """Have the way there refused, as a router does that knows none."""
        _ip("route", "add", "unreachable", f"{self.address}/32")

    def listen(self) -> socket.socket:
        """Return a socket that listens at the far end."""
        return self._at_the_far_end(lambda: socket.create_server((self.address, 0)))

    def call(self, port: int) -> socket.socket:
        """Return a connection from the far end to a port at this one."""
        return self._at_the_far_end(lambda: socket.create_connection((self.here, port)))

    def _at_the_far_end(self, make: Callable[[], socket.socket]) -> socket.socket:
        made: list[socket.socket] = []

        def move() -> None:
            with open(f"/run/netns/{self._name}") as namespace:  # noqa: PTH123 - its number is wanted
                if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), _CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
            made.append(make())

        thread = threading.Thread(target=move)  # of its own, which stays there for good
        thread.start()
        thread.join()
        return made[0]


@contextmanager
def cable() -> Iterator[Cable]:
    """Lay a cable for as long as a test needs it; skip the test where that is not possible."""
    if shutil.which("ip") is None:
        pytest.skip("needs the command ip, of the package iproute2")
    if os.geteuid():
        pytest.skip("needs root, to make network namespaces")
    laid = Cable()
    try:
        try:
            laid.lay()
        except OSError as error:
            pytest.skip(f"needs network namespaces: {error}")
        yield laid
    finally:
        laid.remove()


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], check=False, capture_output=True, text=True)
    if done.returncode:
        raise OSError(done.stderr.strip())
