"""How requests are cut off that still run when the proxy has to stop: by a cancellation that says so.

The other cancellation is aiohttp's, when the client has left.
"""

import asyncio
from typing import Any, Final

from proxy.errors import Stopped

_CUT_OFF: Final = "cut off"


def cut_off(request: "asyncio.Task[Any]") -> None:
    """Make a request end now, with an error where it is not whole."""
    request.cancel(_CUT_OFF)


def was_cut_off(cancellation: asyncio.CancelledError) -> bool:
    """Tell whether `cut_off` has caused a cancellation."""
    return _CUT_OFF in cancellation.args


def stopped() -> Stopped:
    """Return what the client of a request gets that was cut off; the request's task goes on, to send it."""
    if task := asyncio.current_task():
        task.uncancel()
    return Stopped("The proxy is being stopped, and could not wait for the end of the answer.")
