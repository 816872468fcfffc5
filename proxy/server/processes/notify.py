"""Tells the service manager what goes on (sd_notify(3)), where there is one that wants to know."""

import asyncio
import os
import socket
import time
from contextlib import suppress
from typing import Final

_VARIABLE: Final = "NOTIFY_SOCKET"
#: The microseconds in which it wants to hear of us, and the process that it means (sd_watchdog_enabled(3)).
_WATCHDOG, _WATCHED = "WATCHDOG_USEC", "WATCHDOG_PID"


def ready() -> None:
    """Say that the start, or a reload, is done."""
    _tell("READY=1")


def reloading() -> None:
    """Say that the configuration is being read again."""
    _tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


def stopping() -> None:
    """Say that the end has begun."""
    _tell("STOPPING=1")


async def alive() -> None:
    """Say for as long as this runs that the event loop turns, where the manager wants to hear that."""
    period = os.environ.get(_WATCHDOG, "")
    seconds = int(period) / 2e6 if period.isdecimal() else 0.0  # twice in the time that it gives
    if os.environ.get(_WATCHED, str(os.getpid())) != str(os.getpid()):
        return
    while seconds:
        _tell("WATCHDOG=1")
        await asyncio.sleep(seconds)


def _tell(*lines: str) -> None:
    there = os.environ.get(_VARIABLE)
    if not there:
        return
    if there.startswith("@"):  # Linux: a name that is not in the file system
        there = "\0" + there[1:]
    # A manager that cannot be told is no reason not to serve.
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.sendto("\n".join(lines).encode(), there)
