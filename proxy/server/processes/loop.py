"""The event loop that serves clients: uvloop's, which is faster, where there is one."""

import asyncio
from collections.abc import Callable

try:
    import uvloop
except ImportError:  # it is no dependency where it does not exist
    LOOP: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
else:
    LOOP = uvloop.new_event_loop
